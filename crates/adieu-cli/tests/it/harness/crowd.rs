//! A few clients that ask again and again, each request on a connection of its own.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Instance, get, until};

/// How many there are; each asks one thing at a time.
pub(crate) const CLIENTS: usize = 4;

/// How their requests ended so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ends {
    /// Answers by generation.
    pub(crate) answered: BTreeMap<u64, usize>,
    /// Nobody listened.
    pub(crate) refused: usize,
    /// The connection was made, and no whole answer came, or not in a test's patience: by the error's words.
    pub(crate) lost: BTreeMap<String, usize>,
}

impl Ends {
    pub(crate) fn lost(&self) -> usize {
        self.lost.values().sum()
    }

    fn all(&self) -> usize {
        self.answered.values().sum::<usize>() + self.refused + self.lost()
    }
}

/// The clients; they ask until [`Crowd::end`].
#[derive(Debug)]
pub(crate) struct Crowd {
    ends: Arc<Mutex<Ends>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Sends them to an instance that answers.
    pub(crate) fn at(instance: &Instance) -> Self {
        let (ends, over) = (Arc::<Mutex<Ends>>::default(), Arc::<AtomicBool>::default());
        let port = instance.port();
        let threads = (0..CLIENTS)
            .map(|_| {
                let (ends, over) = (Arc::clone(&ends), Arc::clone(&over));
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let end = get(port, "/");
                        note(&mut ends.lock().expect("no client panics"), end);
                        thread::sleep(Duration::from_millis(5));
                    }
                })
            })
            .collect();
        let crowd = Self { ends, over, threads };
        crowd.ask_more();
        crowd
    }

    pub(crate) fn so_far(&self) -> Ends {
        self.ends.lock().expect("no client panics").clone()
    }

    /// Waits until each has asked a few times more.
    pub(crate) fn ask_more(&self) {
        let before = self.so_far().all();
        until("the clients ask", || self.so_far().all() >= before + 3 * CLIENTS);
    }

    /// Waits until so many answers have come from that generation.
    pub(crate) fn wait_for_answers_of(&self, generation: u64, count: usize) {
        until(&format!("generation {generation} answers {count} requests"), || {
            self.so_far().answered.get(&generation).is_some_and(|answers| *answers >= count)
        });
    }

    /// Sends them home.
    pub(crate) fn end(mut self) -> Ends {
        self.stop();
        self.so_far()
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("no client panics");
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn note(ends: &mut Ends, end: io::Result<String>) {
    match end {
        Ok(answer) => *ends.answered.entry(generation(&answer).unwrap_or(0)).or_default() += 1,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => ends.refused += 1,
        Err(error) => *ends.lost.entry(error.to_string()).or_default() += 1,
    }
}

/// The generation that an answer is from.
pub(crate) fn generation(answer: &str) -> Option<u64> {
    answer.strip_prefix("generation ")?.split(' ').next()?.parse().ok()
}
