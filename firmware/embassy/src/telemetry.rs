//! Telemetry datagrams: served beside the persona, so that they survive the faults they report.

use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use espstress_device::{Service, telemetry};

use crate::device::{Board, Device};

/// Longest request that is looked at, in bytes.
const REQUEST_LEN: usize = 64;

impl<B: Board, const N: usize> Device<B, N> {
    /// Answers telemetry datagrams. Never ends.
    pub async fn answer_telemetry(&self, stack: Stack<'_>) {
        if !self.with(|program, _| program.services().contains(Service::Telemetry)) {
            return;
        }
        let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 4], [PacketMetadata::EMPTY; 2]);
        let (mut rx, mut tx) = ([0; 4 * REQUEST_LEN], [0; telemetry::MAX_LEN]);
        let mut socket = UdpSocket::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
        if socket.bind(Service::Telemetry.port()).is_err() {
            return;
        }
        let mut answer = [0; telemetry::MAX_LEN];
        loop {
            let mut request = [0; REQUEST_LEN];
            // One that is longer is no request, and has been dropped.
            let Ok((len, from)) = socket.recv_from(&mut request).await else {
                continue;
            };
            let written = self.with_readings(|readings| {
                self.with(|program, now| program.answer_datagram(&request[..len], readings, now, &mut answer))
            });
            if let Some(len) = written {
                // What cannot be sent is lost, as datagrams are.
                let _ = socket.send_to(&answer[..len], from).await;
            }
        }
    }
}
