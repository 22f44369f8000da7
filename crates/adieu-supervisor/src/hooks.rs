//! Pre-stop and post-stop: shell commands or URLs, each with a limit, none able to hold the supervisor.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::outcome::{Cause, Outcome};
use adieu_core::signal::Signal;
use adieu_core::switch::{Event, Generation};
use adieu_linux::{clock, process, sockets};

use crate::http::{self, Exchange};
use crate::options::Hook;
use crate::running::signal_each;
use crate::supervisor::Supervisor;

/// A hook that runs.
#[derive(Debug)]
pub(crate) struct HookRun {
    pub(crate) generation: Generation,
    pub(crate) deadline: Timestamp,
    pub(crate) before: bool,
    pub(crate) kind: HookKind,
}

#[derive(Debug)]
pub(crate) enum HookKind {
    Process(i32),
    Http(Exchange),
}

impl Supervisor {
    pub(crate) fn run_pre_stop(&mut self, generation: Generation, budget: Duration) {
        let Some(hook) = self.options.pre_stop.clone() else {
            self.tell(Event::PreStopDone(generation));
            return;
        };
        let pid = self.running.get(&generation).map_or(0, |running| running.main);
        let facts = [("ADIEU_PID", pid.to_string()), ("ADIEU_EVENT", "pre-stop".to_owned())];
        if let Err(error) = self.start_hook(&hook, generation, &facts, "", budget, true) {
            self.note(format!("generation {generation}: pre-stop failed: {error}"));
            self.tell(Event::PreStopDone(generation));
        }
    }

    pub(crate) fn run_post_stop(
        &mut self,
        generation: Generation,
        pid: i32,
        started: Timestamp,
        outcome: Outcome,
        cause: Cause,
    ) {
        let Some(hook) = self.options.post_stop.clone() else { return };
        let (wall, now) = (clock::wall().as_secs_f64(), clock::now());
        let started = wall - (now - started).as_secs_f64();
        let signal = if let Outcome::Signaled(signal) = outcome { signal.name().into_owned() } else { String::new() };
        let instance = format!("{}-{}", self.instance_id, generation);
        let json = serde_json::json!({
            "name": self.name, "generation": generation, "instance": instance, "pid": pid, "cause": cause.name(),
            "code": outcome.exit_code(), "signal": (!signal.is_empty()).then_some(&signal), "started": started, "ended": wall,
        });
        let facts = [
            ("ADIEU_EVENT", "post-stop".to_owned()),
            ("ADIEU_CAUSE", cause.name().to_owned()),
            ("ADIEU_CODE", outcome.exit_code().to_string()),
            ("ADIEU_SIGNAL", signal.clone()),
            ("ADIEU_PID", pid.to_string()),
            ("ADIEU_INSTANCE", instance.clone()),
            ("ADIEU_STARTED", format!("{started:.3}")),
            ("ADIEU_ENDED", format!("{wall:.3}")),
        ];
        if let Err(error) = self.start_hook(&hook, generation, &facts, &json.to_string(), self.options.grace, false) {
            self.note(format!("generation {generation}: post-stop failed: {error}"));
        }
    }

    fn start_hook(
        &mut self,
        hook: &Hook,
        generation: Generation,
        facts: &[(&str, String)],
        body: &str,
        budget: Duration,
        before: bool,
    ) -> io::Result<()> {
        let deadline = clock::now() + budget;
        let kind = match hook {
            Hook::Command(command) => HookKind::Process(self.run_shell(command, generation, facts, Some(body))?),
            Hook::Url(target) => {
                let socket = sockets::tcp_socket(if target.address.is_ipv4() { 2 } else { 10 })?;
                HookKind::Http(Exchange::start(socket, "POST", target, body, deadline)?)
            }
        };
        self.hooks.push(HookRun { generation, deadline, before, kind });
        Ok(())
    }

    /// Runs a shell command beside the program, in a process group of its own; returns its pid.
    pub(crate) fn run_shell(
        &mut self,
        command: &str,
        generation: Generation,
        facts: &[(&str, String)],
        input: Option<&str>,
    ) -> io::Result<i32> {
        let mut extra: Vec<(OsString, OsString)> = self.facts(generation);
        extra.extend(facts.iter().map(|(key, value)| (OsString::from(key), OsString::from(value))));
        let spec = crate::launch::Spec {
            command: ["/bin/sh", "-c", command].map(OsString::from).to_vec(),
            environment: self
                .running
                .get(&generation)
                .map(|running| running.spec.environment.clone())
                .unwrap_or_default(),
        };
        let resolved = crate::launch::resolve(&spec, self.directory.as_deref(), &extra).map_err(io::Error::other)?;
        // What the hook reads is short: it fits the pipe, so writing it does not wait.
        let (reader, writer) = io::pipe()?;
        let mut writer = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
        writer.write_all(input.unwrap_or_default().as_bytes())?;
        drop(writer);
        let program = adieu_linux::spawn::Program {
            path: resolved.path,
            arguments: resolved.arguments,
            environment: resolved.environment,
            directory: None,
            own_group: true,
            terminal: None,
            keep_ignoring: None,
            death_signal: Some(Signal::KILL),
            watch: None,
            input: Some(reader.into()),
            output: None,
            error_output: None,
            pass: Vec::new(),
            reports: None,
        };
        let (pid, _failure) = program.spawn()?;
        self.childless = false;
        Ok(pid)
    }

    /// A child of ours that is no generation has ended; true when it was a hook.
    pub(crate) fn hook_ended(&mut self, pid: i32, success: bool) -> bool {
        let Some(at) = self.hooks.iter().position(|hook| matches!(hook.kind, HookKind::Process(p) if p == pid)) else {
            return false;
        };
        let hook = self.hooks.swap_remove(at);
        if !success {
            let which = if hook.before { "pre-stop" } else { "post-stop" };
            self.note(format!("generation {}: {which} ended with an error", hook.generation));
        }
        self.hook_over(&hook);
        true
    }

    fn hook_over(&mut self, hook: &HookRun) {
        if hook.before {
            self.tell(Event::PreStopDone(hook.generation));
        }
    }

    pub(crate) fn advance_hooks(&mut self) {
        let now = clock::now();
        for mut hook in std::mem::take(&mut self.hooks) {
            let over = match &mut hook.kind {
                HookKind::Process(pid) => {
                    if now >= hook.deadline {
                        let mut all = process::descendants(*pid);
                        all.push(*pid);
                        signal_each(&all, Signal::KILL);
                    }
                    None
                }
                HookKind::Http(exchange) => match exchange.advance(now) {
                    http::Outcome::Pending => None,
                    http::Outcome::Status(200..400) => Some(None),
                    http::Outcome::Status(status) => Some(Some(format!("was answered with status {status}"))),
                    http::Outcome::Failed(error) => Some(Some(format!("failed: {error}"))),
                },
            };
            match over {
                None => self.hooks.push(hook),
                Some(trouble) => {
                    if let Some(trouble) = trouble {
                        let which = if hook.before { "pre-stop" } else { "post-stop" };
                        self.note(format!("generation {}: {which} {trouble}", hook.generation));
                    }
                    self.hook_over(&hook);
                }
            }
        }
    }
}
