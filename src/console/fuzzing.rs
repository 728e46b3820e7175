//! Entrances for the fuzz targets (`tests/fuzz`): any bytes from a serial port, or from one behind Telnet.

use crate::account::{Account, Heard};
use crate::lines::Lines;
use crate::rfc2217::Telnet;

/// What a console of these bytes comes to; pieces are 100 ms apart.
pub fn hear<'a>(telnet: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let (mut lines, mut commands) = (Lines::new(false), Telnet::default());
    let mut account = Account::new("fuzz".to_owned(), None, None);
    let (mut data, mut answer) = (Vec::new(), Vec::new());
    let mut at_ns = 0;
    for (number, piece) in pieces.enumerate() {
        at_ns += 100_000_000;
        data.clear();
        answer.clear();
        if telnet {
            commands.take(piece, &mut data, &mut answer);
        } else {
            data.extend_from_slice(piece);
        }
        account.bytes(data.len());
        lines.take(&data, |line| account.line(at_ns, line));
        if number % 7 == 3 {
            let _ = account.news(at_ns);
            let _ = account.so_far();
        }
        if number % 64 == 63 {
            lines.broke_off();
            account.trouble("broke off".to_owned());
        }
    }
    account.finish()
}
