//! The reader of an outage's session for the fuzz targets.

use super::wire::Reader;

/// What a device may send in a session of the framed protocol. Nothing that is whole stays behind.
pub fn session<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let mut reader = Reader::default();
    for piece in pieces {
        if reader.feed(piece, |_| {}).is_err() {
            reader.start();
        }
    }
    let _ = reader.eof();
}
