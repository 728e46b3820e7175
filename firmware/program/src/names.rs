//! There is no name server in the private network. A query gets its answer at once - there is no such name - instead of a
//! program that waits for its resolver's time-outs.

/// Port of name servers.
pub(crate) const PORT: u16 = 53;

const HEAD: usize = 12;

/// NXDOMAIN for a query (RFC 1035, 4.1); `None` for what is no query.
pub(crate) fn no_such_name(query: &[u8]) -> Option<Vec<u8>> {
    let [_, _, flags, _, high, low, ..] = *query.get(..HEAD)? else { return None };
    let is_query = flags & 0xf8 == 0 && u16::from_be_bytes([high, low]) == 1;
    let end = is_query.then(|| question_end(query)).flatten()?;
    let mut answer = query.get(..end)?.to_vec();
    answer[2] |= 0x80;
    // Recursion available; the response code for a name that does not exist.
    answer[3] = 0x80 | 3;
    answer[6..HEAD].fill(0);
    Some(answer)
}

fn question_end(query: &[u8]) -> Option<usize> {
    let mut at = HEAD;
    loop {
        match *query.get(at)? {
            0 => return Some(at + 5).filter(|end| *end <= query.len()),
            // No label is longer, and a question has no pointers.
            len if len < 64 => at += 1 + usize::from(len),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x07example\x03com\0\0\x01\0\x01\0\0\x29\x10\0\0\0\0\0\0\0";

    #[test]
    fn a_query_is_answered_with_its_question_and_nothing_else() {
        let answer = no_such_name(QUERY).unwrap();
        assert_eq!(answer, b"\x12\x34\x81\x83\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01");
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        assert_eq!(no_such_name(b""), None);
        let mut response = QUERY.to_vec();
        response[2] |= 0x80;
        assert_eq!(no_such_name(&response), None);
        for len in 0..HEAD + 17 {
            assert_eq!(no_such_name(&QUERY[..len]), None, "{len}");
        }
    }
}
