//! A serial port behind Telnet (RFC 854, RFC 2217): commands are taken out of the data, and what the other side offers is
//! answered as little as it needs. The port's settings stay as they are.

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

/// Binary transmission (RFC 856), without which an end of line may be changed; suppress go ahead (RFC 858); and the port
/// control option itself.
const WANTED: [u8; 3] = [0, 3, 44];

/// What begins a session: the client offers the port control option, and asks for binary data.
pub(crate) const HELLO: [u8; 6] = [IAC, WILL, 44, IAC, DO, 0];

/// Takes Telnet's commands out of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Telnet {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    Command,
    Option(u8),
    Sub,
    SubCommand,
}

/// Answers at most, of one read: a server that asks for ever is not answered for ever.
const MOST_ANSWERS: usize = 48;

impl Telnet {
    /// The data among `bytes`, and what to answer.
    pub(crate) fn take(&mut self, bytes: &[u8], data: &mut Vec<u8>, answer: &mut Vec<u8>) {
        for byte in bytes {
            self.state = match (self.state, *byte) {
                (State::Data, IAC) => State::Command,
                (State::Command, IAC) => {
                    data.push(IAC);
                    State::Data
                }
                (State::Command, SB) => State::Sub,
                (State::Command, verb @ (WILL | WONT | DO | DONT)) => State::Option(verb),
                (State::Command, _) => State::Data,
                (State::Option(verb), option) => {
                    if answer.len() < MOST_ANSWERS
                        && let Some(reply) = reply(verb, option)
                    {
                        answer.extend([IAC, reply, option]);
                    }
                    State::Data
                }
                (State::Sub, IAC) => State::SubCommand,
                (State::Sub, _) => State::Sub,
                (State::SubCommand, SE) => State::Data,
                (State::SubCommand, _) => State::Sub,
                (State::Data, byte) => {
                    data.push(byte);
                    State::Data
                }
            };
        }
    }
}

/// What was offered or asked for in [`HELLO`] is not answered again; the rest is refused, except what is wanted.
fn reply(verb: u8, option: u8) -> Option<u8> {
    match verb {
        WILL if option == 0 => None,
        WILL if WANTED.contains(&option) => Some(DO),
        WILL => Some(DONT),
        DO if option == 44 => None,
        DO if WANTED.contains(&option) => Some(WILL),
        DO => Some(WONT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(chunks: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let (mut telnet, mut data, mut answer) = (Telnet::default(), Vec::new(), Vec::new());
        chunks.iter().for_each(|chunk| telnet.take(chunk, &mut data, &mut answer));
        (data, answer)
    }

    #[test]
    fn commands_are_taken_out_wherever_they_are_cut() {
        let bytes =
            [b'a', IAC, WILL, 3, b'b', IAC, SB, 44, 106, 1, IAC, SE, b'c', IAC, IAC, b'd', IAC, DO, 31];
        let want = (vec![b'a', b'b', b'c', IAC, b'd'], vec![IAC, DO, 3, IAC, WONT, 31]);
        assert_eq!(take(&[&bytes]), want);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(take(&single), want);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_few_are_answered(bytes: Vec<u8>) {
            let (data, answer) = take(&[&bytes]);
            prop_assert!(data.len() <= bytes.len() && answer.len() <= MOST_ANSWERS + 2);
        }
    }
}
