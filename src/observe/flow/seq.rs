//! Sequence-number arithmetic (RFC 9293, 3.4): numbers wrap, so that only distances mean anything.

/// How far `a` is beyond `b`; negative when it lies before it.
pub(crate) const fn distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

/// Whether `a` lies before `b`.
pub(crate) const fn before(a: u32, b: u32) -> bool {
    distance(a, b) < 0
}

/// Whether `a` lies beyond `b`.
pub(crate) const fn after(a: u32, b: u32) -> bool {
    distance(a, b) > 0
}

/// The later of two.
pub(crate) const fn later(a: u32, b: u32) -> u32 {
    if before(a, b) { b } else { a }
}

/// The earlier of two.
pub(crate) const fn earlier(a: u32, b: u32) -> u32 {
    if before(a, b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        assert!(before(u32::MAX, 0) && after(5, u32::MAX - 5));
        assert_eq!((later(u32::MAX, 1), earlier(u32::MAX, 1)), (1, u32::MAX));
        assert_eq!(distance(2, u32::MAX), 3);
    }
}
