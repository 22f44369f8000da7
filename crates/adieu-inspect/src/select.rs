//! Which processes are meant: by pid, by port, by program and arguments, by cgroup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use adieu_core::ids::Pid;
use adieu_linux::diag::{self, LocalPort, state};
use adieu_linux::proc::{self, Unread, cgroup, mounts, stat, words};
use adieu_linux::{descriptors, process};

use crate::case::Case;
use crate::facts::{self, Facts};
use crate::runtime::base;
use crate::target::{NoTarget, Target};

/// What was asked for. All that is given must fit, except that pids are taken as they are.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These.
    pub pids: Vec<Pid>,
    /// Those that listen on this TCP port, with whatever address and family.
    pub port: Option<u16>,
    /// Those whose program file or name is this.
    pub exe: Option<String>,
    /// Those with this text in their arguments.
    pub text: Option<String>,
    /// Those in this cgroup: a directory, or a path as in `/proc/PID/cgroup`.
    pub cgroup: Option<PathBuf>,
}

/// Why nothing was selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A pid that names no process.
    #[error(transparent)]
    NoTarget(#[from] NoTarget),
    /// The port is free.
    #[error("nothing listens on port {0} in this network namespace")]
    PortFree(u16),
    /// It is not, but its owner is not to be seen.
    #[error("port {0} is taken by user {1}, whose processes this user may not look into")]
    PortHidden(u16, u32),
    /// No such cgroup.
    #[error("{0} is no cgroup: {1}")]
    NoCgroup(PathBuf, Unread),
    /// The kernel does not tell.
    #[error("cannot list sockets: {0}")]
    System(std::io::Error),
    /// Nothing fits.
    #[error("no process fits")]
    Nothing,
}

impl Selection {
    /// Whether anything but pids was asked for.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.port.is_some() || self.exe.is_some() || self.text.is_some() || self.cgroup.is_some()
    }
}

/// Takes hold of what was asked for. Of processes found by port, program or arguments only the topmost are taken: a master
/// that is stopped stops its workers, and starts those again that are stopped behind its back.
///
/// What was found is looked at again once it is held, so a number that changed hands in between hits nobody. Neither this
/// process nor those that it was started from are ever found by a search.
///
/// # Errors
/// [`SelectError`].
pub fn select(wanted: &Selection) -> Result<Vec<Target>, SelectError> {
    let mut targets: BTreeMap<Pid, Target> = BTreeMap::new();
    for pid in &wanted.pids {
        targets.insert(*pid, Target::open(*pid)?);
    }
    if wanted.searches() {
        let found = search(wanted)?;
        if found.is_empty() {
            return Err(SelectError::Nothing);
        }
        targets.extend(found.into_iter().map(|target| (target.pid(), target)));
    }
    Ok(targets.into_values().collect())
}

fn search(wanted: &Selection) -> Result<Vec<Target>, SelectError> {
    let mut candidates: BTreeSet<Pid> = match &wanted.cgroup {
        Some(place) => in_cgroup(place)?.into_iter().collect(),
        None => proc::processes().unwrap_or_default().into_iter().collect(),
    };
    let own = lineage(process::own_pid());
    candidates.retain(|pid| !own.contains(pid));
    let sockets = wanted.port.map(sockets_on).transpose()?;
    let fits = |pid: Pid| fits(wanted, pid, sockets.as_ref().map(|(inodes, _)| inodes));
    let mut found: Vec<Pid> = candidates.into_iter().filter(|pid| fits(*pid)).collect();
    if let (true, Some(port), Some((_, owner))) = (found.is_empty(), wanted.port, &sockets) {
        return Err(SelectError::PortHidden(port, *owner));
    }
    if wanted.cgroup.is_none() {
        found = topmost(&found);
    }
    // Held first, looked at again then.
    Ok(found.into_iter().filter_map(|pid| Target::open(pid).ok()).filter(|target| fits(target.pid())).collect())
}

fn fits(wanted: &Selection, pid: Pid, inodes: Option<&BTreeSet<u64>>) -> bool {
    wanted.exe.as_deref().is_none_or(|name| runs(pid, name))
        && wanted.text.as_deref().is_none_or(|text| says(pid, text))
        && inodes.is_none_or(|inodes| holds(pid, inodes))
}

/// By its file, by the name that it has, or by the script that an interpreter runs.
fn runs(pid: Pid, name: &str) -> bool {
    let program = proc::executable(pid).ok();
    // What the kernel appends to a file that is gone, by an upgrade perhaps, is no part of its name.
    let program = program.as_deref().and_then(Path::to_str).map(|path| path.strip_suffix(" (deleted)").unwrap_or(path));
    let same = |path: &str| path == name || base(path) == name;
    // A path may lead there by links.
    let linked = || name.contains('/') && std::fs::canonicalize(name).is_ok_and(|path| path.to_str() == program);
    program.is_some_and(same)
        || stat::read(pid).is_ok_and(|stat| stat.comm == name)
        || linked()
        || program.is_some_and(is_interpreter) && script(pid).is_some_and(|script| same(&script))
}

/// Whether a program runs scripts; a version may follow its name.
fn is_interpreter(program: &str) -> bool {
    const KNOWN: [&str; 14] =
        ["python", "pypy", "node", "nodejs", "deno", "bun", "ruby", "perl", "php", "bash", "dash", "sh", "zsh", "ksh"];
    let plain = base(program).trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    KNOWN.contains(&plain)
}

/// The first argument that is no option: of what runs a script, that script.
fn script(pid: Pid) -> Option<String> {
    let words = words::cmdline(pid).ok()?;
    let first = words.iter().skip(1).map(|word| word.to_string_lossy()).find(|word| !word.starts_with('-'));
    // After -c and -e comes the program itself, after -m the name of a module.
    first.map(std::borrow::Cow::into_owned)
}

fn says(pid: Pid, text: &str) -> bool {
    let words = words::cmdline(pid).unwrap_or_default();
    let line: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    line.join(" ").contains(text)
}

fn holds(pid: Pid, inodes: &BTreeSet<u64>) -> bool {
    descriptors::sockets(pid).is_ok_and(|held| held.iter().any(|(_, inode)| inodes.contains(inode)))
}

/// The listening sockets on a port, and the user of one of them.
fn sockets_on(port: u16) -> Result<(BTreeSet<u64>, u32), SelectError> {
    let places = [false, true].map(|v6| LocalPort { port, v6 });
    let sockets = diag::tcp_sockets(&places, &[state::LISTEN]).map_err(SelectError::System)?;
    let owner = sockets.first().ok_or(SelectError::PortFree(port))?.user;
    Ok((sockets.iter().map(|socket| socket.inode).collect(), owner))
}

fn in_cgroup(place: &Path) -> Result<Vec<Pid>, SelectError> {
    let error = |why| SelectError::NoCgroup(place.to_owned(), why);
    if let Ok(found) = cgroup::processes(place) {
        return Ok(found);
    }
    // As `/proc/PID/cgroup` shows it, in whatever hierarchy has it.
    let inside = place.strip_prefix("/").unwrap_or(place);
    let mounted = mounts::ours().into_iter().filter(|mount| mount.kind.starts_with("cgroup"));
    let found = mounted.map(|mount| cgroup::processes(&mount.point.join(inside)));
    found.filter_map(Result::ok).find(|found| !found.is_empty()).ok_or(error(Unread::Absent))
}

/// A process and its parents, up to the first.
#[must_use]
pub fn lineage(pid: Pid) -> BTreeSet<Pid> {
    let mut all = BTreeSet::new();
    let mut next = Some(pid);
    while let Some(pid) = next
        && all.insert(pid)
    {
        next = stat::read(pid).ok().and_then(|stat| stat.ppid);
    }
    all
}

/// Those of which no parent, however far up, is among them.
fn topmost(found: &[Pid]) -> Vec<Pid> {
    let below = |pid: &Pid| lineage(*pid).iter().any(|above| above != pid && found.contains(above));
    found.iter().copied().filter(|pid| !below(pid)).collect()
}

/// Why a process should not be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The whole machine, or the whole container.
    #[error("it is process 1: everything ends with it")]
    Init,
    /// This process.
    #[error("it is this very process")]
    Itself,
    /// The shell that it was typed into, say.
    #[error("this process was started by it")]
    Ancestor,
    /// Nothing that signals end.
    #[error("it is a thread of the kernel")]
    KernelThread,
}

/// Whether a process may be stopped without being asked twice.
///
/// # Errors
/// [`Refusal`].
pub fn refuse(facts: &Facts) -> Result<(), Refusal> {
    let own = process::own_pid();
    match facts.pid {
        Pid::INIT => Err(Refusal::Init),
        pid if pid == own => Err(Refusal::Itself),
        pid if lineage(own).contains(&pid) => Err(Refusal::Ancestor),
        _ if facts.kernel_thread => Err(Refusal::KernelThread),
        _ => Ok(()),
    }
}

/// Short facts of all processes of a user that can be seen, threads of the kernel aside. `None`: of all users.
#[must_use]
pub fn everybody(user: Option<u32>) -> Vec<Case> {
    use std::os::unix::fs::MetadataExt;
    let mut pids = proc::processes().unwrap_or_default();
    pids.sort_unstable();
    let owned = |pid: &Pid| {
        user.is_none_or(|user| std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == user))
    };
    let all = pids.into_iter().filter(owned).filter_map(|pid| facts::glance(pid).ok());
    let mut all: Vec<Facts> = all.filter(|facts| !facts.kernel_thread).collect();
    all.iter_mut().for_each(facts::look_again);
    all.into_iter().map(Case::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn a_port_is_its_owners_and_neither_we_nor_our_parents_are_found() {
        let listener = std::net::TcpListener::bind("[::1]:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let wanted = Selection { port: Some(port), ..Selection::default() };
        let sockets = sockets_on(port).expect("it listens");
        assert!(fits(&wanted, process::own_pid(), Some(&sockets.0)));
        assert!(matches!(select(&wanted), Err(SelectError::PortHidden(..))), "it is this process itself");
        drop(listener);
        assert!(matches!(select(&wanted), Err(SelectError::PortFree(free)) if free == port));
    }

    #[test]
    fn a_child_is_found_by_its_arguments_and_only_once() {
        let mark = format!("1{}.5", std::process::id());
        let mut child = std::process::Command::new("sleep").arg(&mark).spawn().expect("started");
        let wanted = Selection { exe: Some("sleep".into()), text: Some(mark.clone()), ..Selection::default() };
        let found = loop {
            // Until the child has become `sleep`.
            if let Ok(found) = select(&wanted) {
                break found;
            }
        };
        assert_eq!(found.iter().map(Target::pid).collect::<Vec<_>>(), [Pid::new(child.id() as i32)]);
        let other = Selection { exe: Some("sheep".into()), ..wanted };
        assert!(matches!(select(&other), Err(SelectError::Nothing)));
        child.kill().expect("ours");
        child.wait().expect("it has ended");
    }

    #[test]
    fn a_program_is_found_by_its_script_and_when_its_file_is_gone() {
        let place = std::env::temp_dir().join(format!("adieu-select-{}", std::process::id()));
        std::fs::create_dir_all(&place).expect("writable");
        let script = place.join("a-script-with-a-long-name");
        std::fs::write(&script, "sleep 1000 & wait\n").expect("writable");
        let (copy, link) = (place.join("gone"), place.join("link"));
        std::fs::copy("/bin/sleep", &copy).expect("copied");
        std::os::unix::fs::symlink("/bin/sleep", &link).expect("linked");
        let start = |program: &Path, argument: &std::ffi::OsStr| {
            std::process::Command::new(program).arg(argument).process_group(0).spawn().expect("started")
        };
        let thousand = std::ffi::OsStr::new("1000");
        let mut children =
            [start(Path::new("/bin/sh"), script.as_os_str()), start(&copy, thousand), start(&link, thousand)];
        for (child, name) in children.iter().zip([&script, &copy, &link]) {
            let pid = Pid::new(child.id() as i32);
            while !runs(pid, name.to_str().expect("text")) {
                std::thread::yield_now();
            }
            assert!(!runs(pid, "/bin/cat") && !runs(pid, "1000"), "{}", name.display());
        }
        std::fs::remove_file(&copy).expect("ours");
        assert!(runs(Pid::new(children[1].id() as i32), copy.to_str().expect("text")), "its file is gone");
        assert!(runs(Pid::new(children[0].id() as i32), "a-script-with-a-long-name"));
        for child in &mut children {
            adieu_linux::signals::signal_group(child.id() as i32, adieu_core::signal::Signal::KILL).expect("ours");
            child.wait().expect("it has ended");
        }
        std::fs::remove_dir_all(&place).expect("ours");
    }

    #[test]
    fn the_dangerous_ones_are_refused() {
        let facts = Facts::of;
        assert_eq!(refuse(&facts(Pid::INIT)), Err(Refusal::Init));
        assert_eq!(refuse(&facts(process::own_pid())), Err(Refusal::Itself));
        let parent = stat::read(process::own_pid()).expect("ours").ppid;
        assert_eq!(refuse(&facts(parent.expect("it is in our namespace"))), Err(Refusal::Ancestor));
        assert_eq!(refuse(&Facts { kernel_thread: true, ..facts(Pid::new(i32::MAX)) }), Err(Refusal::KernelThread));
        assert_eq!(refuse(&facts(Pid::new(i32::MAX))), Ok(()));
    }

    #[test]
    fn this_process_is_among_everybody() {
        let (me, user) = (process::own_pid(), process::own_user());
        assert!(everybody(Some(user)).iter().any(|case| case.facts.pid == me));
        assert!(!everybody(Some(user ^ 0x7fff_0000)).iter().any(|case| case.facts.pid == me));
    }
}
