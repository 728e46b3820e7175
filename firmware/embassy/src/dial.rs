//! The host of the setup, dialled again and again.

use core::net::Ipv4Addr;

use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::ConnectError;
use embassy_net::{IpAddress, Stack};
use embassy_time::{Duration, with_timeout};
use espstress_device::config::Host;
use espstress_device::{CloseHow, ErrorKind};

use crate::device::{Board, Device};
use crate::slot::{Buffers, abort};

/// How long an orderly close may take before the socket is used for the next dialling.
const CLOSING: Duration = Duration::from_secs(2);

impl<B: Board, const N: usize> Device<B, N> {
    /// Dials the host of the setup, if there is one, and again after each loss. Never ends.
    pub async fn dial<const RX: usize, const TX: usize>(
        &self,
        stack: Stack<'_>,
        buffers: &mut Buffers<RX, TX>,
    ) {
        loop {
            let Some(host) = self.with(|program, now| program.poll_dial(now)) else {
                self.dial_due().await;
                continue;
            };
            let patience = self.with(|program, _| program.dial_limit());
            let patience = Duration::from_micros(patience.as_micros() as u64);
            let mut socket = buffers.socket(stack);
            let armed = self.arm_dialled(&mut socket);
            let connect = async {
                let address = resolve(stack, &host).await?;
                socket.connect((address, host.port)).await.map_err(|error| match error {
                    ConnectError::ConnectionReset => ErrorKind::Refused,
                    ConnectError::TimedOut => ErrorKind::TimedOut,
                    ConnectError::NoRoute => ErrorKind::Unreachable,
                    ConnectError::InvalidState => ErrorKind::Other,
                })
            };
            match with_timeout(patience, connect).await.unwrap_or(Err(ErrorKind::TimedOut)) {
                Ok(()) => {
                    let mut connection = self.with(|program, now| program.dialled(now));
                    match self.converse(&mut socket, &mut connection, armed).await {
                        CloseHow::Orderly => {
                            socket.close();
                            let _ = with_timeout(CLOSING, socket.flush()).await;
                        }
                        CloseHow::Leak => core::future::pending().await,
                        CloseHow::Unread | CloseHow::Abort => abort(&mut socket).await,
                    }
                }
                Err(kind) => self.with(|program, now| program.dial_failed(kind, now)),
            }
        }
    }
}

async fn resolve(stack: Stack<'_>, host: &Host) -> Result<IpAddress, ErrorKind> {
    if let Ok(address) = host.name.parse::<Ipv4Addr>() {
        return Ok(address.into());
    }
    let addresses = stack.dns_query(&host.name, DnsQueryType::A).await.map_err(|_| ErrorKind::Unreachable)?;
    addresses.first().copied().ok_or(ErrorKind::Unreachable)
}
