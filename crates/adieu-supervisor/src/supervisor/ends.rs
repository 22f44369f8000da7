//! Ends: of a child, of a main process, of a whole tree. What a death has cost is counted before anybody reacts to it, and
//! told when it is known who serves instead.

use adieu_core::ids::Pid;
use adieu_core::outcome::{Cause, Outcome};
use adieu_core::signal::Signal;
use adieu_core::switch::{Event, Generation};
use adieu_linux::wait::Change;

use super::state::Supervisor;
use super::steps::{Step, Steps};
use crate::connections::Losses;
use crate::processes::Role;
use crate::view::Out;

impl Supervisor {
    /// Takes all ended children of ours.
    pub(super) fn reap(&mut self) -> Steps {
        let changes = self.processes.reap();
        let steps = Steps::none().then_all(changes.into_iter().map(|(pid, change)| Step::ChildChanged(pid, change)));
        steps.then(Step::CheckDirectTrees)
    }

    pub(super) fn child_changed(&mut self, pid: Pid, change: Change) -> Steps {
        match self.processes.role_of(pid, change) {
            // Only a main process whose keeper is gone is a child of ours.
            Role::Main(generation) if self.processes.has_keeper(generation) => {
                Steps::from(Step::KeeperLost(generation)).then(Step::MainChanged(generation, change))
            }
            Role::Main(generation) => Step::MainChanged(generation, change).into(),
            Role::Command => self.command_ended(pid, change == Change::Exited(0)),
            Role::Other => Steps::none(),
        }
    }

    /// A probe or a hook has ended.
    fn command_ended(&mut self, pid: Pid, success: bool) -> Steps {
        let (mut out, now) = (Out::default(), self.machine.view().now);
        match self.readiness.command_ended(pid, success, now, &mut out) {
            Some(need) => self.meet(need),
            None => self.hooks.command_ended(pid, success, &mut out),
        }
        out.into()
    }

    /// Somebody killed the keeper: its generation's processes are our own children now.
    pub(super) fn keeper_lost(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        let first = self.processes.lose_keeper(generation, &mut out);
        let mut steps = Steps::from(out);
        if let Some(main) = first {
            self.processes.main_started(generation, main);
            steps = steps.then(Step::CheckReady(generation));
        }
        steps.then(Step::CheckTree(generation))
    }

    /// The main process has ended, was stopped or continued.
    pub(super) fn main_changed(&mut self, generation: Generation, change: Change) -> Steps {
        let Some(outcome) = self.processes.outcome_of(generation, change) else { return Steps::none() };
        let typed = matches!(outcome, Outcome::Signaled(signal) if [Signal::INT, Signal::QUIT].contains(&signal));
        let at_terminal = self.processes.terminal().is_some() && !self.machine.view().switch.is_stopping();
        // Whoever sits at the terminal wants it to end: it is not started again.
        let stop = (typed && at_terminal).then_some(Step::Tell(Event::Stop));
        Steps::none().then_all(stop).then(Step::MainEnded(generation, outcome))
    }

    pub(super) fn main_ended(&mut self, generation: Generation, outcome: Outcome) -> Steps {
        let mut out = Out::default();
        self.processes.main_ended(generation, outcome);
        let view = self.machine.view();
        let may_be_ready = self.sockets.main_ended(&view, generation, &mut out);
        let first = Steps::none().then_all(may_be_ready.into_iter().map(Step::CheckReady));
        if self.processes.may_start_again(generation, outcome)
            && let Some(missed) = self.sockets.wants_second_try(&view, generation)
        {
            // The machine does not hear of it.
            out.note(format!(
                "generation {generation} ended ({outcome}) without binding {missed}, as a program does that finds somebody there: \
                 it is started again and will find nobody"
            ));
            self.processes.start_again_after(generation, self.ending.stop_signal());
            return first.then_all(Steps::from(out));
        }
        self.processes.mention_background(&view, generation, outcome, &mut out);
        let losses = self.connections.losses_of(&view, &self.processes, &self.sockets, generation);
        self.connections.main_ended(generation);
        out.event(Event::MainExited(generation, outcome));
        first.then_all(Steps::from(out)).then(Step::AfterMainEnded(generation, losses))
    }

    /// It is known who serves now.
    pub(super) fn after_main_ended(&mut self, generation: Generation, losses: &Losses) -> Steps {
        let mut out = Out::default();
        let view = self.machine.view();
        losses.tell(&view, generation, &mut out);
        self.sockets.drop_left(&view, &self.processes, generation, &mut out);
        out.into()
    }

    /// Without a keeper: is anything left of this generation?
    pub(super) fn check_tree(&self, generation: Generation) -> Steps {
        if self.processes.is_tree_gone(generation) { Step::TreeGone(generation).into() } else { Steps::none() }
    }

    pub(super) fn check_direct_trees(&self) -> Steps {
        Steps::none().then_all(self.processes.direct().into_iter().map(Step::CheckTree))
    }

    /// No process of `generation` is left.
    pub(super) fn tree_gone(&mut self, generation: Generation) -> Steps {
        let Some((request, outcome)) = self.processes.starts_again(generation) else {
            return Step::Tell(Event::TreeGone(generation)).into();
        };
        let view = self.machine.view();
        if view.switch.starting() != Some(generation) || view.switch.is_stopping() {
            // It has been given up meanwhile.
            return Steps::from(Step::Tell(Event::MainExited(generation, outcome)))
                .then(Step::Tell(Event::TreeGone(generation)));
        }
        let mut out = Out::default();
        self.sockets.prepare_second_try(&view, generation, &mut out);
        self.readiness.forget(generation);
        self.processes.forget(generation);
        Steps::from(out).then(Step::Spawn(generation, request))
    }

    /// The tree of `generation` is gone: closes what is held of it, and runs the post-stop hook.
    pub(super) fn retire(&mut self, generation: Generation, outcome: Outcome, cause: Cause) -> Steps {
        let mut out = Out::default();
        let view = self.machine.view();
        self.sockets.retire(&view, generation, &mut out);
        self.connections.retire(generation, outcome);
        self.readiness.forget(generation);
        let Some(end) = self.processes.retire(generation, outcome, cause) else { return out.into() };
        self.housekeeping.soon(view.now);
        self.ending.has_ended(outcome, end.cause, view.switch.is_stopping());
        if !matches!(end.cause, Cause::Exit) {
            let text = format!("generation {generation} is gone: {outcome}, cause {}", end.cause.name());
            // The timeline has it already, without the memory's part in it.
            if end.cause == Cause::Oom { out.note(text) } else { out.log(text) }
        }
        let mut shell = self.processes.shell(&view, generation);
        self.hooks.run_post_stop(&view, generation, outcome, &end, &mut shell, &mut out);
        out.into()
    }
}
