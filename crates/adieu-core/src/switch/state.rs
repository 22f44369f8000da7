//! What the machine knows, and the smallest steps that several of its transitions share.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::generation::{Entry, Phase, Status};
use super::{Action, Generation, Policy, RequestId, Step};
use crate::Timestamp;

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
    pub(super) last: Option<Generation>,
    pub(super) serving: Option<Generation>,
    pub(super) next: Option<Generation>,
    pub(super) waiting: VecDeque<RequestId>,
    /// Without overlap: the reload that starts once the old generation is gone.
    pub(super) replacing: Option<RequestId>,
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
    /// Nothing runs yet; hand it [`Event::Start`](super::Event::Start).
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            entries: BTreeMap::new(),
            last: None,
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

    /// Whether everything has ended: nothing will be done any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.exited
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

    pub(super) fn phase(&self, generation: Generation) -> Option<Phase> {
        self.entries.get(&generation).map(|entry| entry.phase)
    }

    pub(super) fn progress(&mut self, request: Option<RequestId>, step: Step) {
        if let Some(request) = request {
            self.actions.push_back(Action::Progress(request, step));
        }
    }

    /// Starts the next generation: beside the serving one, or as the serving one when there is none.
    pub(super) fn begin(&mut self, now: Timestamp, request: Option<RequestId>) {
        let generation = self.last.map_or(Generation::FIRST, Generation::next);
        self.last = Some(generation);
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

    /// Whether nothing is left of a generation whose listeners the next one inherits, and none can take over.
    pub(super) fn place_is_free(&self) -> bool {
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
