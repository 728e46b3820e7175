//! A UDP port of the twin's own, which takes no socket of the device's.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use espstress_lwip::{Datagrams, SocketError, Stack};

/// What answers a datagram, if anything does.
pub type Answer = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send>;

/// Requests that wait; more are lost, as in a device's mailbox.
const WAITING: usize = 6;

/// An open port. The program may take it over, by binding it.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) port: u16,
    _open: Arc<Datagrams>,
}

impl Telemetry {
    pub(crate) fn open(stack: &Stack, port: u16, answer: Answer) -> Result<Self, SocketError> {
        let (send, requests) = sync_channel::<(Vec<u8>, SocketAddrV4)>(WAITING);
        let receive = move |bytes: &[u8], from| drop(send.try_send((bytes.to_vec(), from)));
        let open = Arc::new(Datagrams::open(stack, port, receive)?);
        let weak = Arc::downgrade(&open);
        let stack = stack.clone();
        let serve = move || {
            stack.this_thread_is_no_task();
            for (request, from) in requests {
                let Some(open) = weak.upgrade() else { return };
                if let Some(answer) = answer(&request) {
                    // One that cannot be sent is lost, as on a link.
                    let _ = open.send(&answer, from);
                }
            }
        };
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(serve);
        thread.map_err(|_| SocketError::NoMemory)?;
        Ok(Self { port, _open: open })
    }
}
