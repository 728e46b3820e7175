//! When the copies of a SYN left.

/// Second.
const S: i64 = 1_000_000_000;

/// Distances that double from a second on (RFC 6298, 2.1 and 5.5), as Linux before 6.5 has them. From the first SYN on.
const DOUBLING: [i64; 7] = [0, S, 3 * S, 7 * S, 15 * S, 31 * S, 63 * S];

/// Linux from 6.5 on: five seconds one after another first (`tcp_syn_linear_timeouts` = 4, Documentation/networking/ip-sysctl).
const LINEAR: [i64; 11] = [0, S, 2 * S, 3 * S, 4 * S, 5 * S, 7 * S, 11 * S, 19 * S, 35 * S, 67 * S];

/// When the `copies` of a SYN left that was first sent at `first` and waited for so long, nanoseconds: more of them than
/// there is time for at doubling distances are at those of newer kernels.
pub(super) fn sent(first: i64, copies: u32, waited: i64) -> impl Iterator<Item = i64> {
    let copies = usize::try_from(copies).unwrap_or(usize::MAX);
    let possible = DOUBLING.iter().filter(|after| **after <= waited).count();
    let distances: &[i64] = if copies <= possible { &DOUBLING } else { &LINEAR };
    distances.iter().take(copies).map(move |after| first.saturating_add(*after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(copies: u32, waited: i64) -> Vec<i64> {
        sent(10 * S, copies, waited * S).map(|at| at / S).collect()
    }

    #[test]
    fn copies_are_at_doubling_distances_where_these_allow_so_many_and_else_at_those_of_newer_kernels() {
        assert_eq!(seconds(3, 5), [10, 11, 13]);
        assert_eq!(seconds(5, 5), [10, 11, 12, 13, 14]);
        assert_eq!(seconds(7, 10), [10, 11, 12, 13, 14, 15, 17]);
    }

    #[test]
    fn no_more_copies_than_were_seen_are_held_against_anybody() {
        assert_eq!(seconds(1, 5), [10]);
        assert!(seconds(0, 5).is_empty());
    }
}
