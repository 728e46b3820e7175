//! Connections that the device opens, and how the other side answers.

use std::net::SocketAddr;

/// Rows that are kept; the rest is counted.
const MAX_ROWS: usize = 16;

/// What the device dials at one address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Where.
    pub to: SocketAddr,
    /// Connections it began; a SYN that is repeated counts once.
    pub opened: u64,
    /// Of those, answered by a SYN-ACK.
    pub accepted: u64,
    /// Answered by a RST.
    pub refused: u64,
}

/// The rows, in the order in which they were first dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dials {
    /// A row for each address and port.
    pub rows: Vec<Dial>,
    /// Connections to further ones.
    pub beyond: u64,
}

impl Dials {
    pub(crate) fn opened(&mut self, to: SocketAddr) {
        if let Some(row) = self.row(to) {
            row.opened += 1;
        } else if self.rows.len() < MAX_ROWS {
            self.rows.push(Dial { to, opened: 1, accepted: 0, refused: 0 });
        } else {
            self.beyond += 1;
        }
    }

    pub(crate) fn accepted(&mut self, to: SocketAddr) {
        if let Some(row) = self.row(to) {
            row.accepted += 1;
        }
    }

    pub(crate) fn refused(&mut self, to: SocketAddr) {
        if let Some(row) = self.row(to) {
            row.refused += 1;
        }
    }

    fn row(&mut self, to: SocketAddr) -> Option<&mut Dial> {
        self.rows.iter_mut().find(|row| row.to == to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_places_that_the_device_dials_have_a_row_and_connections_to_others_are_counted() {
        let mut dials = Dials::default();
        let place = |n: usize| SocketAddr::from(([192, 168, 4, 1], n as u16));
        for n in 1..=MAX_ROWS + 2 {
            dials.opened(place(n));
        }
        dials.opened(place(1));
        dials.opened(place(MAX_ROWS + 1));
        assert_eq!((dials.rows.len(), dials.rows[0].opened, dials.beyond), (16, 2, 3));
        assert_eq!(dials.rows.iter().map(|row| row.opened).sum::<u64>(), 17);
    }
}
