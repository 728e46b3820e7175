//! Time-outs that are seldom reached.
//!
//! The runtime's own `timeout` enters its timer when the wait begins and takes it out when the wait ends. Here a timer stays
//! where it was set for an earlier wait, until that passes or a wait is to end sooner.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Timers that connections leave to later ones.
#[derive(Clone, Debug, Default)]
pub struct Alarms(Rc<RefCell<Vec<Alarm>>>);

impl Alarms {
    /// One that nobody else has.
    pub(super) fn take(&self) -> Alarm {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives it back.
    pub(super) fn give(&self, alarm: Alarm) {
        self.0.borrow_mut().push(alarm);
    }
}

/// A timer.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// What `future` comes to; `None` where the deadline passes before that.
    pub(super) async fn before<F: Future>(&mut self, deadline: Instant, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(deadline, context).map(|()| None),
        })
        .await
    }

    /// Ready once the deadline has passed. The task is woken then, and may be sooner.
    fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// The instant after so long; a very long time away where that cannot be told.
pub(super) fn after(from: Instant, limit: Duration) -> Instant {
    /// As long as the runtime's own: thirty years.
    const LONG: Duration = Duration::from_secs(86_400 * 365 * 30);
    from.checked_add(limit).unwrap_or_else(|| from + LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_wait_ends_at_its_own_deadline_whatever_the_timer_was_set_to_before() {
        let alarms = Alarms::default();
        let ms = Duration::from_millis;
        let hour = ms(3_600_000);
        // Sooner than the timer is set to, which would take an hour; later; and after one that ended in time.
        for (limit, ends_after) in [(hour, Some(1)), (ms(10), None), (ms(40), Some(1)), (ms(60), None)] {
            let mut alarm = alarms.take();
            let start = Instant::now();
            let wait = async {
                match ends_after {
                    Some(end) => tokio::time::sleep(ms(end)).await,
                    None => std::future::pending().await,
                }
            };
            let ended = alarm.before(after(start, limit), wait).await;
            assert_eq!(ended.is_some(), ends_after.is_some(), "{limit:?}");
            assert!(ended.is_some() || start.elapsed() >= limit, "{limit:?}");
            alarms.give(alarm);
        }
        assert_eq!(alarms.0.borrow().len(), 1, "one timer did for all");
    }
}
