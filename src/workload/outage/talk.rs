//! One dialled connection: the host's side of the line protocol, and the ledger of its lines.
//!
//! Nothing is acknowledged by the protocol. A device whose data tells how many lines it has sent and received, as
//! `[sent,received,...]`, counted from 1 on each connection, lets the ledger be kept all the same.

use std::time::{Duration, Instant};

use espstress_device::line::{self, KEEP_ALIVE, MAX_LINE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::listen::Table;
use super::patience::Silence;
use crate::context::Stop;
use espstress_event::Failure;
use espstress_stats::MessageLedger;

/// Bytes in which the line with the number has to be.
const FIRST_LINE: usize = 64;

/// Why a connection was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The run is over.
    Stopped,
    /// The device closed it.
    Closed,
    /// The device was silent for too long.
    Silent,
    /// By name.
    Failed(Failure),
}

/// One dialled connection.
pub(super) struct Talk {
    stream: TcpStream,
    have: Vec<u8>,
    lines: Lines,
}

/// Lines of data to the device and from it, and what its own data last said of both.
#[derive(Debug, Default)]
struct Lines {
    sent: u64,
    received: u64,
    device_sent: Option<u64>,
    device_received: Option<u64>,
    repeated: u64,
}

/// What a connection began with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A line with a number.
    Number(u8),
    /// Something else.
    Other(Vec<u8>),
    /// Nothing, or not a whole line.
    Nothing,
}

impl Talk {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Lines are short and on their own: waiting to join them would only look like a slow link.
        let _ = stream.set_nodelay(true);
        Self { stream, have: Vec::with_capacity(1_024), lines: Lines::default() }
    }

    /// The line with the number.
    pub(super) async fn first(&mut self) -> First {
        loop {
            if let Some(line) = self.line() {
                match line::classify(&line) {
                    line::Line::Id(id) => return First::Number(id),
                    line::Line::KeepAlive => continue,
                    line::Line::Object | line::Line::Data => return First::Other(line),
                }
            }
            if self.have.len() > FIRST_LINE {
                return First::Other(std::mem::take(&mut self.have));
            }
            if !matches!(self.stream.read_buf(&mut self.have).await, Ok(1..)) {
                return First::Nothing;
            }
        }
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.have.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.have.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// Keeps the protocol until the connection ends.
    pub(super) async fn follow(&mut self, table: &Table, id: u8, mut stop: Stop) -> Left {
        // Two thirds of the time-out, as the other side.
        let keep_alive = table.timeout * 2 / 3;
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let mut said = start;
        let mut next_data = start + table.data_interval;
        loop {
            while let Some(line) = self.line() {
                self.take(&line, table, id);
            }
            if self.have.len() > MAX_LINE {
                return Left::Failed(Failure::BadResponse);
            }
            let next = next_data.min(said + keep_alive).min(silence.ends(table.timeout));
            tokio::select! {
                biased;
                () = stop.stopped() => return Left::Stopped,
                read = self.stream.read_buf(&mut self.have) => match read {
                    Ok(0) => return Left::Closed,
                    Ok(n) => {
                        let now = Instant::now();
                        silence.heard(now);
                        table.heard(id, now, n as u64);
                    }
                    Err(_) => return Left::Failed(Failure::ReadReset),
                },
                () = tokio::time::sleep_until(next.into()) => {
                    let now = Instant::now();
                    silence.woke(next, now);
                    if now >= silence.ends(table.timeout) {
                        return Left::Silent;
                    }
                    let line = if now >= next_data {
                        next_data = now + table.data_interval;
                        self.lines.sent += 1;
                        table.count(id, self.lines.ledgers(Left::Stopped));
                        format!("[{},{}]\n", self.lines.sent, self.lines.received).into_bytes()
                    } else if now >= said + keep_alive {
                        table.with(id, |device| device.stats.keep_alives_sent += 1);
                        KEEP_ALIVE.to_vec()
                    } else {
                        continue;
                    };
                    said = now;
                    let write = tokio::time::timeout(table.timeout, self.stream.write_all(&line));
                    match write.await {
                        Ok(Ok(())) => table.sent(line.len() as u64),
                        Ok(Err(_)) => return Left::Failed(Failure::WriteReset),
                        Err(_) => return Left::Silent,
                    }
                }
            }
        }
    }

    fn take(&mut self, line: &[u8], table: &Table, id: u8) {
        match line::classify(line) {
            line::Line::KeepAlive => table.with(id, |device| device.stats.keep_alives_received += 1),
            line::Line::Id(_) => {}
            line::Line::Object | line::Line::Data => {
                self.lines.take(line);
                table.count(id, self.lines.ledgers(Left::Stopped));
                table.data(id, Instant::now());
            }
        }
    }

    /// Forgets the connection: what the device still sends on it is answered with a RST, and nothing that was written is
    /// sent again to a device that has forgotten it as well.
    pub(super) fn forget(&self) {
        // Where it is refused, the connection ends with a FIN instead.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// The ledgers of this connection at its end, to the device and from it.
    pub(super) fn ledgers(&self, left: Left) -> (MessageLedger, MessageLedger) {
        self.lines.ledgers(left)
    }
}

impl Lines {
    /// A line of data from the device; `[sent,received,...]` are its own counts, where it numbers its lines from 1.
    fn take(&mut self, line: &[u8]) {
        self.received += 1;
        let values: Option<Vec<serde_json::Value>> = serde_json::from_slice(line).ok();
        let count =
            |place: usize| values.as_ref().and_then(|v| v.get(place)).and_then(serde_json::Value::as_u64);
        let (Some(sent), Some(received)) = (count(0), count(1)) else { return };
        match self.device_sent {
            // The first line decides whether these numbers are counts: this connection's first line is number 1.
            None if sent != self.received || received > self.sent => return,
            Some(before) if sent <= before => self.repeated += 1,
            None | Some(_) => {}
        }
        self.device_sent = Some(self.device_sent.unwrap_or(0).max(sent));
        self.device_received = Some(self.device_received.unwrap_or(0).max(received.min(self.sent)));
    }

    /// To the device and from it. What the device has not acknowledged when its connection ends is unknown: it may
    /// have arrived, and its next connection begins to count anew.
    fn ledgers(&self, left: Left) -> (MessageLedger, MessageLedger) {
        let acknowledged = self.device_received.unwrap_or(0);
        let open = self.sent - acknowledged;
        let (in_flight, unknown) = if left == Left::Stopped { (open, 0) } else { (0, open) };
        let to_device =
            MessageLedger { sent: self.sent, acknowledged, in_flight, unknown, ..MessageLedger::default() };
        let arrived = self.received - self.repeated;
        let sent = self.device_sent.unwrap_or(arrived).max(arrived);
        let to_host = MessageLedger {
            sent,
            acknowledged: arrived,
            lost: sent - arrived,
            duplicates: self.repeated,
            ..MessageLedger::default()
        };
        (to_device, to_host)
    }
}

/// What a first line was, for people: its beginning, without what a terminal might take for an order.
pub(super) fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().take(32).flat_map(char::escape_default).collect()
}

/// The longest that a connection's first line is waited for.
pub(super) const NUMBER_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn talked(sent: u64, lines: &[&str]) -> Lines {
        let mut all = Lines { sent, ..Lines::default() };
        lines.iter().for_each(|line| all.take(line.as_bytes()));
        all
    }

    #[test]
    fn a_device_that_counts_lets_every_line_be_placed() {
        let (to_device, to_host) = talked(3, &["[1,0]", "[2,1]", "[4,2]"]).ledgers(Left::Silent);
        assert_eq!((to_device.acknowledged, to_device.unknown, to_device.in_flight), (2, 1, 0));
        assert_eq!((to_host.sent, to_host.acknowledged, to_host.lost), (4, 3, 1));
        assert!(to_device.balances() && to_host.balances());
    }

    #[test]
    fn a_device_that_does_not_count_leaves_the_fate_of_lines_unknown() {
        for lines in [&["[17.2,40]", "[17.3,41]"], &["hello", "[\"a\"]"]] {
            let (to_device, to_host) = talked(2, lines).ledgers(Left::Silent);
            assert_eq!((to_device.acknowledged, to_device.unknown), (0, 2), "{lines:?}");
            assert_eq!((to_host.acknowledged, to_host.lost), (2, 0), "{lines:?}");
        }
    }

    #[test]
    fn a_line_that_comes_twice_is_a_duplicate() {
        let (_, to_host) = talked(0, &["[1,0]", "[1,0]", "[2,0]"]).ledgers(Left::Closed);
        assert_eq!((to_host.sent, to_host.duplicates, to_host.lost), (2, 1, 0));
    }

    #[test]
    fn what_is_under_way_at_the_end_of_the_run_is_in_flight() {
        let (to_device, _) = talked(2, &["[1,1]"]).ledgers(Left::Stopped);
        assert_eq!((to_device.in_flight, to_device.unknown), (1, 0));
    }

    #[test]
    fn a_first_line_is_shown_without_control_characters() {
        assert_eq!(shown(b"2c\x1b[31m1\r"), "2c\\u{1b}[31m1");
        assert_eq!(shown(&[b'x'; 100]).len(), 32);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_device_says_the_ledgers_balance(sent in 0_u64..9, lines: Vec<(u8, u8)>) {
            let mut all = Lines { sent, ..Lines::default() };
            lines.iter().for_each(|(s, r)| all.take(format!("[{s},{r}]").as_bytes()));
            for left in [Left::Stopped, Left::Silent] {
                let (to_device, to_host) = all.ledgers(left);
                proptest::prop_assert!(to_device.balances() && to_host.balances());
            }
        }
    }
}
