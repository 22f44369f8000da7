//! Who would start a process again when it ends.

use adieu_core::signal::Signal;
use adieu_linux::proc::{cgroup, words};
use serde::Serialize;
use std::io::Read;

use crate::facts::{Facts, bit, glance};
use crate::runtime::{Runtime, base, recognise};

/// Something that starts its process again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Supervision {
    /// What it is.
    pub by: String,
    /// The file that shows it.
    pub file: String,
    /// What is in that file.
    pub value: String,
    /// How it is told to stop it.
    pub instead: String,
}

/// Programs that start their children again, by the name of the parent; `{dir}` is the directory that it works in.
const PARENTS: &[(&str, &str, &str)] = &[
    ("runsv", "runit", "sv down {dir}"),
    ("s6-supervise", "s6", "s6-svc -d {dir}"),
    ("supervise", "daemontools", "svc -d {dir}"),
    ("supervisord", "supervisor", "supervisorctl stop NAME"),
    ("monit", "monit", "monit stop NAME"),
    ("circusd", "circus", "circusctl stop NAME"),
    ("containerd-shim", "a container engine", "docker stop NAME, or what manages the container"),
    ("conmon", "podman", "podman stop NAME"),
    ("supervise-daemon", "OpenRC", "rc-service NAME stop"),
    ("PM2 v", "PM2", "pm2 stop NAME"),
    ("nodemon", "nodemon", "the end of nodemon first"),
];

/// What starts this process again, which is one of this runtime.
pub(crate) fn find(facts: &Facts, runtime: Option<&Runtime>) -> Option<Supervision> {
    run_by_adieu(facts)
        .or_else(|| by_parent(facts))
        .or_else(|| by_master(facts, runtime?))
        .or_else(|| by_systemd(facts))
        .or_else(|| by_loop(facts))
}

fn by_parent(facts: &Facts) -> Option<Supervision> {
    let parent = facts.parent.as_ref()?;
    let program = parent.program.as_deref().map(base).unwrap_or_default();
    // An interpreted one is known by its script.
    let script = parent.line.split(' ').nth(1).map(base);
    let is = |name: &str| {
        parent.name.starts_with(name) || program == name || parent.line.starts_with(name) || script == Some(name)
    };
    let (_, by, instead) = PARENTS.iter().find(|(name, ..)| is(name))?;
    let place = std::fs::read_link(format!("/proc/{}/cwd", parent.pid));
    let place = place.map_or_else(|_| "DIRECTORY".to_owned(), |place| place.display().to_string());
    Some(Supervision {
        by: format!("{by} (pid {})", parent.pid),
        file: format!("/proc/{}/comm", parent.pid),
        value: parent.name.clone(),
        instead: instead.replace("{dir}", &place),
    })
}

/// A worker of a server that keeps their number.
fn by_master(facts: &Facts, own: &Runtime) -> Option<Supervision> {
    let parent = facts.parent.as_ref()?;
    let same = facts.program.is_some() && facts.program == parent.program;
    let of_its_kind = || recognise(&glance(parent.pid).ok()?).map(|master| master.id == own.id);
    (same && (own.worker || own.prefork && of_its_kind() == Some(true))).then(|| Supervision {
        by: format!("its master process (pid {})", parent.pid),
        file: format!("/proc/{}/status", facts.pid),
        value: format!("PPid: {}", parent.pid),
        instead: format!("adieu stop {}", parent.pid),
    })
}

/// A shell script with a loop, which waits for it: `while true; do program; done`.
fn by_loop(facts: &Facts) -> Option<Supervision> {
    /// A script that is longer is looked at so far.
    const LONGEST: u64 = 64 * 1024;
    let parent = glance(facts.parent.as_ref()?.pid).ok()?;
    let interrupt = bit(Signal::INT);
    let in_background = facts.ignored & interrupt != 0 && parent.ignored & interrupt == 0;
    if !recognise(&parent).is_some_and(|runtime| runtime.shell && !runtime.is_at_a_prompt(&parent)) || in_background {
        return None;
    }
    let mut words = parent.arguments.iter().skip(1);
    let first = words.next()?;
    let (text, file) = if first.starts_with('-') && first.ends_with('c') {
        (words.next()?.clone(), format!("/proc/{}/cmdline", parent.pid))
    } else {
        let script = std::iter::once(first).chain(words).find(|word| !word.starts_with('-'))?;
        // As that shell sees it; what is no file on a disk is not read, and so not taken from it.
        let place = if script.starts_with('/') { "root" } else { "cwd" };
        let path = format!("/proc/{}/{place}/{script}", parent.pid);
        if script.starts_with("/dev/") || script.starts_with("/proc/") || !std::fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
        (String::from_utf8_lossy(&bytes).into_owned(), path)
    };
    let line = text.lines().map(str::trim).find(|line| is_loop(line))?;
    Some(Supervision {
        by: format!("the shell script that runs it (pid {}) has a loop, and perhaps", parent.pid),
        file,
        value: line.chars().take(80).collect(),
        instead: format!("adieu stop --tree {}", parent.pid),
    })
}

fn is_loop(line: &str) -> bool {
    let mut words = line.split(|c: char| c.is_whitespace() || ";&|({".contains(c));
    !line.starts_with('#') && words.any(|word| word == "while" || word == "until")
}

fn run_by_adieu(facts: &Facts) -> Option<Supervision> {
    let parent = facts.parent.as_ref()?;
    if parent.program.as_deref().map(base) != Some("adieu") {
        return None;
    }
    let environment = words::parse_cmdline(&adieu_linux::proc::bytes(facts.pid, "environ").ok()?);
    let name = environment.iter().find_map(|word| Some(word.to_str()?.strip_prefix("ADIEU_NAME=")?.to_owned()))?;
    Some(Supervision {
        by: format!("`adieu run`, instance {name}"),
        file: format!("/proc/{}/environ", facts.pid),
        value: format!("ADIEU_NAME={name}"),
        instead: format!("adieu stop @{name}"),
    })
}

fn by_systemd(facts: &Facts) -> Option<Supervision> {
    let memberships = cgroup::read(facts.pid).ok()?;
    let unit = memberships.iter().find_map(|membership| {
        let relevant =
            membership.controllers.is_empty() || membership.controllers.iter().any(|name| name == "name=systemd");
        let unit = membership.path.rsplit('/').find(|part| part.ends_with(".service"))?;
        relevant.then(|| (unit.to_owned(), membership.path.clone()))
    })?;
    // Sessions of users are units as well; only what systemd has started itself is started again.
    let by_itself = facts.parent.as_ref().is_some_and(|parent| parent.name == "systemd");
    by_itself.then(|| Supervision {
        by: format!("systemd, unit {} (if its Restart= says so)", unit.0),
        file: format!("/proc/{}/cgroup", facts.pid),
        value: unit.1,
        instead: format!("systemctl stop {}", unit.0),
    })
}
