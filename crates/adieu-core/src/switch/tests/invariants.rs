//! What always holds, whatever happened: after each action, and after each event.

use super::super::machine::LIVE_GENERATIONS;
use super::super::{Action, Event, Generation, Phase, Request, Step};
use super::world::{Life, World};
use crate::escalation::KILL_AGAIN;

type Judgement = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Judgement {
    if holds { Ok(()) } else { Err(what()) }
}

impl World {
    /// Performs one action as a driver does, and judges it.
    pub(super) fn perform(&mut self, action: Action) -> Judgement {
        self.invariant_exit_is_last(action)?;
        match action {
            Action::Spawn(generation, request) => self.spawned(generation, request),
            Action::Switch(generation) => {
                let life = self.living(generation, action)?;
                ensure(life.ready && life.main.is_none(), || format!("{action:?} to one that is not ready"))?;
                ensure(!self.machine.is_stopping(), || format!("{action:?} while everything is being stopped"))?;
                // Back again: what had begun of its end is off.
                self.change(generation, |life| life.leaving = None);
                self.switches.push_back(generation);
                Ok(())
            }
            Action::Serving(generation) => {
                let life = self.living(generation, action)?;
                ensure(life.ready, || format!("{action:?}, but it is not ready"))?;
                (self.target, self.held) = (Some(generation), false);
                Ok(())
            }
            Action::Hold(generation) => {
                ensure(generation <= self.last, || format!("{action:?} of one that never was"))?;
                self.held |= self.target.is_none_or(|target| target == generation);
                Ok(())
            }
            Action::WatchQueues(generation) => {
                self.living(generation, action)?;
                self.change(generation, |life| life.watches_queues = true);
                Ok(())
            }
            Action::WatchOwed(generation) => {
                self.living(generation, action)?;
                self.leaves(generation);
                self.change(generation, |life| life.watches_owed = true);
                Ok(())
            }
            Action::RunPreStop(..) | Action::AskMain(_) | Action::AskRest(_) => self.asked(action),
            Action::Kill(generation) => self.invariant_killed_at_the_deadline_and_not_before(generation),
            Action::Retire(generation, _, _) => self.invariant_retired_once_and_not_before_its_end(generation),
            Action::Progress(request, step) => self.invariant_answered_once(request, step),
            Action::Exit(code) => self.invariant_an_exit_leaves_nothing(code),
        }
    }

    fn living(&self, generation: Generation, action: Action) -> Result<Life, String> {
        self.lives.get(&generation).copied().ok_or_else(|| format!("{action:?} of one that is not there"))
    }

    /// Its grace period begins, if it has not begun yet.
    fn leaves(&mut self, generation: Generation) {
        let now = self.now;
        self.change(generation, |life| {
            life.leaving.get_or_insert(now);
        });
    }

    fn spawned(&mut self, generation: Generation, request: Option<Request>) -> Judgement {
        ensure(generation == self.last + 1, || format!("generation {generation} after {}", self.last))?;
        ensure(!self.machine.is_stopping(), || "started while everything is being stopped".to_owned())?;
        let open = request.is_none_or(|request| self.requests.get(&request).is_some_and(|asked| asked.done.is_none()));
        ensure(open, || format!("started for request {request:?}, which is over"))?;
        self.last = generation;
        self.lives.insert(generation, Life::default());
        self.invariant_never_two_without_overlap()?;
        self.invariant_no_more_than_may_live_at_once()
    }

    fn invariant_never_two_without_overlap(&self) -> Judgement {
        let alone = self.machine.policy.overlap || self.lives.len() == 1;
        ensure(alone, || "two at once without overlap".to_owned())
    }

    fn invariant_no_more_than_may_live_at_once(&self) -> Judgement {
        ensure(self.lives.len() <= LIVE_GENERATIONS, || format!("{} generations at once", self.lives.len()))
    }

    /// Each step of a stop is taken once, and the main process is asked before the rest, and only while it lives.
    fn asked(&mut self, action: Action) -> Judgement {
        let (Action::RunPreStop(generation, _) | Action::AskMain(generation) | Action::AskRest(generation)) = action
        else {
            return Ok(());
        };
        let life = self.living(generation, action)?;
        let (alive, policy) = (life.main.is_none(), &self.machine.policy);
        let in_order = match action {
            Action::RunPreStop(_, budget) => {
                policy.pre_stop
                    && alive
                    && !life.had_pre_stop
                    && !life.asked_main
                    && !budget.is_zero()
                    && budget <= policy.grace
            }
            Action::AskMain(_) => alive && !life.asked_main,
            _ => !alive && !life.asked_rest,
        };
        ensure(in_order, || format!("{action:?} of {life:?}"))?;
        self.leaves(generation);
        self.change(generation, |life| match action {
            Action::RunPreStop(..) => (life.had_pre_stop, life.runs_pre_stop) = (true, true),
            Action::AskMain(_) => life.asked_main = true,
            _ => life.asked_rest = true,
        });
        self.invariant_the_target_is_not_taken_down(generation)
    }

    /// Who has the connections is not asked to end, unless they wait elsewhere for the next one or everything is to end.
    fn invariant_the_target_is_not_taken_down(&self, generation: Generation) -> Judgement {
        let away = self.target != Some(generation) || self.held || !self.switches.is_empty();
        let fine = !self.honest || self.machine.is_stopping() || away;
        ensure(fine, || format!("generation {generation} has the connections and is ended"))
    }

    fn invariant_killed_at_the_deadline_and_not_before(&mut self, generation: Generation) -> Judgement {
        let life = self.living(generation, Action::Kill(generation))?;
        let due = life.leaving.is_some_and(|since| self.now >= since + self.machine.policy.grace);
        ensure(due || self.forced, || format!("generation {generation} is killed before its deadline"))?;
        self.leaves(generation);
        self.change(generation, |life| life.killed = true);
        Ok(())
    }

    fn invariant_retired_once_and_not_before_its_end(&mut self, generation: Generation) -> Judgement {
        let life = self.lives.remove(&generation);
        ensure(life.is_some_and(|life| life.tree_gone), || format!("generation {generation} is retired: {life:?}"))?;
        // Its sockets are closed now: whoever connects must find another one.
        let elsewhere = self.target != Some(generation) || self.held;
        let fine = !self.honest || elsewhere || self.machine.is_stopping();
        ensure(fine, || format!("generation {generation} is retired with the connections"))?;
        if self.target == Some(generation) {
            self.target = None;
        }
        Ok(())
    }

    /// A reload goes through its steps in order and ends with one answer, after which nothing is said about it.
    fn invariant_answered_once(&mut self, request: Request, step: Step) -> Judgement {
        let Some(asked) = self.requests.get_mut(&request) else {
            return Err(format!("{step:?} of request {request}, which nobody has made"));
        };
        let (number, done) = match step {
            Step::Queued => (1, None),
            Step::Starting(_) => (2, None),
            Step::Switched(_) => (3, None),
            Step::Settled(_) => (4, None),
            Step::Drained(_) => (5, Some(true)),
            Step::Failed(_) => (6, Some(false)),
        };
        let before = *asked;
        let in_order = before.step < number && (done != Some(true) || before.step == 4);
        ensure(before.done.is_none() && in_order, || format!("{step:?} of request {request} after {before:?}"))?;
        (asked.step, asked.done) = (number, done);
        Ok(())
    }

    fn invariant_an_exit_leaves_nothing(&mut self, code: i32) -> Judgement {
        ensure(self.lives.is_empty(), || "everything ends while something lives".to_owned())?;
        let open = self.requests.iter().find(|(_, asked)| asked.done.is_none());
        ensure(open.is_none(), || format!("everything ends and a reload was never answered: {open:?}"))?;
        let expected = if self.speaks.is_some() { self.code.unwrap_or(0) } else { code };
        ensure(code == expected, || format!("the exit code is {code}, not {expected}"))?;
        self.exited = Some(code);
        Ok(())
    }

    /// After it, only reloads that come too late are answered.
    fn invariant_exit_is_last(&self, action: Action) -> Judgement {
        let answer = matches!(action, Action::Progress(_, Step::Failed(_)));
        ensure(self.exited.is_none() || answer, || format!("{action:?} after the exit"))
    }

    /// What holds between two events.
    pub(super) fn invariants(&mut self, event: Event) -> Judgement {
        self.note_the_stop();
        self.invariant_the_machine_knows_who_lives()?;
        self.invariant_one_newcomer_at_a_time()?;
        self.invariant_nobody_is_refused()?;
        self.invariant_every_stop_has_a_deadline()?;
        self.invariant_whoever_waits_is_waited_for()?;
        if event == Event::Timeout {
            self.invariant_time_that_was_dealt_with_is_over()?;
        }
        Ok(())
    }

    /// A final stop begins for all that live; the code of the run is that of the generation that serves now.
    fn note_the_stop(&mut self) {
        if self.stop.is_none() || self.speaks.is_some() {
            return;
        }
        let speaks = self.machine.serving().filter(|serving| {
            self.lives.get(serving).is_some_and(|life| life.main.is_none())
        });
        if self.machine.exit_code.is_none() {
            self.speaks = Some(speaks);
        }
        let all: Vec<Generation> = self.lives.keys().copied().collect();
        all.into_iter().for_each(|generation| self.leaves(generation));
    }

    fn invariant_the_machine_knows_who_lives(&self) -> Judgement {
        let known = self.machine.statuses().map(|status| status.generation);
        ensure(known.eq(self.lives.keys().copied()), || format!("who lives: {:?}", self.lives.keys()))
    }

    /// Beside the one that has the place at most one is not ready yet.
    fn invariant_one_newcomer_at_a_time(&self) -> Judgement {
        let serving = self.machine.serving();
        let newcomer = |phase| matches!(phase, Phase::Starting | Phase::Serving);
        let others = self.machine.statuses().filter(|status| Some(status.generation) != serving);
        let newcomers = others.filter(|status| newcomer(status.phase)).count();
        ensure(newcomers <= 1, || format!("{newcomers} newcomers"))
    }

    /// From the first ready on new connections go to a ready generation that lives, or wait in held listeners for the next
    /// one, or are being sent elsewhere at this moment.
    fn invariant_nobody_is_refused(&self) -> Judgement {
        let Some(target) = self.target.filter(|_| self.honest && !self.machine.is_stopping()) else { return Ok(()) };
        let takes = |life: &Life| life.ready && life.main.is_none() && !life.asked_main && !life.killed;
        let taken = self.lives.get(&target).is_some_and(takes) || self.held || !self.switches.is_empty();
        ensure(taken, || format!("new connections go to generation {target}, which does not take them"))
    }

    /// Whatever is asked to end is called back to in time, so that nothing can hang.
    fn invariant_every_stop_has_a_deadline(&self) -> Judgement {
        for (generation, life) in &self.lives {
            let Some(since) = life.leaving else { continue };
            let latest = (since + self.machine.policy.grace).max(self.now + KILL_AGAIN);
            let called = self.machine.poll_timeout().is_some_and(|at| at <= latest);
            ensure(called, || format!("generation {generation} has no deadline: {:?}", self.machine.poll_timeout()))?;
            let known = self.machine.deadline(*generation);
            ensure(known.is_some(), || format!("the deadline of generation {generation} is not known"))?;
        }
        Ok(())
    }

    /// While reloads are open or nobody lives, something will happen: a generation, an answer or a time is awaited.
    fn invariant_whoever_waits_is_waited_for(&self) -> Judgement {
        let idle = self.lives.is_empty() && self.switches.is_empty() && self.machine.poll_timeout().is_none();
        ensure(!idle || self.exited.is_some() || self.last == 0, || "nothing lives and nothing is awaited".to_owned())
    }

    /// No busy loop: a few phases may end at one moment, one after the other, and then the next moment lies ahead.
    fn invariant_time_that_was_dealt_with_is_over(&self) -> Judgement {
        if self.machine.poll_timeout().is_none_or(|at| at > self.now) {
            return Ok(());
        }
        let mut later = self.machine.clone();
        for _ in 0..4 {
            later.handle_timeout(self.now);
        }
        let next = later.poll_timeout();
        ensure(next.is_none_or(|at| at > self.now), || format!("called back to {next:?} at {:?} again and again", self.now))
    }
}
