//! From a command line to a program that can be started: directory, file and environment, resolved afresh each time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use adieu_core::outcome::code;

/// What a generation runs: a reload may bring a new one, which is kept only if it succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) command: Vec<OsString>,
    /// Changes to the supervisor's own environment; `None` removes.
    pub(super) environment: BTreeMap<OsString, Option<OsString>>,
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
    pub(super) fn changed(&self, change: &Change) -> Self {
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
pub(super) struct Resolved {
    pub(super) path: CString,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<Cow<'static, CStr>>,
}

/// The working directory by the path that leads to it (`$PWD` while it does), so that `current -> releases/7` is followed
/// anew for each generation.
pub(super) fn working_directory() -> Option<PathBuf> {
    let same = |a: &Path, b: &Path| match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    let logical = std::env::var_os("PWD").map(PathBuf::from).filter(|p| p.is_absolute() && same(p, Path::new(".")));
    logical.or_else(|| std::env::current_dir().ok())
}

/// Finds the program and makes its environment.
pub(super) fn resolve(
    spec: &Spec,
    directory: Option<&Path>,
    extra: &[(OsString, OsString)],
) -> Result<Resolved, LaunchError> {
    let name = spec.command.first().ok_or_else(|| LaunchError::NotFound(OsString::new(), ": the command is empty"))?;
    let environment = Environment { spec, extra };
    let path = find(name, environment.search().as_deref(), directory)?;
    Ok(Resolved {
        path: CString::new(path.into_os_string().into_vec()).map_err(|_| LaunchError::Nul(name.clone()))?,
        arguments: spec.command.iter().map(|argument| c_string(argument.as_bytes())).collect::<Result<_, _>>()?,
        environment: environment.entries()?,
    })
}

fn c_string(bytes: &[u8]) -> Result<CString, LaunchError> {
    CString::new(bytes).map_err(|_| LaunchError::Nul(OsStr::from_bytes(bytes).to_owned()))
}

/// What was meant for this process and not for the program.
const OURS: [&[u8]; 6] =
    [b"NOTIFY_SOCKET", b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES", b"WATCHDOG_USEC", b"WATCHDOG_PID"];

/// Our own environment without what is ours, changed as the reloads asked, with what we tell the program: the last one of a
/// name counts. What is passed on unchanged is not copied.
struct Environment<'a> {
    spec: &'a Spec,
    extra: &'a [(OsString, OsString)],
}

impl Environment<'_> {
    /// Whether an entry of our own environment reaches the program.
    fn passes(&self, entry: &[u8]) -> bool {
        let key = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
        let ours = key.starts_with(b"ADIEU_") && key != b"ADIEU_RUNTIME_DIR";
        !ours
            && !OURS.contains(&key)
            && !self.spec.environment.contains_key(OsStr::from_bytes(key))
            && !self.extra.iter().any(|(other, _)| other.as_bytes() == key)
    }

    fn entries(&self) -> Result<Vec<Cow<'static, CStr>>, LaunchError> {
        let told = |key: &OsStr| self.extra.iter().any(|(other, _)| other == key);
        let changed = self.spec.environment.iter().filter(|(key, _)| !told(key));
        let set = changed.filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let own = adieu_linux::environment::entries().into_iter().filter(|entry| self.passes(entry.to_bytes()));
        let new = set.chain(self.extra.iter().map(|(key, value)| (key, value)));
        let new = new.map(|(key, value)| c_string(&[key.as_bytes(), b"=", value.as_bytes()].concat()).map(Cow::Owned));
        own.map(|entry| Ok(Cow::Borrowed(entry))).chain(new).collect()
    }

    /// The program's PATH.
    fn search(&self) -> Option<OsString> {
        let key = OsStr::new("PATH");
        match (self.extra.iter().rfind(|(other, _)| other == key), self.spec.environment.get(key)) {
            (Some((_, path)), _) => Some(path.clone()),
            (None, Some(changed)) => changed.clone(),
            (None, None) => std::env::var_os(key),
        }
    }
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
        let has = |text: &str| resolved.environment.iter().any(|entry| entry.to_bytes().starts_with(text.as_bytes()));
        assert!(has("ADIEU_NAME=x") && has("PATH=/bin") && !has("HOME="));
    }
}
