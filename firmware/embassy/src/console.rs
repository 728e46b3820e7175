//! Lines that somebody types, from any reader.

use embassy_time::{Duration, Timer};
use embedded_io_async::Read;

/// Longest line in bytes; what is beyond is dropped, and the line with it.
pub const LINE_LEN: usize = 128;

/// Bytes that one turn reads.
const AT_ONCE: usize = 64;

/// What the other tasks have between two turns. A reader may have something at once every time (a USB port that is
/// flooded, or an emulator's): without a pause, this task would be the only one.
const PAUSE: Duration = Duration::from_millis(5);

/// What was typed up to the end of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Typed<'a> {
    /// A line, without its end.
    Line(&'a str),
    /// One that is longer than [`LINE_LEN`], or no UTF-8.
    Unreadable,
}

/// Hands over line after line. Never ends.
pub async fn lines(mut reader: impl Read, mut take: impl FnMut(Typed<'_>)) -> ! {
    let mut line = [0; LINE_LEN];
    // Bytes of the line, those that did not fit included.
    let mut len = 0usize;
    let mut piece = [0; AT_ONCE];
    loop {
        // A reader that fails has nothing, and may have something later.
        let read = reader.read(&mut piece).await.unwrap_or(0);
        for &byte in piece.get(..read).unwrap_or_default() {
            if byte != b'\n' && byte != b'\r' {
                if let Some(place) = line.get_mut(len) {
                    *place = byte;
                }
                len = len.saturating_add(1);
                continue;
            }
            let text = line.get(..len).and_then(|line| core::str::from_utf8(line).ok());
            take(text.map_or(Typed::Unreadable, Typed::Line));
            len = 0;
        }
        Timer::after(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use core::convert::Infallible;
    use core::future::poll_fn;
    use core::pin::pin;
    use core::task::Poll;
    use embassy_futures::select::select;
    use embassy_futures::{block_on, yield_now};
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// A reader that always returns at once, and counts how often it is asked.
    struct Eager<'a> {
        bytes: &'a [u8],
        asked: &'a Cell<u32>,
    }

    impl embedded_io_async::ErrorType for Eager<'_> {
        type Error = Infallible;
    }

    impl Read for Eager<'_> {
        async fn read(&mut self, space: &mut [u8]) -> Result<usize, Infallible> {
            self.asked.set(self.asked.get() + 1);
            assert!(self.asked.get() < 1_000, "nobody else had a turn");
            let len = space.len().min(self.bytes.len());
            space[..len].copy_from_slice(&self.bytes[..len]);
            self.bytes = &self.bytes[len..];
            if len == 0 {
                space.fill(b'x');
                return Ok(space.len());
            }
            Ok(len)
        }
    }

    fn typed(bytes: &[u8]) -> Vec<String> {
        let asked = Cell::new(0);
        let mut seen = Vec::new();
        let take = |typed: Typed<'_>| match typed {
            Typed::Line(line) => seen.push(line.to_string()),
            Typed::Unreadable => seen.push("unreadable".to_string()),
        };
        let wanted = bytes.len().div_ceil(AT_ONCE) as u32;
        let read = async {
            while asked.get() < wanted + 1 {
                yield_now().await;
            }
        };
        block_on(select(lines(Eager { bytes, asked: &asked }, take), read));
        seen
    }

    #[test]
    fn a_reader_that_always_returns_at_once_starves_no_other_task() {
        let asked = Cell::new(0);
        let mut typing = pin!(lines(Eager { bytes: b"", asked: &asked }, |_| {}));
        let mut most = 0;
        let mut turns = 0;
        // The typing first, and another task that counts: as an executor has them one after the other.
        block_on(poll_fn(|cx| {
            let before = asked.get();
            let _ = typing.as_mut().poll(cx);
            most = most.max(asked.get() - before);
            turns += 1;
            cx.waker().wake_by_ref();
            if asked.get() < 10 { Poll::Pending } else { Poll::Ready(()) }
        }));
        assert_eq!(most, 1, "reads in one turn");
        assert!(turns >= 10);
    }

    #[test]
    fn lines_end_at_either_end_of_line_and_hold_so_much() {
        let long = "y".repeat(LINE_LEN);
        let text = std::format!("ssid a b\r\nstatus\n{long}\n{long}z\nsave\n");
        assert_eq!(typed(text.as_bytes()), ["ssid a b", "", "status", &long, "unreadable", "save"]);
    }

    #[test]
    fn what_is_no_text_is_told_and_costs_one_line() {
        assert_eq!(typed(b"\xff\xfe\nstatus\n"), ["unreadable", "status"]);
    }
}
