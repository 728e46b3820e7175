//! Numbers as text, without an allocator.

/// The number in digits, of which 32 bits have ten.
pub(crate) fn decimal(mut number: u32, space: &mut [u8; 10]) -> &str {
    let mut first = space.len();
    for digit in space.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    core::str::from_utf8(&space[first..]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_are_told_in_digits() {
        for number in [0, 5, 10, 99, 100, 12_345, 65_535, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string());
        }
    }
}
