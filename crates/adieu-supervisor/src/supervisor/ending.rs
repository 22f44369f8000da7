//! How the run ends: by which signal, by force or not, with which code.

use adieu_core::outcome::{Cause, Outcome};
use adieu_core::signal::Signal;
use adieu_core::switch::Generation;

/// How this run ends.
#[derive(Debug)]
pub(super) struct Ending {
    stop_signal: Signal,
    /// Why the first generation could not be started.
    start_code: Option<i32>,
    last_signal: Option<Signal>,
    /// The final stop took force.
    forced: bool,
    exit: Option<i32>,
}

impl Ending {
    pub(super) fn new(stop_signal: Signal) -> Self {
        Self { stop_signal, start_code: None, last_signal: None, forced: false, exit: None }
    }

    /// The signal that asks the program to end.
    pub(super) fn stop_signal(&self) -> Signal {
        self.stop_signal
    }

    /// The stop of everything begins, with this signal for the program.
    pub(super) fn begin(&mut self, stop_signal: Signal) {
        self.stop_signal = stop_signal;
    }

    /// A generation could not be started. Of the first one, the exit code tells why.
    pub(super) fn start_failed(&mut self, generation: Generation, code: i32) {
        if generation == Generation::FIRST {
            self.start_code = Some(code);
        }
    }

    /// A generation has ended.
    pub(super) fn has_ended(&mut self, outcome: Outcome, cause: Cause, stopping: bool) {
        if let Outcome::Signaled(signal) = outcome {
            self.last_signal = Some(signal);
        }
        self.forced |= cause == Cause::Forced && stopping;
    }

    /// The signal that the last generation to end of one ended of.
    pub(super) fn last_signal(&self) -> Option<Signal> {
        self.last_signal
    }

    pub(super) fn was_forced(&self) -> bool {
        self.forced
    }

    /// Everything has ended, with this exit code, unless it is mapped to another or the first start has failed.
    pub(super) fn is_over(&mut self, code: i32, map_exit: &[(i32, i32)]) {
        let code = self.start_code.unwrap_or(code);
        let mapped = map_exit.iter().find(|(from, _)| *from == code).map(|(_, to)| *to);
        self.exit = Some(mapped.unwrap_or(code));
    }

    /// The exit code, once everything has ended.
    pub(super) fn exit(&self) -> Option<i32> {
        self.exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Generation = Generation::new(2);

    fn ending() -> Ending {
        Ending::new(Signal::TERM)
    }

    #[test]
    fn the_signal_that_a_stop_begins_with_is_the_programs() {
        let mut ending = ending();
        assert_eq!(ending.stop_signal(), Signal::TERM);
        ending.begin(Signal::INT);
        assert_eq!(ending.stop_signal(), Signal::INT);
    }

    #[test]
    fn the_code_is_known_at_the_end_and_mapped_by_the_first_that_fits() {
        let mut ending = ending();
        assert_eq!(ending.exit(), None);
        ending.is_over(143, &[(1, 9), (143, 0), (143, 5), (0, 7)]);
        assert_eq!(ending.exit(), Some(0), "mapped once");
        ending.is_over(3, &[(143, 0)]);
        assert_eq!(ending.exit(), Some(3));
    }

    #[test]
    fn of_a_first_start_that_failed_the_code_tells_why() {
        let mut first = ending();
        first.start_failed(Generation::FIRST, 127);
        first.is_over(1, &[]);
        assert_eq!(first.exit(), Some(127));
        first.is_over(1, &[(127, 4)]);
        assert_eq!(first.exit(), Some(4), "it is mapped, too");
        let mut later = ending();
        later.start_failed(SECOND, 127);
        later.is_over(1, &[]);
        assert_eq!(later.exit(), Some(1));
    }

    #[test]
    fn the_last_signal_that_ended_a_generation_is_kept() {
        let mut ending = ending();
        assert_eq!(ending.last_signal(), None);
        ending.has_ended(Outcome::Signaled(Signal::INT), Cause::Signal, false);
        ending.has_ended(Outcome::Exited(0), Cause::Exit, false);
        assert_eq!(ending.last_signal(), Some(Signal::INT));
        ending.has_ended(Outcome::Signaled(Signal::QUIT), Cause::Signal, false);
        assert_eq!(ending.last_signal(), Some(Signal::QUIT));
    }

    #[test]
    fn only_force_in_the_final_stop_counts_and_it_stays_counted() {
        let killed = Outcome::Signaled(Signal::KILL);
        let mut ending = ending();
        ending.has_ended(killed, Cause::Forced, false);
        ending.has_ended(killed, Cause::Oom, true);
        assert!(!ending.was_forced());
        ending.has_ended(killed, Cause::Forced, true);
        ending.has_ended(Outcome::Exited(0), Cause::Exit, true);
        assert!(ending.was_forced());
    }
}
