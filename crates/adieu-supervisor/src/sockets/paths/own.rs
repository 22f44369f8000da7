//! Names that a generation has for itself, so that the next one does not bind them: with a process's number in them, or in a
//! directory that was made for nobody else.
//!
//! `ha.sock.4711.tmp`, `dotnet-diagnostic-4711-52200-socket`, `cgisock.4711`, `pymp-x8d9s/listener-abc`: a generation that was
//! waited for to listen there would never be ready.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::process;

use super::Name;
use crate::process_table::ProcessTable;

/// The kernel's times of files are this much behind, at most.
const COARSE: Duration = Duration::from_millis(20);
/// Numbers this large are taken for a process's wherever they stand; smaller ones only between two separators.
const LARGE: i32 = 100;

/// Whether `name`, which `process` binds, is one that no generation but `generation` will bind.
pub(in crate::sockets) fn is_own_name(
    table: &dyn ProcessTable,
    generation: Generation,
    process: Pid,
    name: &Name,
    now: Timestamp,
) -> bool {
    let Some(started) = table.started(generation) else { return false };
    let names_a_process = |name: &[u8]| names_a_process(table.keeper(generation), process, name);
    match name {
        Name::Path { directory, base } => {
            is_private_since(directory, now - started) || names_a_process(base.as_bytes())
        }
        Name::Abstract(name) => names_a_process(name),
    }
}

/// Whether the name has the number of `process` or of one that it descends from, up to the keeper of its generation.
fn names_a_process(keeper: Option<Pid>, process: Pid, name: &[u8]) -> bool {
    let mut next = Some(process);
    while let Some(pid) = next {
        if process::numbers(pid).is_ok_and(|numbers| numbers.into_iter().any(|number| has_number(name, number))) {
            return true;
        }
        let parent = process::stat(pid).ok().and_then(|stat| stat.ppid);
        next = parent.filter(|p| *p > Pid::INIT && *p != process::own_pid() && Some(*p) != keeper);
    }
    false
}

/// Whether only its owner may enter `directory`, and it is no older than `age`: as `mkdtemp(3)` makes them.
fn is_private_since(directory: &Path, age: Duration) -> bool {
    let Ok(meta) = fs::metadata(directory) else { return false };
    let since = SystemTime::now().checked_sub(age + COARSE);
    meta.mode() & 0o077 == 0 && meta.created().is_ok_and(|born| since.is_some_and(|since| born >= since))
}

/// Whether one of the numbers in `name` is this one.
fn has_number(name: &[u8], number: i32) -> bool {
    let number = number.to_string().into_bytes();
    let is_large = number.len() >= LARGE.to_string().len();
    let mut at = 0_usize;
    for run in name.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        let (before, after) = (at.checked_sub(1).and_then(|at| name.get(at)), name.get(at + run.len()));
        let apart = [before, after].into_iter().flatten().all(|byte| !byte.is_ascii_alphanumeric());
        if run == number && (is_large || apart) {
            return true;
        }
        at += run.len();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_number;

    #[test]
    fn numbers_of_processes_are_found_in_names() {
        for (name, number) in [
            ("ha.sock.4711.tmp", 4711),
            ("dotnet-diagnostic-7-52200-socket", 7),
            ("cgisock.12", 12),
            ("agent4711", 4711),
            ("4711", 4711),
        ] {
            assert!(has_number(name.as_bytes(), number), "{name} {number}");
        }
        for (name, number) in [("app7.sock", 7), ("ha.sock.47112.tmp", 4711), ("app.sock", 1), ("http80", 80), ("", 1)]
        {
            assert!(!has_number(name.as_bytes(), number), "{name} {number}");
        }
    }
}
