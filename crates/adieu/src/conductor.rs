//! The thread that runs the stop plan.
//!
//! **Invariant.** It waits for events and for time only: for no hook, no lock that code of the application holds, no
//! writer. So the deadline holds although every worker of the runtime is blocked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Action, ComponentId, End, Event, Phase, Plan, State, StepState, StopPlan};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::catch_unwind::Completion;
use crate::context::{StartContext, StopContext};
use crate::control::{Control, Message, Stage};
use crate::delivery::{Delivery, Leftovers};
use crate::hook::{Entry, StartFn, StopHook};
use crate::publisher::{Notice, Publisher};
use crate::record::{PhaseRecord, Record};
use crate::report::{Cause, StopReport};
use crate::spans::{PhaseSpan, StopSpan, SubscriberScope};
use crate::work::{RunningWork, Work};
use crate::{clock, dump, last_resort, summary};

/// The part of the grace period that is kept for the end of the process, after the plan: at most this, at most a tenth.
const TEARDOWN: Duration = Duration::from_millis(250);

/// The least time for the end of the process, however short the grace period: `main` must be woken to return.
const LEAST_TEARDOWN: Duration = Duration::from_millis(50);

/// How long the thread polls for the next message before it sleeps.
const MOMENT: Duration = Duration::from_micros(100);

/// The part of `grace` that the plan may use.
pub(crate) fn plan_time(grace: Duration) -> Duration {
    grace.saturating_sub(TEARDOWN.min(grace / 10))
}

pub(crate) struct Conductor {
    name: String,
    machine: StopPlan,
    control: Control,
    runtime: Handle,
    messages: Receiver<Message>,
    publisher: Publisher,
    /// Whether to send `READY=1` when the components have started; else `main` does.
    says_ready: bool,
    /// The whole grace period. The plan has a part of it: [`plan_time`].
    grace: Duration,
    starts: HashMap<ComponentId, Option<StartFn>>,
    hooks: HashMap<(ComponentId, Phase), StopHook>,
    running: HashMap<(ComponentId, Option<Phase>), RunningWork>,
    /// Whether a hook of this stop has come back from the runtime.
    runtime_answers: bool,
    record: Record,
    scope: SubscriberScope,
    stop_span: Option<Arc<StopSpan>>,
    phase_span: Option<Arc<PhaseSpan>>,
}

impl Conductor {
    pub(crate) fn new(
        name: String,
        plan: Arc<Plan>,
        entries: Vec<Entry>,
        control: Control,
        runtime: Handle,
        messages: Receiver<Message>,
        grace: Duration,
    ) -> std::io::Result<Self> {
        let scope = SubscriberScope::here();
        let publisher = Publisher::start(&name, scope.clone())?;
        let (mut starts, mut hooks) = (HashMap::new(), HashMap::new());
        for (index, entry) in entries.into_iter().enumerate() {
            starts.insert(ComponentId(index), entry.start);
            hooks.extend(entry.hooks.into_iter().map(|(phase, hook)| ((ComponentId(index), phase), hook)));
        }
        Ok(Self {
            name,
            machine: StopPlan::new(plan),
            control,
            runtime,
            messages,
            publisher,
            says_ready: true,
            grace,
            starts,
            hooks,
            running: HashMap::new(),
            runtime_answers: false,
            record: Record::default(),
            scope,
            stop_span: None,
            phase_span: None,
        })
    }

    /// Leaves `READY=1` to `main`.
    pub(crate) fn leave_ready_to_main(&mut self) {
        self.says_ready = false;
    }

    /// Adds a note to the report, and publishes it as a warning.
    pub(crate) fn note(&mut self, note: String) {
        self.publisher.publish(Notice::Warning(note.clone()));
        self.record.notes.push(note);
    }

    /// Runs to the end of the plan, and gives the report to `deliver`. If the application is not gone by the deadline,
    /// ends the process.
    pub(crate) fn run(mut self, deliver: impl FnOnce(Delivery)) {
        self.control.fd_reserve().fill();
        self.launch();
        while self.machine.state() != State::Ended {
            let message = self.next();
            self.step(message);
        }
        let (report, left) = self.close();
        let kept = report.clone();
        let Self { publisher, messages, machine, grace, control, .. } = self;
        // The channel is closed when all other handles are gone, which `last_resort` waits for.
        drop(control);
        deliver(Delivery { report, left, flushing: publisher.finish() });
        let spare = grace.saturating_sub(plan_time(grace));
        let deadline = machine.deadline().unwrap_or_else(clock::now) + spare;
        last_resort::watch(&messages, kept, deadline.max(clock::now() + spare.clamp(LEAST_TEARDOWN, TEARDOWN)));
    }

    /// Runs to the end of the plan on the runtime of the application and by its clock, which may be paused. Does not
    /// watch the end of the process.
    #[cfg(feature = "testing")]
    pub(crate) async fn run_here(mut self) -> (StopReport, Leftovers) {
        let mailbox = self.control.mailbox();
        self.launch();
        while self.machine.state() != State::Ended {
            self.publisher.flush();
            let message = match (self.messages.try_recv(), self.machine.poll_timeout()) {
                (Ok(message), _) => Some(message),
                (Err(_), Some(at)) => match tokio::time::timeout(clock::until(at), mailbox.arrived()).await {
                    Ok(()) => continue,
                    Err(_) => None,
                },
                (Err(_), None) => {
                    mailbox.arrived().await;
                    continue;
                }
            };
            self.step(message);
        }
        let end = self.close();
        self.publisher.finish().wait(Duration::from_secs(1));
        end
    }

    fn launch(&mut self) {
        self.handle(clock::now(), Event::Launch);
        self.perform();
    }

    fn step(&mut self, message: Option<Message>) {
        match message {
            Some(message) => self.take(message),
            None => self.machine.handle_timeout(clock::now()),
        }
        self.perform();
    }

    fn close(&mut self) -> (StopReport, Leftovers) {
        for child in self.control.children().kill() {
            self.record.notes.push(format!("the child process of {child} was still there and is killed"));
        }
        let report = summary::report(&self.name, &self.machine, &mut self.record, &self.control);
        self.control.move_on(Stage::Closed);
        // The publisher holds the spans too, and ends them.
        (self.stop_span, self.phase_span) = (None, None);
        self.publisher.publish(Notice::Closed(Box::new(report.clone())));
        let left = Leftovers::new(std::mem::take(&mut self.starts), std::mem::take(&mut self.hooks));
        (report, left)
    }

    fn next(&self) -> Option<Message> {
        if let Some(message) = self.soon() {
            return Some(message);
        }
        self.publisher.flush();
        match self.machine.poll_timeout() {
            Some(at) => self.messages.recv_timeout(clock::until(at)).ok(),
            // Cannot fail: `self.control` holds a sender.
            None => self.messages.recv().ok(),
        }
    }

    /// Polls for a message for a moment, during a stop. Most hooks end at once, and to sleep and to be woken would take
    /// longer than they do.
    fn soon(&self) -> Option<Message> {
        if self.record.began.is_none() || self.running.is_empty() {
            return None;
        }
        let began = clock::now();
        loop {
            match self.messages.try_recv() {
                Ok(message) => return Some(message),
                Err(_) if clock::now().since(began) >= MOMENT => return None,
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    fn take(&mut self, message: Message) {
        let now = clock::now();
        match message {
            Message::Signal(at, number) => {
                let cause = Signal::from_number(number).map_or(Cause::Asked, Cause::Signal);
                self.record.cause.get_or_insert(cause);
                self.handle(at, Event::Signal);
            }
            Message::Close(cause) => {
                self.record.cause.get_or_insert(cause);
                self.handle(now, Event::Close);
            }
            Message::Force => {
                self.record.cause.get_or_insert(Cause::Asked);
                self.handle(now, Event::Force);
            }
            Message::StartEnded(id, End::Done, _) => {
                self.running.remove(&(id, None));
                self.publisher.publish(Notice::Started(self.machine.plan().name(id).to_owned()));
                self.handle(now, Event::Started(id));
            }
            Message::StartEnded(id, end, error) => {
                self.running.remove(&(id, None));
                self.start_failed(id, error);
                self.handle(now, Event::StartFailed(id, end));
            }
            Message::HookEnded(id, phase, end, error) => {
                self.running.remove(&(id, Some(phase)));
                self.runtime_answers = true;
                self.hook_ended(id, phase, end, error, None);
            }
            Message::Dump => {
                let dump = dump::text(&self.name, &self.machine, &self.running, &self.control);
                self.publisher.publish(Notice::Dump(dump));
            }
            Message::Gone => {}
        }
    }

    fn start_failed(&mut self, id: ComponentId, error: Option<String>) {
        let component = self.machine.plan().name(id).to_owned();
        let error = error.unwrap_or_else(|| "cancelled".to_owned());
        // A start that was cancelled for another cause does not replace that cause.
        self.record.cause.get_or_insert(Cause::StartFailed { component, error });
    }

    /// `span`: of a hook that has no span yet, for the publisher to make.
    fn hook_ended(
        &mut self,
        id: ComponentId,
        phase: Phase,
        end: End,
        error: Option<String>,
        span: Option<(Arc<PhaseSpan>, bool)>,
    ) {
        if let Some(error) = error {
            self.record.errors.insert((id, phase), error);
        }
        self.handle(clock::now(), Event::HookEnded(id, phase, end));
        self.publish_over(id, phase, span);
    }

    fn publish_over(&self, component: ComponentId, phase: Phase, span: Option<(Arc<PhaseSpan>, bool)>) {
        let step = self.machine.steps(component).iter().find(|step| step.phase == phase);
        let Some(StepState::Over(verdict)) = step.map(|step| step.state) else { return };
        let error = self.record.errors.get(&(component, phase)).cloned();
        let component = self.machine.plan().name(component).to_owned();
        self.publisher.publish(Notice::Over { component, phase, verdict, error, span });
    }

    fn handle(&mut self, now: Timestamp, event: Event) {
        self.machine.handle(now, event);
    }

    fn perform(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Start(id) => self.start(id),
                Action::CancelStart(id) => self.cut(id, None),
                Action::OutOfTime(id) => self.start_failed(id, Some("out of time".to_owned())),
                Action::Serving => {
                    self.control.move_on(Stage::Serving);
                    self.publisher.publish(Notice::Serving { ready: self.says_ready });
                }
                Action::Stopping { .. } => {
                    self.control.fd_reserve().release();
                    self.record.began = Some(clock::now());
                    let cause = self.record.cause.get_or_insert(Cause::Asked).to_string();
                    let (app, scope) = (self.name.clone(), self.scope.clone());
                    let span = StopSpan::new(app, cause.clone(), self.grace, scope);
                    self.stop_span = Some(Arc::clone(&span));
                    self.publisher.publish(Notice::Stopping { cause, grace: self.grace, span });
                }
                Action::Enter(phase) => self.enter_phase(phase),
                Action::Leave(phase, why) => {
                    if let Some(record) = self.record.phases.iter_mut().find(|record| record.phase == phase) {
                        record.left = Some((clock::now(), why));
                    }
                    // The publisher holds the span too, and ends it.
                    self.phase_span = None;
                    self.publisher.publish(Notice::Leave(phase, why));
                }
                Action::Run { component, phase, until, forced } => self.run_hook(component, phase, until, forced),
                Action::Cut { component, phase } => {
                    if self.record.in_flight.is_empty() {
                        self.name_in_flight();
                    }
                    self.cut(component, Some(phase));
                }
                Action::Finish => {}
            }
        }
    }

    fn enter_phase(&mut self, phase: Phase) {
        self.record.phases.push(PhaseRecord { phase, entered: clock::now(), left: None });
        if phase >= Phase::Drain {
            self.record.gate_closed.get_or_insert_with(clock::now);
            self.control.in_flight().close();
        }
        if phase == Phase::Force {
            self.name_in_flight();
        }
        self.control.move_on(Stage::Stopping(phase));
        let left = self.machine.deadline().map_or(Duration::ZERO, clock::until) + (self.grace - plan_time(self.grace));
        self.phase_span = self.stop_span.as_ref().map(|stop| PhaseSpan::new(stop, phase));
        self.publisher.publish(Notice::Enter { phase, left, span: self.phase_span.clone() });
    }

    /// Records what is in flight, before any of it is cut.
    fn name_in_flight(&mut self) {
        let closed = self.record.gate_closed.unwrap_or_else(clock::now);
        self.record.in_flight = self.control.in_flight().list(closed);
    }

    fn start(&mut self, id: ComponentId) {
        let cancelled = CancellationToken::new();
        let context = StartContext { control: self.control.clone(), cancelled: cancelled.clone() };
        let message = move |ended: Completion| Message::StartEnded(id, ended.how, ended.error);
        match self.starts.remove(&id).flatten() {
            Some(start) => {
                let (app, component) = (self.name.clone(), self.machine.plan().name(id).to_owned());
                let scope = self.scope.clone();
                let span = move || scope.span(|| tracing::info_span!(parent: None, "start", app, component));
                let running = Work::new(move || start(context)).spawn_on(
                    &self.runtime,
                    self.control.mailbox(),
                    cancelled,
                    span,
                    message,
                );
                self.running.insert((id, None), running);
            }
            None => self.machine.handle(clock::now(), Event::Started(id)),
        }
    }

    fn run_hook(&mut self, component: ComponentId, phase: Phase, until: Timestamp, forced: bool) {
        let cut = CancellationToken::new();
        let context = StopContext { control: self.control.clone(), phase, until, forced, cut: cut.clone() };
        let message = move |ended: Completion| Message::HookEnded(component, phase, ended.how, ended.error);
        let Some(StopHook { run, ours }) = self.hooks.remove(&(component, phase)) else {
            self.machine.handle(clock::now(), Event::HookEnded(component, phase, End::Done));
            return;
        };
        let mut work = Work::new(move || run(context));
        let of = self.phase_span.clone();
        // At least one hook of the drain runs on the runtime, so that a stop notices when all workers are blocked.
        let here = ours && (phase != Phase::Drain || self.runtime_answers);
        if let Some(ended) = here.then(|| work.first_step(&self.runtime)).flatten() {
            self.hook_ended(component, phase, ended.how, ended.error, of.map(|span| (span, forced)));
            return;
        }
        let name = self.machine.plan().name(component).to_owned();
        // The hook's span is within the span of the phase, and keeps it.
        let span = move || of.map_or_else(tracing::Span::none, |phase| phase.hook(&name, forced));
        let running = work.spawn_on(&self.runtime, self.control.mailbox(), cut, span, message);
        self.running.insert((component, Some(phase)), running);
    }

    fn cut(&mut self, id: ComponentId, phase: Option<Phase>) {
        if let Some(running) = self.running.get(&(id, phase)) {
            running.cut();
        }
    }
}
