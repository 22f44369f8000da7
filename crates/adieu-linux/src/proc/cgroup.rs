//! `/proc/PID/cgroup`, and the freezer of both versions (cgroups(7), `cgroup-v1/freezer-subsystem`, `cgroup-v2`).

use std::fs;
use std::path::{Path, PathBuf};

use adieu_core::ids::Pid;

use super::mounts::Mount;
use super::{Unread, mounts};

/// One line: the cgroup that a process is in, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Controllers of a v1 hierarchy, `name=systemd` and the like included; empty for v2.
    pub controllers: Vec<String>,
    /// From the root of the hierarchy, with a leading slash.
    pub path: String,
}

/// Parses the file; lines of another form are passed over.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Membership> {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let controllers = controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        path.starts_with('/').then(|| Membership { controllers, path: path.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// The cgroups of a process.
///
/// # Errors
/// [`Unread`].
pub fn read(pid: Pid) -> Result<Vec<Membership>, Unread> {
    Ok(parse(&super::bytes(pid, "cgroup")?))
}

/// Where a cgroup is in the file system, if its hierarchy is mounted.
#[must_use]
pub fn directory(membership: &Membership, mounts: &[Mount]) -> Option<PathBuf> {
    let fits = |mount: &&Mount| match membership.controllers.first() {
        None => mount.kind == "cgroup2",
        Some(first) => mount.kind == "cgroup" && mount.options.iter().any(|option| option == first),
    };
    mounts.iter().filter(fits).find_map(|mount| {
        let inside = Path::new(&membership.path).strip_prefix(&mount.root).ok()?;
        Some(mount.point.join(inside)).filter(|place| place.is_dir())
    })
}

/// A freezer that holds a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The file of the cgroup that asked for it: writing to it ends it.
    pub file: PathBuf,
    /// What is to be written there.
    pub thaw: &'static str,
    /// What the file says.
    pub value: String,
    /// Whether it is a v1 freezer: its tasks do not even die of SIGKILL.
    pub v1: bool,
}

/// The freezer that holds a process, if one does.
///
/// # Errors
/// [`Unread`] when its cgroups cannot be read.
pub fn frozen(pid: Pid) -> Result<Option<Frozen>, Unread> {
    let memberships = read(pid)?;
    let relevant = |membership: &&Membership| {
        membership.controllers.is_empty() || membership.controllers.iter().any(|name| name == "freezer")
    };
    let mut known = None;
    for membership in memberships.iter().filter(relevant).filter(|membership| membership.path != "/") {
        let mounts = known.get_or_insert_with(mounts::ours);
        let Some(place) = directory(membership, mounts) else { continue };
        let found = if membership.controllers.is_empty() { frozen_v2(&place) } else { frozen_v1(&place) };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn text(place: &Path, file: &str) -> Option<String> {
    Some(crate::whole::read_text(place.join(file)).ok()?.trim().to_owned())
}

fn frozen_v1(place: &Path) -> Option<Frozen> {
    let value = text(place, "freezer.state").filter(|state| state != "THAWED")?;
    let asked = place.ancestors().find(|above| text(above, "freezer.self_freezing").as_deref() == Some("1"));
    Some(Frozen { file: asked.unwrap_or(place).join("freezer.state"), thaw: "THAWED", value, v1: true })
}

fn frozen_v2(place: &Path) -> Option<Frozen> {
    let events = text(place, "cgroup.events")?;
    let asks = |above: &&Path| text(above, "cgroup.freeze").as_deref() == Some("1");
    let asked = place.ancestors().find(asks);
    let is_frozen = events.lines().any(|line| line == "frozen 1");
    let file = asked.or(is_frozen.then_some(place))?.join("cgroup.freeze");
    Some(Frozen { file, thaw: "0", value: "1".to_owned(), v1: false })
}

/// The processes in a cgroup and in those below it, in order.
///
/// # Errors
/// [`Unread`] when the directory is no cgroup.
pub fn processes(place: &Path) -> Result<Vec<Pid>, Unread> {
    let text = crate::whole::read_text(place.join("cgroup.procs"))?;
    let numbers = text.lines().filter_map(|line| line.parse().ok());
    let mut found: Vec<Pid> = numbers.filter(|number| *number > 0).map(Pid::new).collect();
    for entry in fs::read_dir(place)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // One that was removed since then had nobody in it.
            found.extend(processes(&entry.path()).unwrap_or_default());
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_versions() {
        let found = parse(b"12:cpu,cpuacct:/a:b\n1:name=systemd:/x\n0::/user.slice/y\nnonsense\n5:x\n0::relative\n");
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].controllers.len(), found[0].path.as_str()), (2, "/a:b"));
        assert!(found[2].controllers.is_empty());
    }

    #[test]
    fn a_cgroup_is_found_below_the_mount_of_its_hierarchy() {
        let place = tempfile::tempdir().expect("a directory");
        fs::create_dir(place.path().join("inner")).expect("made");
        let mount = |root: &str, kind: &str, options: &[&str]| Mount {
            root: root.into(),
            point: place.path().into(),
            kind: kind.into(),
            options: options.iter().map(|text| (*text).to_owned()).collect(),
        };
        let member = |controllers: &[&str], path: &str| Membership {
            controllers: controllers.iter().map(|text| (*text).to_owned()).collect(),
            path: path.into(),
        };
        let mounts = [mount("/outer", "cgroup", &["rw", "freezer"]), mount("/", "cgroup2", &["rw"])];
        let inner = Some(place.path().join("inner"));
        assert_eq!(directory(&member(&["freezer"], "/outer/inner"), &mounts), inner);
        assert_eq!(directory(&member(&["freezer"], "/elsewhere/inner"), &mounts), None);
        assert_eq!(directory(&member(&[], "/inner"), &mounts), inner);
        assert_eq!(directory(&member(&["memory"], "/inner"), &mounts), None);
    }

    #[test]
    fn a_freezer_above_is_named_as_the_one_to_thaw() {
        let top = tempfile::tempdir().expect("a directory");
        let inner = top.path().join("a/b");
        fs::create_dir_all(&inner).expect("made");
        fs::write(inner.join("freezer.state"), "FROZEN\n").expect("written");
        fs::write(inner.join("freezer.self_freezing"), "0\n").expect("written");
        fs::write(top.path().join("a/freezer.self_freezing"), "1\n").expect("written");
        let found = frozen_v1(&inner).expect("frozen");
        assert_eq!(found.file, top.path().join("a/freezer.state"));
        fs::write(inner.join("freezer.state"), "THAWED\n").expect("written");
        assert_eq!(frozen_v1(&inner), None);
        fs::write(inner.join("cgroup.events"), "populated 1\nfrozen 1\n").expect("written");
        fs::write(top.path().join("a/cgroup.freeze"), "1\n").expect("written");
        assert_eq!(frozen_v2(&inner).expect("frozen").file, top.path().join("a/cgroup.freeze"));
    }
}
