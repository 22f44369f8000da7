//! `/proc/locks`: who holds a lock on a file, and who waits for it (proc_locks(5)).

use adieu_core::ids::Pid;

/// One line: a lock that is held, or somebody who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// The same for a lock and for those who wait for it.
    pub id: u64,
    /// Whether it is waited for.
    pub waits: bool,
    /// The process that has taken it or waits; `None` for locks that belong to an open file, and for what is in another pid
    /// namespace. The one that has taken a `flock(2)` lock may have left it to its children.
    pub pid: Option<Pid>,
}

/// Parses the file; lines of another form are passed over.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Lock> {
    String::from_utf8_lossy(bytes).lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Lock> {
    let (id, rest) = line.split_once(':')?;
    let mut words = rest.split_ascii_whitespace().peekable();
    let waits = words.next_if_eq(&"->").is_some();
    // Kind, whether it is only a convention, what it excludes.
    let pid: i32 = words.nth(3)?.parse().ok()?;
    Some(Lock { id: id.trim().parse().ok()?, waits, pid: (pid > 0).then(|| Pid::new(pid)) })
}

/// The lock that a process waits for, as it was taken.
#[must_use]
pub fn taken(pid: Pid) -> Option<Lock> {
    let locks = parse(&crate::whole::read_whole("/proc/locks").ok()?);
    let wanted = locks.iter().find(|lock| lock.waits && lock.pid == Some(pid))?.id;
    locks.into_iter().find(|lock| !lock.waits && lock.id == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_holders_and_of_those_who_wait() {
        let text = b"1: FLOCK  ADVISORY  WRITE 24713 fe:00:262150 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 24712 fe:00:262150 0 EOF\n\
                     2: OFDLCK ADVISORY  READ -1 00:06:5 0 EOF\n1:  -> POSIX ADVISORY WRITE 7 a 0 1\nnonsense\n3: FLOCK\n";
        let all: Vec<_> =
            parse(text).iter().map(|lock| (lock.id, lock.waits, lock.pid.map_or(0, Pid::number))).collect();
        assert_eq!(all, [(1, false, 24713), (1, true, 24712), (2, false, 0), (1, true, 7)]);
    }
}
