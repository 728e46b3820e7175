//! One socket, without waiting: what embassy-net's futures say when asked once.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use embassy_futures::poll_once;
use embassy_net::tcp::{State, TcpSocket};
use espstress_device::ErrorKind;
use espstress_device::carrier::{Interest, Received, Sent};

/// Reads what is there.
pub(crate) fn receive(socket: &mut TcpSocket<'_>, space: &mut [u8]) -> Received {
    match poll_once(socket.read(space)) {
        Poll::Ready(Ok(0)) => Received::End,
        Poll::Ready(Ok(n)) => Received::Bytes(n),
        Poll::Ready(Err(_)) => Received::Failed(ErrorKind::Reset),
        Poll::Pending => Received::NotYet,
    }
}

/// Writes what fits.
pub(crate) fn send(socket: &mut TcpSocket<'_>, bytes: &[u8]) -> Sent {
    match poll_once(socket.write(bytes)) {
        Poll::Ready(Ok(n)) if n > 0 => Sent::Bytes(n),
        Poll::Ready(Err(_)) => Sent::Failed(ErrorKind::Reset),
        Poll::Ready(Ok(_)) | Poll::Pending => Sent::NotYet,
    }
}

/// Waits until the socket is worth another try, or gone.
pub(crate) async fn ready(socket: &TcpSocket<'_>, interest: Interest) {
    until(socket, |socket| match interest {
        Interest::Nothing => socket.state() == State::Closed,
        Interest::Read => socket.can_recv() || !socket.may_recv(),
        Interest::Write => socket.can_send() || !socket.may_send(),
    })
    .await;
}

/// Waits until the condition holds, looking again whenever something happens on the socket.
///
/// A socket that can both be read and written to has no waker to leave with it: there, the caller looks again in time.
pub(crate) async fn until(socket: &TcpSocket<'_>, condition: impl Fn(&TcpSocket<'_>) -> bool) {
    poll_fn(|cx| {
        if condition(socket) {
            return Poll::Ready(());
        }
        // Polled for their wakers alone: neither ends on a FIN or a RST, but both are woken by them.
        let _ = pin!(socket.wait_read_ready()).poll(cx);
        let _ = pin!(socket.wait_write_ready()).poll(cx);
        Poll::Pending
    })
    .await;
}
