//! What tells two states of the world apart: not when it is, nor which numbers generations and requests happen to have.
//!
//! Every struct is taken apart completely, so that a new field cannot be forgotten here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::generation::Entry;
use super::super::machine::{Fallen, SECOND_STOP, Switch};
use super::super::{Generation, Request};
use super::seconds;
use super::world::{Life, World};
use crate::Timestamp;

/// A long life, as the restart policy counts it.
const LONG_LIFE: Duration = seconds(10);

/// Numbers by their order: those that are not in the list any more are all the same.
fn rank<T: PartialEq>(all: &[T], number: Option<T>) -> Option<usize> {
    number.map(|number| all.iter().position(|other| *other == number).unwrap_or(usize::MAX))
}

impl World {
    pub(super) fn key(&self) -> u64 {
        let Self {
            machine,
            now,
            lives,
            last: _,
            target,
            held,
            switches,
            requests,
            stop,
            forced,
            speaks,
            code,
            exited,
            honest,
            left,
            history: _,
        } = self;
        let generations: Vec<Generation> = lives.keys().copied().collect();
        let open = requests.iter().filter(|(_, asked)| asked.done.is_none());
        let (open, steps): (Vec<Request>, Vec<u8>) = open.map(|(request, asked)| (*request, asked.step)).unzip();
        let mut view = View { now: *now, generations, requests: open, into: DefaultHasher::new() };
        view.machine(machine);
        lives.values().for_each(|life| view.life(life));
        steps.hash(&mut view.into);
        view.generation(*target);
        switches.iter().for_each(|switch| view.generation(Some(*switch)));
        view.generation(speaks.flatten());
        let since_stop = stop.map(|stop| (*now - stop).min(SECOND_STOP));
        (switches.len(), held, since_stop, forced, speaks.is_some(), code, exited, honest).hash(&mut view.into);
        [left.reloads, left.faults, left.stops, left.forces, left.pauses].hash(&mut view.into);
        view.into.finish()
    }
}

struct View {
    now: Timestamp,
    generations: Vec<Generation>,
    requests: Vec<Request>,
    into: DefaultHasher,
}

impl View {
    fn generation(&mut self, generation: Option<Generation>) {
        rank(&self.generations, generation).hash(&mut self.into);
    }

    fn request(&mut self, request: Option<Request>) {
        rank(&self.requests, request).hash(&mut self.into);
    }

    /// A moment that is awaited; whether it passed long ago makes no difference.
    fn due(&mut self, at: Option<Timestamp>) {
        at.map(|at| (at <= self.now, at - self.now)).hash(&mut self.into);
    }

    /// A moment from which on time is counted, as long as it counts.
    fn since(&mut self, at: Option<Timestamp>, limit: Duration) {
        at.map(|at| (self.now - at).min(limit)).hash(&mut self.into);
    }

    fn machine(&mut self, machine: &Switch) {
        let Switch {
            policy: _,
            entries,
            last: _,
            serving,
            next,
            waiting,
            replacing,
            going_back,
            fallen,
            target,
            restart_at,
            backoff,
            stop_asked,
            exit_code,
            exited,
            actions,
        } = machine;
        assert!(actions.is_empty(), "all actions have been performed");
        [*serving, *next, *target].into_iter().for_each(|generation| self.generation(generation));
        waiting.iter().for_each(|request| self.request(Some(*request)));
        self.request(*replacing);
        if let Some(Fallen { generation, outcome, life }) = fallen {
            self.generation(Some(*generation));
            (outcome, (*life).min(LONG_LIFE)).hash(&mut self.into);
        }
        self.due(*restart_at);
        self.since(*stop_asked, SECOND_STOP);
        let delay = backoff.clone().after_life_of(Duration::ZERO);
        (waiting.len(), going_back, fallen.is_some(), delay, backoff.is_crash_loop(), exit_code, exited)
            .hash(&mut self.into);
        entries.values().for_each(|entry| self.entry(entry));
    }

    fn entry(&mut self, entry: &Entry) {
        let Entry {
            phase,
            ready,
            started,
            ready_deadline,
            settle_until,
            phase_until,
            deadline,
            queues_empty,
            main,
            escalation,
            request,
            replaced_by,
            crash_loop,
            asked,
            killed,
            held,
        } = entry;
        self.since(Some(*started), LONG_LIFE);
        for at in [*ready_deadline, *settle_until, *phase_until, *deadline, escalation.deadline(), escalation.poll_timeout()] {
            self.due(at);
        }
        self.request(*request);
        self.request(replaced_by.map(|(request, _)| request));
        self.generation(replaced_by.map(|(_, by)| by));
        (*phase as u8, ready, queues_empty, main, escalation.state() as u8, crash_loop, asked, killed, held)
            .hash(&mut self.into);
    }

    fn life(&mut self, life: &Life) {
        let Life {
            ready,
            main,
            tree_gone,
            leaving,
            asked_main,
            asked_rest,
            had_pre_stop,
            killed,
            watches_queues,
            watches_owed,
            runs_pre_stop,
        } = life;
        // After the grace period it is all the same how long ago it began.
        self.since(*leaving, seconds(31));
        (ready, main, tree_gone, asked_main, asked_rest, had_pre_stop, killed).hash(&mut self.into);
        [watches_queues, watches_owed, runs_pre_stop].hash(&mut self.into);
    }
}
