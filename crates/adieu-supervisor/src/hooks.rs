//! Hooks: pre-stop and post-stop, shell commands or URLs, each with a limit, none able to hold the supervisor.
//!
//! Invariant: a pre-stop hook is told to be over exactly once, however it ends.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::switch::{Event, Generation};
use adieu_linux::{clock, process, sockets};

use crate::http::{self, Exchange};
use crate::interests::{Interests, Source};
use crate::options::Hook;
use crate::processes::{Shell, TreeEnd, kill_tree};
use crate::view::{Out, View};

/// The hooks that run.
#[derive(Debug)]
pub(crate) struct Hooks {
    runs: Vec<Run>,
    name: String,
    /// Tells this run of the instance from all others.
    instance: String,
}

/// A hook that runs.
#[derive(Debug)]
struct Run {
    generation: Generation,
    moment: Moment,
    deadline: Timestamp,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Process(Pid),
    Http(Exchange),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    PreStop,
    PostStop,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Self::PreStop => "pre-stop",
            Self::PostStop => "post-stop",
        }
    }
}

/// What a hook is told, besides what every process of ours is.
struct HookInput<'a> {
    facts: &'a [(&'a str, String)],
    /// Its standard input, or the body of its request.
    body: &'a str,
}

impl Hooks {
    pub(crate) fn new(name: &str) -> Self {
        let instance = format!("{name}-{}-{}", process::own_pid(), clock::wall().as_secs());
        Self { runs: Vec::new(), name: name.to_owned(), instance }
    }

    /// Whether none runs.
    pub(crate) fn are_over(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn interests<'a>(&'a self, interests: &mut Interests<'a>) {
        for run in &self.runs {
            if let Kind::Http(exchange) = &run.kind {
                interests.add(Source::Other, exchange.as_fd(), exchange.interest());
            }
        }
    }

    /// When [`Self::advance`] has something to do.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.runs.iter().map(|run| run.deadline).min()
    }

    /// Runs the pre-stop hook of `generation`, whose main process has this pid, or tells at once that it is over.
    pub(crate) fn run_pre_stop(
        &mut self,
        view: &View<'_>,
        generation: Generation,
        main: Option<Pid>,
        budget: Duration,
        shell: &mut Shell<'_>,
        out: &mut Out,
    ) {
        let Some(hook) = &view.options.pre_stop else { return out.event(Event::PreStopDone(generation)) };
        let facts = [("ADIEU_PID", main.map_or(0, Pid::number).to_string()), ("ADIEU_EVENT", "pre-stop".to_owned())];
        let told = HookInput { facts: &facts, body: "" };
        match start(hook, &told, view.now + budget, shell) {
            Ok(kind) => {
                self.runs.push(Run { generation, moment: Moment::PreStop, deadline: view.now + budget, kind });
            }
            Err(error) => {
                out.note(format!("generation {generation}: pre-stop failed: {error}"));
                out.event(Event::PreStopDone(generation));
            }
        }
    }

    /// Runs the post-stop hook of `generation`, which is gone.
    pub(crate) fn run_post_stop(
        &mut self,
        view: &View<'_>,
        generation: Generation,
        outcome: Outcome,
        end: &TreeEnd,
        shell: &mut Shell<'_>,
        out: &mut Out,
    ) {
        let Some(hook) = &view.options.post_stop else { return };
        let (wall, main) = (clock::wall().as_secs_f64(), end.main.map_or(0, Pid::number));
        let started = wall - (view.now - end.started).as_secs_f64();
        let signal = if let Outcome::Signaled(signal) = outcome { signal.name().into_owned() } else { String::new() };
        let instance = format!("{}-{}", self.instance, generation);
        let json = serde_json::json!({
            "name": self.name, "generation": generation, "instance": instance, "pid": main, "cause": end.cause.name(),
            "code": outcome.exit_code(), "signal": (!signal.is_empty()).then_some(&signal), "started": started, "ended": wall,
        });
        let facts = [
            ("ADIEU_EVENT", "post-stop".to_owned()),
            ("ADIEU_CAUSE", end.cause.name().to_owned()),
            ("ADIEU_CODE", outcome.exit_code().to_string()),
            ("ADIEU_SIGNAL", signal.clone()),
            ("ADIEU_PID", main.to_string()),
            ("ADIEU_INSTANCE", instance.clone()),
            ("ADIEU_STARTED", format!("{started:.3}")),
            ("ADIEU_ENDED", format!("{wall:.3}")),
        ];
        let deadline = view.now + view.options.grace;
        match start(hook, &HookInput { facts: &facts, body: &json.to_string() }, deadline, shell) {
            Ok(kind) => self.runs.push(Run { generation, moment: Moment::PostStop, deadline, kind }),
            Err(error) => out.note(format!("generation {generation}: post-stop failed: {error}")),
        }
    }

    /// The command `pid` has ended, if it was a hook.
    pub(crate) fn command_ended(&mut self, pid: Pid, success: bool, out: &mut Out) {
        let of = |run: &Run| matches!(run.kind, Kind::Process(process) if process == pid);
        let Some(at) = self.runs.iter().position(of) else { return };
        let run = self.runs.swap_remove(at);
        over(&run, if success { None } else { Some("ended with an error".to_owned()) }, out);
    }

    /// Goes on with requests, and ends commands that have spent their time.
    pub(crate) fn advance(&mut self, view: &View<'_>, out: &mut Out) {
        for mut run in std::mem::take(&mut self.runs) {
            match run.advance(view.now) {
                None => self.runs.push(run),
                Some(trouble) => over(&run, trouble, out),
            }
        }
    }
}

impl Run {
    /// What has become of it, once it is over.
    fn advance(&mut self, now: Timestamp) -> Option<Option<String>> {
        match &mut self.kind {
            Kind::Process(pid) => {
                if now >= self.deadline {
                    kill_tree(*pid);
                }
                None
            }
            Kind::Http(exchange) => match exchange.advance(now) {
                http::Outcome::Pending => None,
                http::Outcome::Status(200..400) => Some(None),
                http::Outcome::Status(status) => Some(Some(format!("was answered with status {status}"))),
                http::Outcome::Failed(error) => Some(Some(format!("failed: {error}"))),
            },
        }
    }
}

fn start(hook: &Hook, told: &HookInput<'_>, deadline: Timestamp, shell: &mut Shell<'_>) -> io::Result<Kind> {
    match hook {
        Hook::Command(command) => shell.run(command, told.facts, Some(told.body)).map(Kind::Process),
        Hook::Url(target) => {
            let socket = sockets::tcp_socket(sockets::family_for(target.address))?;
            Exchange::start(socket, "POST", target, told.body, deadline).map(Kind::Http)
        }
    }
}

fn over(run: &Run, trouble: Option<String>, out: &mut Out) {
    if let Some(trouble) = trouble {
        out.note(format!("generation {}: {} {trouble}", run.generation, run.moment.name()));
    }
    if run.moment == Moment::PreStop {
        out.event(Event::PreStopDone(run.generation));
    }
}

#[cfg(test)]
mod tests;
