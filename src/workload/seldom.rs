//! A future among others of one task that is polled only once it has been woken itself.
//!
//! A task that waits for several things polls all of them whenever one is ready. At ten thousand attempts a second, asking
//! for what is ready once in a run costs more than most of an attempt does.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The future, which is seldom ready.
#[derive(Debug)]
pub struct Seldom<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
    /// What the future wakes: `woken`.
    own: Waker,
    /// Whom `woken` wakes.
    task: Option<Waker>,
}

#[derive(Debug)]
struct Woken {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        // Not woken under the lock: who is woken may poll at once.
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        task.iter().for_each(Waker::wake_by_ref);
    }
}

impl<F: Future> Seldom<F> {
    /// One that has its first poll coming.
    pub fn new(future: F) -> Self {
        let woken = Arc::new(Woken { woken: AtomicBool::new(true), task: Mutex::new(None) });
        Self { future: Box::pin(future), own: Arc::clone(&woken).into(), woken, task: None }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            let task = Some(context.waker().clone());
            self.woken.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&task);
            self.task = task;
        }
        // Only now: a waking before that has set it.
        if !self.woken.woken.load(Ordering::Relaxed) || !self.woken.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let Self { future, own, .. } = &mut *self;
        future.as_mut().poll(&mut Context::from_waker(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn it_is_polled_first_and_when_it_was_woken_and_not_for_its_neighbours() {
        let (polls, ready) = (Cell::new(0), tokio::sync::Notify::new());
        let mut wait = Box::pin(ready.notified());
        let seldom = Seldom::new(std::future::poll_fn(|context| {
            polls.set(polls.get() + 1);
            wait.as_mut().poll(context)
        }));
        let neighbour = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(polls.get(), 1);
            ready.notify_one();
        };
        tokio::join!(seldom, neighbour);
        assert_eq!(polls.get(), 2);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_that_moves_to_another_task_wakes_that_one() {
        let mut seldom = Seldom::new(tokio::time::sleep(Duration::from_millis(30)));
        let first = tokio::time::timeout(Duration::from_millis(1), &mut seldom).await;
        assert!(first.is_err());
        tokio::spawn(seldom).await.unwrap();
    }

    #[test]
    fn a_waking_from_another_thread_counts() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || tell.send(7).unwrap());
        assert_eq!(runtime.block_on(Seldom::new(told)), Ok(7));
        thread.join().unwrap();
    }
}
