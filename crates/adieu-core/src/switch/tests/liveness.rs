//! From every state the run can be ended in time, and left alone it comes to rest with every reload answered.

use super::super::{Event, Generation};
use super::world::World;
use super::{KILLED, seconds};

/// So many events bring every run to its end.
const MOST_EVENTS: usize = 300;

impl World {
    /// Stops everything, with programs that do nothing until they are killed and hooks that never return: it ends within the
    /// grace period.
    pub(super) fn ends_in_time(mut self) {
        if self.exited.is_some() {
            return;
        }
        self.tell(Event::Stop);
        // Kills are repeated; a generation begins no new grace period.
        let limit = self.now + self.machine.policy.grace + seconds(1);
        for _ in 0..MOST_EVENTS {
            if self.exited.is_some() {
                return;
            }
            if let Some(answer) = self.answer_the_switch() {
                self.tell(answer);
                continue;
            }
            let killed = self.lives.iter().find(|(_, life)| life.killed).map(|(generation, _)| *generation);
            match killed {
                Some(generation) => self.tell_all([Event::MainExited(generation, KILLED), Event::TreeGone(generation)]),
                None => self.wait(),
            }
            if self.now > limit {
                self.fail("a stop takes longer than the grace period");
            }
        }
        self.fail("a stop never ends");
    }

    /// Nothing goes wrong any more. `willing`: programs get ready, else those that are not ready yet never do.
    pub(super) fn comes_to_rest(mut self, willing: bool) {
        for _ in 0..MOST_EVENTS {
            if self.exited.is_some() {
                return;
            }
            match self.next_of_its_own(willing) {
                Some(event) => self.tell(event),
                None if self.machine.poll_timeout().is_some() => self.wait(),
                None => return self.is_at_rest(willing),
            }
        }
        self.fail("left alone, it never comes to rest");
    }

    fn is_at_rest(&self, willing: bool) {
        if let Some((request, _)) = self.requests.iter().find(|(_, asked)| asked.done.is_none()) {
            self.fail(&format!("left alone, request {request} is never answered"));
        }
        let [(generation, life)] = &self.lives.iter().collect::<Vec<_>>()[..] else {
            self.fail("left alone, not one generation lives")
        };
        let serves = self.machine.serving() == Some(**generation) && life.main.is_none() && (life.ready || !willing);
        if !serves || self.machine.starting().is_some() == willing && !life.ready {
            self.fail("left alone, nobody serves");
        }
        if life.ready && self.honest && self.target != Some(**generation) {
            self.fail("left alone, the connections go elsewhere");
        }
    }

    /// What programs and their driver do next without anybody's fault.
    pub(super) fn next_of_its_own(&self, willing: bool) -> Option<Event> {
        self.answer_the_switch().or_else(|| self.lives.keys().find_map(|generation| self.next_of(*generation, willing)))
    }

    fn next_of(&self, generation: Generation, willing: bool) -> Option<Event> {
        let life = &self.lives[&generation];
        if life.main.is_some() {
            return Some(Event::TreeGone(generation));
        }
        if life.runs_pre_stop {
            return Some(Event::PreStopDone(generation));
        }
        if life.asked_main || life.killed {
            return Some(Event::MainExited(generation, crate::outcome::Outcome::Exited(0)));
        }
        if willing && self.machine.awaits_ready(generation) {
            return Some(Event::Ready(generation));
        }
        if life.watches_queues {
            return Some(Event::QueuesEmpty(generation));
        }
        life.watches_owed.then_some(Event::Drained(generation))
    }
}
