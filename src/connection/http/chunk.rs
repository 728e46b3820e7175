//! Chunked bodies (RFC 9112, 7.1), byte by byte.

/// Where in a chunked body (RFC 9112, 7.1) the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size { so_far: u64, digits: u8 },
    Blank { size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { line: u64 },
    TrailerLf { line: u64 },
}

/// What a byte of a chunked body was.
pub(super) enum Step {
    /// A part of it, so many bytes of payload.
    On { payload: u64 },
    /// The end of a chunk's size, which is this.
    Size(u64),
    /// The same, behind blanks that are not allowed there.
    PaddedSize(u64),
    /// The last one.
    End,
}

impl Chunk {
    /// Takes the next byte; what is wrong with it, if it is not allowed.
    pub(super) fn next(&mut self, byte: u8) -> Result<Step, &'static str> {
        let mut step = Step::On { payload: 0 };
        *self = match (*self, byte) {
            (Self::Size { so_far, digits }, _) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                Self::Size { so_far: so_far * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { so_far, digits: 1.. }, b'\r') => {
                step = Step::Size(so_far);
                Self::SizeLf { size: so_far }
            }
            (Self::Size { so_far, digits: 1.. }, b';') => Self::Extension { size: so_far },
            (Self::Size { so_far, digits: 1.. }, b' ' | b'\t') => Self::Blank { size: so_far },
            // Blanks are allowed before an extension's semicolon, and nowhere else.
            (Self::Blank { size }, b' ' | b'\t') => Self::Blank { size },
            (Self::Blank { size }, b';') => Self::Extension { size },
            (Self::Blank { size }, b'\r') => {
                step = Step::PaddedSize(size);
                Self::SizeLf { size }
            }
            (Self::Extension { size }, b'\r') => {
                step = Step::Size(size);
                Self::SizeLf { size }
            }
            (Self::Extension { size }, _) => Self::Extension { size },
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer { line: 0 },
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::Data { left }, _) => {
                step = Step::On { payload: 1 };
                if left <= 1 { Self::DataCr } else { Self::Data { left: left - 1 } }
            }
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { so_far: 0, digits: 0 },
            (Self::Trailer { line }, b'\r') => Self::TrailerLf { line },
            (Self::Trailer { line }, _) => Self::Trailer { line: line + 1 },
            (Self::TrailerLf { line: 0 }, b'\n') => return Ok(Step::End),
            (Self::TrailerLf { .. }, b'\n') => Self::Trailer { line: 0 },
            (Self::Size { digits: 0, .. }, _) => return Err("a chunk's size is not a hexadecimal number"),
            (Self::Size { .. } | Self::Blank { .. }, _) => {
                return Err("a chunk's size is not followed by CRLF");
            }
            (Self::SizeLf { .. }, _) => return Err("a chunk's size is not followed by CRLF"),
            (Self::DataCr | Self::DataLf, _) => return Err("no CRLF where the chunk should end by its size"),
            (Self::TrailerLf { .. }, _) => return Err("a trailer line is not ended by CRLF"),
        };
        Ok(step)
    }
}
