//! What is known of programs and language runtimes: what the signals that people send do there, and which one is graceful.
//! The knowledge is the table; this file only looks things up in it.

mod table;

use adieu_core::signal::Signal;
use serde::Serialize;

pub use self::table::ALL;
use crate::facts::{Facts, bit};

/// What a signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It finishes what it has begun and ends.
    Graceful,
    /// It ends without finishing.
    Fast,
    /// It takes nothing new and waits for its clients, without limit.
    WaitsForClients,
    /// It reads its configuration again, or reopens its logs.
    Reload,
    /// It writes down what it is doing, and goes on.
    Dump,
    /// It writes down what it is doing, and ends.
    DumpAndEnd,
    /// Nothing.
    Nothing,
}

/// One kind of program.
#[derive(Debug)]
pub struct Runtime {
    /// Names the row.
    pub id: &'static str,
    /// For people.
    pub label: &'static str,
    /// How its processes are known; any of these.
    marks: &'static [Mark],
    /// The signal that ends it gracefully.
    pub graceful: Signal,
    /// Whether handlers written in its language run on the main thread only, between two of its steps.
    pub main_thread_handles: bool,
    /// Whether that thread sits in an event loop, and looks at signals nowhere else.
    pub event_loop: bool,
    /// Whether it is a shell: handlers (traps) wait for the command in the foreground, and no signal is passed on.
    pub shell: bool,
    /// Whether it is started again by the master process that is its parent.
    pub worker: bool,
    /// Whether its processes are a master and workers of the same program, which the master starts again when they end.
    pub prefork: bool,
    /// What to do about one that has had the signal and goes on, where that is the same for all such programs.
    pub goes_on: &'static str,
    /// Whether it runs another program and takes it along when it ends.
    pub keeps_children: bool,
    /// Those among its processes that ignore the stop on purpose, by a part of their title, and who ends them instead.
    pub left_to_its_master: &'static [(&'static str, &'static str)],
    /// What signals do, where it does not depend on the application.
    pub effects: &'static [(Signal, Effect, &'static str)],
}

/// How a kind of program is known.
#[derive(Debug)]
enum Mark {
    /// The base name of its program file, or of its first argument, is one of these; a version may follow (`python3.11`).
    Program(&'static [&'static str]),
    /// Its title, which it has written over its arguments, begins like this.
    Title(&'static str),
    /// Such a program, running such a script or module (the base name of one of its first arguments).
    Script(&'static [&'static str], &'static [&'static str]),
    /// These signals are caught and these are not, among the standard ones: the mark of a runtime that catches nearly all.
    Caught(u64, u64),
}

impl Runtime {
    /// What a signal does to it, if that is known.
    #[must_use]
    pub fn effect(&self, signal: Signal) -> Option<(Effect, &'static str)> {
        self.effects.iter().find(|(known, ..)| *known == signal).map(|(_, effect, words)| (*effect, *words))
    }

    /// How the process with this title ends, if it ignores the stop on purpose.
    #[must_use]
    pub fn left_to_master(&self, title: &str) -> Option<&'static str> {
        self.left_to_its_master.iter().find(|(part, _)| title.contains(part)).map(|(_, words)| *words)
    }

    /// Whether a process of this kind is a shell that somebody types into: such a one ignores SIGTERM and catches SIGINT
    /// (bash(1), SIGNALS).
    #[must_use]
    pub fn is_at_a_prompt(&self, facts: &Facts) -> bool {
        self.shell && facts.ignored & bit(Signal::TERM) != 0 && facts.caught & bit(Signal::INT) != 0
    }

    /// The signal that makes it write down what it is doing.
    #[must_use]
    pub fn dump(&self) -> Option<(Signal, Effect)> {
        let dumps = |effect: &Effect| matches!(effect, Effect::Dump | Effect::DumpAndEnd);
        self.effects.iter().find(|(_, effect, _)| dumps(effect)).map(|(signal, effect, _)| (*signal, *effect))
    }
}

/// The first row that fits.
#[must_use]
pub fn recognise(facts: &Facts) -> Option<&'static Runtime> {
    ALL.iter().find(|runtime| runtime.marks.iter().any(|mark| mark.fits(facts)))
}

impl Mark {
    fn fits(&self, facts: &Facts) -> bool {
        match self {
            Self::Program(names) => is_program(facts, names),
            Self::Title(start) => facts.arguments.first().is_some_and(|title| title.starts_with(start)),
            Self::Script(programs, scripts) => {
                // The program itself, its options, then the script.
                is_program(facts, programs)
                    && facts.arguments.iter().skip(1).take(6).any(|word| scripts.contains(&base(word)))
            }
            Self::Caught(all, none) => facts.caught & all == *all && facts.caught & none == 0,
        }
    }
}

fn is_program(facts: &Facts, names: &[&str]) -> bool {
    let known = facts.program.as_deref().or(facts.arguments.first().map(String::as_str)).map(base);
    let version = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    known.is_some_and(|known| names.iter().any(|name| known.strip_prefix(name).is_some_and(version)))
}

/// The last part of a path, without what the kernel appends to files that are gone.
pub(crate) fn base(path: &str) -> &str {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use adieu_core::ids::Pid;

    use super::*;

    fn facts(program: &str, arguments: &[&str]) -> Facts {
        Facts {
            program: (!program.is_empty()).then(|| program.to_owned()),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            ..Facts::of(Pid::new(7))
        }
    }

    #[test]
    fn programs_are_known_by_file_title_or_script() {
        for (program, arguments, id) in [
            ("/usr/bin/python3.11", &["python3", "app.py"][..], "python"),
            ("/usr/bin/python3.11", &["/usr/bin/python3", "-m", "gunicorn", "app:app"], "gunicorn"),
            ("/usr/bin/python3.11", &["/usr/bin/python3", "/usr/bin/uvicorn", "asgi:app"], "uvicorn"),
            ("/usr/sbin/nginx", &["nginx: master process nginx -c x"], "nginx"),
            ("/usr/sbin/nginx", &["nginx: worker process"], "nginx-worker"),
            ("/usr/lib/postgresql/15/bin/postgres", &["/usr/lib/postgresql/15/bin/postgres", "-D", "/x"], "postgres"),
            ("", &["redis-server 127.0.0.1:6379"], "redis"),
            ("", &["/usr/bin/redis-server"], "redis"),
            ("/opt/jdk/bin/java", &["java", "-jar", "x.jar"], "jvm"),
            ("/usr/bin/node (deleted)", &["node", "x.js"], "node"),
            ("/usr/bin/dash", &["sh", "start.sh"], "shell"),
            ("/usr/bin/python3.11", &["/usr/bin/python3", "/usr/bin/supervisord", "-c", "x"], "init"),
            ("/usr/bin/python3.11", &["/usr/bin/python3", "-m", "celery", "-A", "x", "worker"], "celery"),
            ("/usr/bin/ruby3.1", &["unicorn master -l 127.0.0.1:1 config.ru"], "unicorn"),
            ("/usr/bin/nodepad", &["nodepad"], ""),
            ("", &[], ""),
        ] {
            let found = recognise(&facts(program, arguments)).map_or("", |runtime| runtime.id);
            assert_eq!(found, id, "{program} {arguments:?}");
        }
    }

    #[test]
    fn rows_are_named_once_and_their_graceful_signal_ends_them() {
        let mut ids: Vec<&str> = ALL.iter().map(|runtime| runtime.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len());
        for runtime in ALL {
            if let Some((effect, words)) = runtime.effect(runtime.graceful) {
                assert!(matches!(effect, Effect::Graceful | Effect::Fast), "{}: {words}", runtime.id);
            }
        }
    }
}
