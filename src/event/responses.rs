//! HTTP status codes, counted.

/// A count for each status code that came; most servers use a handful, so a short sorted list does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responses(Vec<(u16, u64)>);

impl Responses {
    /// Codes that are told apart: three digits (RFC 9110, 15), 100 to 599. Anything else is no response.
    const CODES: std::ops::RangeInclusive<u16> = 100..=599;

    /// Counts one response.
    pub fn count(&mut self, status: u16) {
        self.add(status, 1);
    }

    /// Counts `n` responses.
    pub fn add(&mut self, status: u16, n: u64) {
        if n == 0 || !Self::CODES.contains(&status) {
            return;
        }
        match self.0.binary_search_by_key(&status, |(code, _)| *code) {
            Ok(place) => self.0[place].1 += n,
            Err(place) => self.0.insert(place, (status, n)),
        }
    }

    /// How many had that code.
    #[must_use]
    pub fn get(&self, status: u16) -> u64 {
        self.iter().find(|(code, _)| *code == status).map_or(0, |(_, n)| n)
    }

    /// The codes that came, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_in_their_order_and_what_is_none_is_not() {
        let mut responses = Responses::default();
        for status in [503, 200, 200, 0, 99, 600, 301] {
            responses.count(status);
        }
        assert_eq!(responses.iter().collect::<Vec<_>>(), [(200, 2), (301, 1), (503, 1)]);
        assert_eq!((responses.get(200), responses.get(404)), (2, 0));
    }
}
