//! Components that are one task.

use std::sync::Mutex;

use adieu_core::stop_plan::{End, Phase};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::catch_unwind::{BoxFuture, Completion, catch_unwind_future};
use crate::component::Component;
use crate::control::{Control, Message};
use crate::error::BoxError;
use crate::hook::{Entry, HookResult, Slot};
use crate::lock::lock;
use crate::report::Cause;

/// Given to a task of [`App::task`]: tells when the task should end. Dereferences to [`Control`].
#[derive(Debug, Clone)]
pub struct TaskContext {
    control: Control,
    asked: CancellationToken,
}

impl TaskContext {
    /// Returns when the task is asked to end: take on nothing new, finish the work at hand, return.
    ///
    /// A task is asked in the quiesce phase, when everything that comes after it has quiesced. It is aborted when the
    /// drain is out of time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn asked_to_end(&self) {
        self.asked.cancelled().await;
    }

    /// Whether the task has been asked to end, for a loop that polls.
    #[must_use]
    pub fn is_asked_to_end(&self) -> bool {
        self.asked.is_cancelled()
    }

    /// Returns the token behind [`asked_to_end`](Self::asked_to_end), for code that takes a `CancellationToken`.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.asked
    }
}

impl std::ops::Deref for TaskContext {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

/// A task, its types erased.
type TaskFn = Box<dyn FnOnce(TaskContext) -> BoxFuture<Result<(), BoxError>> + Send>;

fn erased<F, Fut>(task: F) -> TaskFn
where
    F: FnOnce(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output: HookResult> + Send + 'static,
{
    Box::new(|context| Box::pin(async move { task(context).await.into_result() }))
}

/// Whether the end of a task is the end of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskKind {
    Side,
    Main,
}

/// A task that runs.
struct Task {
    asked: CancellationToken,
    ended: watch::Receiver<Option<Result<(), String>>>,
    abort: Mutex<Option<AbortHandle>>,
}

/// Aborts the task if the drain hook that waits for it is cut.
struct AbortUnlessEnded<'a>(&'a Task);

impl Drop for AbortUnlessEnded<'_> {
    fn drop(&mut self) {
        if let Some(abort) = lock(&self.0.abort).take() {
            abort.abort();
        }
    }
}

impl Task {
    /// Returns how the task ended. Not cancel safe: dropped before that, it aborts the task.
    async fn drained(&self) -> Result<(), BoxError> {
        let _abort = AbortUnlessEnded(self);
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|ended| (*ended).clone()) {
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(_) => Ok(()),
            Err(_) => Err("the task was aborted".into()),
        }
    }
}

impl App {
    /// Registers a task that runs beside the others and may end when it likes.
    ///
    /// An error or a panic of the task stops the application, which has failed then. In a stop the task is
    /// [asked to end](TaskContext::asked_to_end) and awaited.
    pub fn task<F, Fut>(&self, name: impl Into<String>, task: F) -> Component<'_, ()>
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output: HookResult> + Send + 'static,
    {
        self.register_task(name.into(), TaskKind::Side, erased(task))
    }

    /// Registers a task, as [`task`](Self::task), whose end stops the application, with or without an error.
    pub fn main_task<F, Fut>(&self, name: impl Into<String>, task: F) -> Component<'_, ()>
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output: HookResult> + Send + 'static,
    {
        self.register_task(name.into(), TaskKind::Main, erased(task))
    }

    fn register_task(&self, name: String, kind: TaskKind, task: TaskFn) -> Component<'_, ()> {
        let slot: Slot<Task> = Slot::empty();
        let (started, quiesced, drained) = (slot.clone(), slot.clone(), slot);
        let mut entry = Entry::new(name.clone());
        entry.start = Some(Box::new(move |context| {
            Box::pin(async move {
                started.put(spawn(name, kind, task, context.control.clone()));
                Ok(())
            })
        }));
        entry.hook(
            Phase::Quiesce,
            Box::new(move |_| {
                Box::pin(async move {
                    quiesced.get().into_iter().for_each(|task| task.asked.cancel());
                    Ok(())
                })
            }),
        );
        entry.hook(
            Phase::Drain,
            Box::new(move |_| {
                Box::pin(async move {
                    match drained.take() {
                        Some(task) => task.drained().await,
                        None => Ok(()),
                    }
                })
            }),
        );
        entry.hooks_are_ours();
        self.register(entry, Slot::filled(()))
    }
}

fn spawn(name: String, kind: TaskKind, task: TaskFn, control: Control) -> Task {
    let asked = CancellationToken::new();
    let (end, ended) = watch::channel(None);
    let context = TaskContext { control: control.clone(), asked: asked.clone() };
    let running = async move {
        let outcome = catch_unwind_future(move || task(context)).await;
        let result = result(outcome);
        match &result {
            Err(error) => control.send(Message::Close(Cause::Fatal { component: name, error: error.clone() })),
            Ok(()) if kind == TaskKind::Main => control.send(Message::Close(Cause::Finished(name))),
            Ok(()) => {}
        }
        end.send_replace(Some(result));
    };
    let abort = tokio::spawn(running).abort_handle();
    Task { asked, ended, abort: Mutex::new(Some(abort)) }
}

fn result(ended: Completion) -> Result<(), String> {
    match ended.how {
        End::Done => Ok(()),
        End::Failed => Err(ended.error.unwrap_or_default()),
        End::Panicked => Err(format!("panicked: {}", ended.error.unwrap_or_default())),
    }
}
