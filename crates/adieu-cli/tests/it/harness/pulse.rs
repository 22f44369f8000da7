//! The control of what has to come in time: how late this machine is with anything at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A thread that wants to run every now and then, and measures how much later it does. With others at work every process is
/// as late as that, a tested one too.
#[derive(Debug)]
pub(crate) struct Pulse {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

const EVERY: Duration = Duration::from_millis(10);

impl Pulse {
    pub(crate) fn start() -> Self {
        let over = Arc::<AtomicBool>::default();
        let told = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut latest = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                thread::sleep(EVERY);
                latest = latest.max(began.elapsed().saturating_sub(EVERY));
            }
            latest
        });
        Self { over, thread }
    }

    /// The longest that it was late by, in seconds.
    pub(crate) fn latest(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does nothing that could panic").as_secs_f64()
    }
}
