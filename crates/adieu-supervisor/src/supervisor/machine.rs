//! The machine that decides, with what this run was told: the only place where [`Switch::handle`] is called.

use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::switch::{Action, Event, Switch};
use adieu_core::timeline::Record;
use adieu_linux::clock;

use crate::journal::Journal;
use crate::options::Options;
use crate::view::View;

/// What decides, and what it was told.
#[derive(Debug)]
pub(super) struct Machine {
    options: Options,
    switch: Switch,
    started: Timestamp,
}

impl Machine {
    pub(super) fn new(options: Options, now: Timestamp) -> Self {
        let policy = options.policy();
        Self { options, switch: Switch::new(policy), started: now }
    }

    /// What the parts may see, at this moment.
    pub(super) fn view(&self) -> View<'_> {
        View { options: &self.options, switch: &self.switch, now: clock::now() }
    }

    /// When this run has begun.
    pub(super) fn started(&self) -> Timestamp {
        self.started
    }

    /// Whether time alone has something to do.
    pub(super) fn is_due(&self) -> bool {
        self.switch.poll_timeout().is_some_and(|at| clock::now() >= at)
    }

    /// Tells the machine what has happened; what is to be done now, in order.
    pub(super) fn tell(&mut self, event: Event, journal: &mut Journal) -> Vec<Action> {
        // The timeline keeps microseconds: the machine gets the same, so that it replays exactly.
        let micros = u64::try_from(clock::now().since_origin().as_micros()).unwrap_or(u64::MAX);
        let now = Timestamp::from_origin(Duration::from_micros(micros));
        journal.record(now, Record::Input(event));
        self.switch.handle(now, event);
        let mut actions = Vec::new();
        while let Some(action) = self.switch.poll_action() {
            journal.record(now, Record::Output(action));
            actions.push(action);
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use adieu_core::switch::{Generation, RequestId};

    use super::*;
    use crate::options::Sockets;
    use crate::testing;

    fn machine(options: Options) -> Machine {
        Machine::new(options, Timestamp::ZERO)
    }

    #[test]
    fn what_the_machine_is_told_and_what_it_says_are_recorded_in_order_and_replay() {
        let (mut machine, mut journal) = (machine(testing::options()), Journal::new(false, "web"));
        let actions = machine.tell(Event::Start, &mut journal);
        assert!(actions.contains(&Action::Spawn(Generation::FIRST, None)), "{actions:?}");
        let recorded: Vec<Record> = journal.entries().map(|entry| entry.what.clone()).collect();
        let expected: Vec<Record> =
            [Record::Input(Event::Start)].into_iter().chain(actions.into_iter().map(Record::Output)).collect();
        assert_eq!(recorded, expected);
        // The timeline is written in microseconds: nothing may be lost by that.
        assert!(journal.entries().all(|entry| entry.at.since_origin().subsec_nanos() % 1_000 == 0));
        assert_eq!(machine.started(), Timestamp::ZERO);
    }

    #[test]
    fn it_is_due_when_the_machine_waits_for_time_that_has_passed() {
        let mut options = testing::options();
        options.ready_timeout = Duration::from_secs(3_600);
        let (mut waits, mut journal) = (machine(options), Journal::new(false, "web"));
        assert!(!waits.is_due(), "nothing is waited for");
        for event in [Event::Start, Event::Ready(Generation::FIRST), Event::Reload(RequestId::FIRST)] {
            let _actions = waits.tell(event, &mut journal);
        }
        assert!(waits.view().switch.poll_timeout().is_some() && !waits.is_due());
        let mut options = testing::options();
        options.ready_timeout = Duration::from_micros(1);
        let mut due = machine(options);
        for event in [Event::Start, Event::Ready(Generation::FIRST), Event::Reload(RequestId::FIRST)] {
            let _actions = due.tell(event, &mut journal);
        }
        testing::until("the time that it waits for", || due.is_due());
    }

    #[test]
    fn the_policy_is_what_the_run_was_told() {
        let mut options = testing::options();
        options.grace = Duration::from_secs(30);
        options.pre_stop = Some(crate::options::Hook::Command("true".to_owned()));
        let policy = |options: &Options| machine(options.clone()).switch.policy().clone();
        let told = policy(&options);
        assert_eq!((told.grace, told.drain_timeout), (Duration::from_secs(30), Duration::from_secs(20)));
        assert!(told.overlap && told.pre_stop);
        options.pre_stop = None;
        options.sockets = Sockets::Off;
        assert!(!policy(&options).overlap, "a plain init never has two");
        assert!(!policy(&options).pre_stop);
        options.sockets = Sockets::Pass;
        assert!(policy(&options).overlap);
        options.overlap = false;
        assert!(!policy(&options).overlap);
    }
}
