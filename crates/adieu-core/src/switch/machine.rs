//! The machine itself; its table is in the module above.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::generation::{Entry, Phase, Status};
use super::{Action, Event, Failure, Generation, Policy, Request, Step};
use crate::Timestamp;
use crate::escalation;
use crate::restart::Backoff;

/// Reloads that may wait behind the one under way.
pub(super) const WAITING_RELOADS: usize = 16;
/// Generations that may be alive at once; further reloads wait.
pub(super) const LIVE_GENERATIONS: usize = 8;
/// Senders duplicate signals: a second stop counts only after this.
pub(super) const SECOND_STOP: Duration = Duration::from_secs(1);

/// Generations of one program. See the [module](super) for its invariant and table.
#[derive(Debug, Clone)]
pub struct Switch {
    pub(super) policy: Policy,
    pub(super) entries: BTreeMap<Generation, Entry>,
    pub(super) last: Generation,
    pub(super) serving: Option<Generation>,
    pub(super) next: Option<Generation>,
    pub(super) waiting: VecDeque<Request>,
    /// Without overlap: the reload that starts once the old generation is gone.
    pub(super) replacing: Option<Request>,
    /// The previous command starts again once the failed newcomer is gone.
    pub(super) going_back: bool,
    pub(super) restart_at: Option<Timestamp>,
    pub(super) backoff: Backoff,
    pub(super) stop_asked: Option<Timestamp>,
    /// The code of the run, known once the serving generation's main process has ended for good.
    pub(super) exit_code: Option<i32>,
    pub(super) exited: bool,
    pub(super) actions: VecDeque<Action>,
}

impl Switch {
    /// Nothing runs yet; hand it [`Event::Start`].
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            entries: BTreeMap::new(),
            last: 0,
            serving: None,
            next: None,
            waiting: VecDeque::new(),
            replacing: None,
            going_back: false,
            restart_at: None,
            backoff: Backoff::default(),
            stop_asked: None,
            exit_code: None,
            exited: false,
            actions: VecDeque::new(),
        }
    }

    /// What it was told at the start.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The generation that new connections go to.
    #[must_use]
    pub fn serving(&self) -> Option<Generation> {
        self.serving
    }

    /// The generation that is not ready yet.
    #[must_use]
    pub fn starting(&self) -> Option<Generation> {
        self.next.or_else(|| self.serving.filter(|g| self.entries.get(g).is_some_and(|entry| !entry.ready)))
    }

    /// Whether the whole run is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop_asked.is_some() || self.exit_code.is_some()
    }

    /// All generations that are alive, oldest first.
    pub fn statuses(&self) -> impl Iterator<Item = Status> + '_ {
        self.entries.iter().map(|(generation, entry)| Status {
            generation: *generation,
            phase: entry.phase,
            ready: entry.ready,
            started: entry.started,
        })
    }

    /// When this generation will be killed, once its stop has begun.
    #[must_use]
    pub fn deadline(&self, generation: Generation) -> Option<Timestamp> {
        self.entries.get(&generation)?.deadline
    }

    /// Takes an event. Events about generations that are gone are ignored.
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        if self.exited {
            return;
        }
        match event {
            Event::Start if self.last == 0 => self.begin(now, None),
            Event::Start => {}
            Event::Reload(request) => self.reload(now, request),
            Event::Stop => self.stop(now),
            Event::Force => self.force(now),
            Event::Ready(generation) => self.ready(generation),
            Event::Switched(generation) => self.switched(now, generation),
            Event::SwitchFailed(generation) => self.switch_failed(now, generation),
            Event::QueuesEmpty(generation) => {
                if let Some(entry) = self.entries.get_mut(&generation) {
                    entry.queues_empty = true;
                }
            }
            Event::Drained(generation) => {
                if self.phase(generation) == Some(Phase::Draining) {
                    self.end(now, generation);
                }
            }
            Event::Exclusive(generation) => {
                if let Some(entry) = self.entries.get_mut(&generation) {
                    entry.exclusive = true;
                }
            }
            Event::PreStopDone(generation) => self.escalate(now, generation, escalation::Event::PreStopDone),
            Event::MainExited(generation, outcome) => self.main_exited(now, generation, outcome),
            Event::TreeGone(generation) => self.tree_gone(now, generation),
            Event::Timeout => {}
        }
        self.advance(now);
    }

    /// Tells the machine that time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.handle(now, Event::Timeout);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let of_entries = self.entries.values().flat_map(|entry| {
            let settled = entry.settle_until.filter(|_| entry.phase == Phase::Settling && entry.queues_empty);
            [entry.ready_deadline, settled, entry.phase_until, entry.escalation.poll_timeout()]
        });
        let restart = self.restart_at.filter(|_| self.serving.is_none() && self.place_is_free());
        of_entries.chain([restart]).flatten().min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn phase(&self, generation: Generation) -> Option<Phase> {
        self.entries.get(&generation).map(|entry| entry.phase)
    }

    pub(super) fn progress(&mut self, request: Option<Request>, step: Step) {
        if let Some(request) = request {
            self.actions.push_back(Action::Progress(request, step));
        }
    }

    /// Starts the next generation: beside the serving one, or as the serving one when there is none.
    pub(super) fn begin(&mut self, now: Timestamp, request: Option<Request>) {
        self.last += 1;
        let generation = self.last;
        let beside = self.serving.is_some();
        let mut entry = Entry::new(now, if beside { Phase::Starting } else { Phase::Serving }, request);
        // The first one may take as long as it wants: there is nothing to go back to.
        entry.ready_deadline = request.map(|_| now + self.policy.ready_timeout);
        self.entries.insert(generation, entry);
        if beside {
            self.next = Some(generation);
        } else {
            self.serving = Some(generation);
            self.restart_at = None;
            self.going_back = false;
        }
        self.progress(request, Step::Starting(generation));
        self.actions.push_back(Action::Spawn(generation, request));
    }

    /// What time, and the absence of others, bring about.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let all: Vec<Generation> = self.entries.keys().copied().collect();
        for generation in all {
            let Some(entry) = self.entries.get_mut(&generation) else { continue };
            let over = entry.phase_until.is_some_and(|until| now >= until);
            let too_late = entry.ready_deadline.is_some_and(|deadline| now >= deadline);
            let settled = entry.queues_empty && entry.settle_until.is_some_and(|until| now >= until);
            match entry.phase {
                Phase::Settling if settled || over => self.drain(now, generation),
                Phase::Draining if over => self.end(now, generation),
                Phase::Starting | Phase::Switching | Phase::Serving if too_late => {
                    self.newcomer_failed(now, generation, Failure::NotReady(generation));
                }
                Phase::Starting
                | Phase::Switching
                | Phase::Serving
                | Phase::Settling
                | Phase::Draining
                | Phase::Ending => {}
            }
            if let Some(entry) = self.entries.get_mut(&generation) {
                entry.escalation.handle_timeout(now);
            }
            self.perform_escalation(generation);
        }
        if self.is_stopping() {
            if self.entries.is_empty() && !self.exited {
                self.exited = true;
                self.actions.push_back(Action::Exit(self.exit_code.unwrap_or(0)));
            }
        } else if self.serving.is_none() {
            self.fill_the_place(now);
        } else if !self.busy()
            && let Some(request) = self.waiting.pop_front()
        {
            self.start_reload(now, request);
        }
    }

    /// Whether nothing is left of a generation whose listeners the next one inherits, and none can take over.
    fn place_is_free(&self) -> bool {
        !self.entries.values().any(|entry| entry.held || entry.can_take_over())
    }

    /// Nobody serves: the next generation starts as soon as nothing of the one before is left and its time has come.
    pub(super) fn fill_the_place(&mut self, now: Timestamp) {
        if !self.place_is_free() {
            return;
        }
        if let Some(request) = self.replacing.take().or_else(|| self.waiting.pop_front()) {
            self.begin(now, Some(request));
        } else if self.going_back || self.restart_at.is_some_and(|at| now >= at) {
            self.begin(now, None);
        }
    }

    /// Keeps the listeners of `generation` for the one after it, which starts when its tree is gone.
    pub(super) fn hold(&mut self, generation: Generation) {
        if let Some(entry) = self.entries.get_mut(&generation) {
            entry.held = true;
        }
        self.actions.push_back(Action::Hold(generation));
    }
}
