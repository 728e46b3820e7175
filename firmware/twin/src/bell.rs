//! Calls a task of another thread.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[derive(Default)]
enum State {
    #[default]
    Quiet,
    /// Somebody waits.
    Awaited(Waker),
    /// It has rung, and nobody has heard it yet.
    Rung,
}

/// Rings from any thread, and is heard by one task.
#[derive(Default)]
pub(crate) struct Bell(Mutex<State>);

impl Bell {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the wait, or the next one.
    pub(crate) fn ring(&self) {
        let before = std::mem::replace(&mut *self.state(), State::Rung);
        if let State::Awaited(waker) = before {
            waker.wake();
        }
    }

    /// Waits until it has rung since the last wait.
    pub(crate) async fn heard(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            match *state {
                State::Rung => {
                    *state = State::Quiet;
                    Poll::Ready(())
                }
                State::Quiet | State::Awaited(_) => {
                    *state = State::Awaited(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use std::sync::Arc;

    #[test]
    fn a_ring_before_the_wait_ends_it() {
        let bell = Bell::default();
        bell.ring();
        block_on(bell.heard());
    }

    #[test]
    fn a_ring_from_another_thread_ends_the_wait() {
        let bell = Arc::new(Bell::default());
        let ringing = Arc::clone(&bell);
        let thread = std::thread::spawn(move || ringing.ring());
        block_on(bell.heard());
        thread.join().expect("no panic");
    }
}
