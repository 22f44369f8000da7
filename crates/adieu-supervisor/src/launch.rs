//! From a command line to a program that can be started: directory, file and environment, resolved afresh each time.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use adieu_core::outcome::code;

/// What a generation runs: a reload may bring a new one, which is kept only if it succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) command: Vec<OsString>,
    /// Changes to the supervisor's own environment; `None` removes.
    pub(crate) environment: BTreeMap<OsString, Option<OsString>>,
}

/// What a reload asks to be different.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// Variables to set or, with `None`, to remove; the last one of a name counts.
    pub(crate) environment: Vec<(String, Option<String>)>,
    /// The same command as before unless there is one here.
    pub(crate) command: Option<Vec<String>>,
}

impl Spec {
    pub(crate) fn changed(&self, change: &Change) -> Self {
        let mut spec = self.clone();
        let entries = change.environment.iter().cloned();
        spec.environment.extend(entries.map(|(key, value)| (OsString::from(key), value.map(OsString::from))));
        if let Some(command) = change.command.as_ref().filter(|command| !command.is_empty()) {
            spec.command = command.iter().map(OsString::from).collect();
        }
        spec
    }
}

/// A command that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Nothing of that name.
    #[error("{0:?} was not found{1}")]
    NotFound(OsString, &'static str),
    /// There, but not to be executed.
    #[error("{0:?} is not executable{1}")]
    NotExecutable(PathBuf, &'static str),
    /// A NUL byte where none can be.
    #[error("{0:?} contains a NUL byte")]
    Nul(OsString),
}

impl LaunchError {
    /// The exit code of `adieu run` for it, as env(1) and the shells have it.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotFound(..) => code::NOT_FOUND,
            Self::NotExecutable(..) | Self::Nul(_) => code::NOT_EXECUTABLE,
        }
    }
}

/// The parts of an `execve(2)` call.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) path: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
}

/// The working directory by the path that leads to it (`$PWD` while it does), so that `current -> releases/7` is followed
/// anew for each generation.
pub(crate) fn working_directory() -> Option<PathBuf> {
    let same = |a: &Path, b: &Path| match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    let logical = std::env::var_os("PWD").map(PathBuf::from).filter(|p| p.is_absolute() && same(p, Path::new(".")));
    logical.or_else(|| std::env::current_dir().ok())
}

/// Finds the program and makes its environment.
pub(crate) fn resolve(
    spec: &Spec,
    directory: Option<&Path>,
    extra: &[(OsString, OsString)],
) -> Result<Resolved, LaunchError> {
    let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    // What was meant for this process and not for the program.
    for ours in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        environment.remove(OsStr::new(ours));
    }
    environment.retain(|key, _| !key.as_bytes().starts_with(b"ADIEU_") || key == "ADIEU_RUNTIME_DIR");
    for (key, value) in &spec.environment {
        match value {
            Some(value) => environment.insert(key.clone(), value.clone()),
            None => environment.remove(key),
        };
    }
    environment.extend(extra.iter().cloned());
    let name = spec.command.first().ok_or_else(|| LaunchError::NotFound(OsString::new(), ": the command is empty"))?;
    let path = find(name, environment.get(OsStr::new("PATH")).map(OsString::as_os_str), directory)?;
    let c_string = |bytes: &OsStr| CString::new(bytes.as_bytes()).map_err(|_| LaunchError::Nul(bytes.to_owned()));
    let entry = |(key, value): (&OsString, &OsString)| {
        let mut entry = key.clone();
        entry.push("=");
        entry.push(value);
        c_string(&entry)
    };
    Ok(Resolved {
        path: CString::new(path.into_os_string().into_vec()).map_err(|_| LaunchError::Nul(name.clone()))?,
        arguments: spec.command.iter().map(|argument| c_string(argument)).collect::<Result<_, _>>()?,
        environment: environment.iter().map(entry).collect::<Result<_, _>>()?,
    })
}

/// Searches as execvp(3): a name with a slash is a path, from the working directory's path on; others go through PATH.
fn find(name: &OsStr, search: Option<&OsStr>, directory: Option<&Path>) -> Result<PathBuf, LaunchError> {
    let base = directory.unwrap_or(Path::new("."));
    if name.is_empty() {
        return Err(LaunchError::NotFound(name.to_owned(), ": the command is empty"));
    }
    if name.as_bytes().contains(&b'/') {
        let path = base.join(name);
        return match path.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(LaunchError::NotExecutable(path, ": a directory on the way may not be entered"))
            }
            Err(_) => Err(LaunchError::NotFound(name.to_owned(), "")),
            Ok(meta) if meta.is_dir() => Err(LaunchError::NotExecutable(path, ": it is a directory")),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                Err(LaunchError::NotExecutable(path, ": chmod +x, or name its interpreter"))
            }
            Ok(_) => Ok(path),
        };
    }
    let default = OsStr::new("/usr/local/bin:/usr/bin:/bin");
    let mut refused = None;
    for place in std::env::split_paths(search.unwrap_or(default)) {
        let path = base.join(place).join(name);
        match path.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(path),
            Ok(meta) if meta.is_file() => refused = Some(path),
            _ => {}
        }
    }
    match refused {
        Some(path) => Err(LaunchError::NotExecutable(path, ": chmod +x")),
        None => Err(LaunchError::NotFound(name.to_owned(), " in PATH")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(command: &[&str]) -> Spec {
        Spec { command: command.iter().map(OsString::from).collect(), environment: BTreeMap::new() }
    }

    #[test]
    fn what_cannot_be_started_is_told_apart() {
        let code = |command: &[&str]| resolve(&spec(command), None, &[]).map_err(|e| e.exit_code()).err();
        assert_eq!(code(&["sh"]), None);
        assert_eq!(code(&["no-such-program-anywhere"]), Some(127));
        assert_eq!(code(&["/no/such/file"]), Some(127));
        assert_eq!(code(&["/etc/passwd"]), Some(126));
        assert_eq!(code(&["/etc"]), Some(126));
        assert_eq!(code(&[""]), Some(127));
        assert_eq!(code(&["sh", "a\0b"]), Some(126));
    }

    #[test]
    fn a_new_environment_wins_and_decides_the_search() {
        let mut wanted = spec(&["sh"]);
        wanted.environment.insert("PATH".into(), Some("/nowhere".into()));
        assert!(resolve(&wanted, None, &[]).is_err());
        wanted.environment.insert("PATH".into(), Some("/bin".into()));
        wanted.environment.insert("HOME".into(), None);
        let resolved = resolve(&wanted, None, &[("ADIEU_NAME".into(), "x".into())]).expect("found");
        let has = |text: &str| resolved.environment.iter().any(|entry| entry.as_bytes().starts_with(text.as_bytes()));
        assert!(has("ADIEU_NAME=x") && has("PATH=/bin") && !has("HOME="));
    }
}
