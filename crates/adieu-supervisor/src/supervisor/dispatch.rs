//! Which handler has its turn: for what has come, for what is to be done next, and for each action of the machine. Three
//! tables and nothing else.

use std::cmp::Reverse;

use adieu_core::switch::{Action, Event};
use adieu_linux::clock;

use super::state::Supervisor;
use super::steps::{Agenda, Step, Steps};
use crate::interests::Source;
use crate::view::Note;

impl Supervisor {
    /// Works off `first` and all that follows from it, depth first.
    pub(super) fn work(&mut self, first: Steps) {
        let mut agenda = Agenda::new(first);
        while let Some(step) = agenda.next() {
            let then = self.take(step);
            agenda.put_first(then);
        }
    }

    /// What has come.
    pub(super) fn hear(&mut self, source: Source) -> Steps {
        match source {
            Source::Call(generation) => self.on_call(generation),
            Source::Signals => Step::ReadSignal { children: false }.into(),
            Source::Keeper(Reverse(generation)) => Step::HearKeeper(generation).into(),
            Source::Notify(generation) => Step::HearNotify(generation).into(),
            Source::Output(generation, at) => self.relay(generation, at),
            Source::Holder(socket) => self.holder_ended(socket),
            Source::Accept => self.accept_clients(),
            Source::Clients => self.read_clients(),
            Source::Other => Steps::none(),
        }
    }

    /// What is to be done next.
    fn take(&mut self, step: Step) -> Steps {
        match step {
            Step::Tell(event) => self.tell(event),
            Step::Note(note) => self.note(note),
            Step::Perform(action) => self.perform(action),
            #[cfg(feature = "failpoints")]
            Step::Performed(action) => {
                crate::failpoint::at("after", action);
                Steps::none()
            }
            Step::ReadSignal { children } => self.read_signal(children),
            Step::HearKeeper(generation) => self.hear_keeper(generation),
            Step::HearNotify(generation) => self.hear_notify(generation),
            Step::PassOn(generation, lines) => self.pass_on(generation, &lines),
            Step::ReadClient(client) => self.read_client(client),
            Step::BeginReload(request) => self.begin_reload(request),
            Step::Spawn(generation, request) => self.spawn(generation, request),
            Step::CheckReady(generation) => self.check_ready(generation),
            Step::ChildChanged(pid, change) => self.child_changed(pid, change),
            Step::KeeperLost(generation) => self.keeper_lost(generation),
            Step::MainChanged(generation, change) => self.main_changed(generation, change),
            Step::MainEnded(generation, outcome) => self.main_ended(generation, outcome),
            Step::AfterMainEnded(generation, losses) => self.after_main_ended(generation, &losses),
            Step::CheckTree(generation) => self.check_tree(generation),
            Step::CheckDirectTrees => self.check_direct_trees(),
            Step::TreeGone(generation) => self.tree_gone(generation),
        }
    }

    fn note(&mut self, note: Note) -> Steps {
        self.journal.note(clock::now(), note);
        Steps::none()
    }

    /// Tells the machine what happened; what it says is to be done.
    fn tell(&mut self, event: Event) -> Steps {
        let actions = self.machine.tell(event, &mut self.journal);
        Steps::none().then_all(actions.into_iter().map(Step::Perform))
    }

    /// What the machine says.
    fn perform(&mut self, action: Action) -> Steps {
        #[cfg(feature = "failpoints")]
        crate::failpoint::at("before", action);
        let steps = match action {
            Action::Spawn(generation, request) => self.secure().then(Step::Spawn(generation, request)),
            Action::Switch(generation) => self.switch_to(generation),
            Action::Serving(generation) => self.serving(generation),
            Action::Hold(generation) => self.hold(generation),
            Action::WatchQueues(generation) => self.watch_queues(generation),
            Action::WatchOwed(generation) => self.watch_owed(generation),
            Action::RunPreStop(generation, budget) => self.run_pre_stop(generation, budget),
            Action::AskMain(generation) => self.ask_main(generation),
            Action::AskRest(generation) => self.ask_rest(generation),
            Action::Kill(generation) => self.kill(generation),
            Action::Retire(generation, outcome, cause) => self.retire(generation, outcome, cause),
            Action::Progress(request, step) => self.progress(request, step),
            Action::Exit(code) => self.finish(code),
        };
        #[cfg(feature = "failpoints")]
        let steps = steps.then(Step::Performed(action));
        steps
    }
}
