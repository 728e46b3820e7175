//! Calls that wait inside of lwIP, each on a thread: a send that has to wait for room, a shutdown, a close.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use espstress_lwip::{DeviceSocket, Errno, Shutdown, Stack};

/// What a thread is to do.
#[derive(Debug)]
pub(crate) enum Work {
    Send { bytes: Vec<u8>, more: bool },
    Shutdown(Shutdown),
    Close,
}

/// Work that is done.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) job: u64,
    pub(crate) result: Result<usize, Errno>,
}

struct Job {
    number: u64,
    socket: Arc<DeviceSocket>,
    work: Work,
}

/// Threads that wait. There are as many as work is waiting.
pub(crate) struct Workers {
    jobs: Sender<Job>,
    queue: Arc<Mutex<Receiver<Job>>>,
    done: Sender<Finished>,
    pub(crate) finished: Receiver<Finished>,
    idle: Arc<AtomicUsize>,
    wake: Arc<dyn Fn() + Send + Sync>,
    stack: Stack,
    last: u64,
}

impl Workers {
    /// `wake` is called after work is done.
    pub(crate) fn new(stack: Stack, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let (jobs, queue) = channel();
        let (done, finished) = channel();
        let queue = Arc::new(Mutex::new(queue));
        Self { jobs, queue, done, finished, idle: Arc::new(AtomicUsize::new(0)), wake, stack, last: 0 }
    }

    /// Starts work: its number.
    pub(crate) fn start(&mut self, socket: Arc<DeviceSocket>, work: Work) -> u64 {
        self.last += 1;
        let job = Job { number: self.last, socket, work };
        // One waits for work that is on its way already.
        let taken = self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| idle.checked_sub(1));
        if taken.is_err() {
            self.spawn();
        }
        // The queue is ours: it is there.
        let _ = self.jobs.send(job);
        self.last
    }

    fn spawn(&self) {
        let (queue, done) = (Arc::clone(&self.queue), self.done.clone());
        let (idle, wake) = (Arc::clone(&self.idle), Arc::clone(&self.wake));
        let stack = self.stack.clone();
        let work = move || {
            stack.this_thread_is_no_task();
            loop {
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(job) = job else { return };
                let result = carry_out(&job.socket, job.work);
                idle.fetch_add(1, Ordering::Relaxed);
                if done.send(Finished { job: job.number, result }).is_err() {
                    return;
                }
                wake();
            }
        };
        // Without a thread the work waits for one that is at work.
        let _ = std::thread::Builder::new().name("program-work".to_owned()).spawn(work);
    }
}

fn carry_out(socket: &DeviceSocket, work: Work) -> Result<usize, Errno> {
    match work {
        Work::Send { bytes, more } => socket.send_all(&bytes, more),
        Work::Shutdown(how) => socket.shutdown(how).map(|()| 0),
        Work::Close => socket.close().map(|()| 0),
    }
}
