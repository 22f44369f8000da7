//! `/proc/PID/status` and `/proc/PID/task/TID/status` (proc_pid_status(5)).

use adieu_core::ids::Pid;

use super::Unread;

/// The part of the file that adieu uses. Masks: bit n-1 stands for signal n.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// State letter.
    pub state: char,
    /// The process (thread group) that it belongs to, if that is in our pid namespace.
    pub thread_group: Option<Pid>,
    /// Its parent, if that is in our pid namespace.
    pub parent: Option<Pid>,
    /// Who traces it.
    pub tracer: Option<Pid>,
    /// Real, effective, saved and file system user.
    pub users: [u32; 4],
    /// Its pid, or the id of the thread, in each pid namespace that it is in, from ours to its own; empty before Linux
    /// 4.1. Bare numbers, as they mean nothing without the namespace.
    pub pids: Vec<i32>,
    /// How many threads the process has.
    pub threads: u32,
    /// Signals that wait for this thread.
    pub pending: u64,
    /// Signals that wait for any thread of the process.
    pub shared_pending: u64,
    /// Signals that this thread blocks.
    pub blocked: u64,
    /// Signals that the process ignores.
    pub ignored: u64,
    /// Signals that the process catches.
    pub caught: u64,
    /// How many real-time signals and the like are queued for its user, and the limit.
    pub queued: (u64, u64),
    /// Whether it is writing a core dump; `false` before Linux 4.15.
    pub dumps_core: bool,
    /// How often the thread has left the processor, by itself or not: unchanged, it has not run.
    pub switches: u64,
    /// Of these, how often it has left by itself, to wait for something.
    pub waits: u64,
}

/// Parses the file. Lines that are not known are passed over; those that every kernel writes must be there.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    let mut seen = 0u32;
    for line in bytes.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (key, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        // The name is the only line that may not be text, and it is not needed.
        let Ok(value) = std::str::from_utf8(value).map(str::trim) else { continue };
        match key {
            b"State" => status.state = value.chars().next()?,
            b"Tgid" => status.thread_group = Pid::nonzero(value.parse().ok()?),
            b"PPid" => status.parent = Pid::nonzero(value.parse().ok()?),
            b"TracerPid" => status.tracer = Pid::nonzero(value.parse().ok()?),
            b"Threads" => status.threads = value.parse().ok()?,
            b"Uid" => {
                let mut users = value.split_ascii_whitespace().map(|user| user.parse().ok());
                for slot in &mut status.users {
                    *slot = users.next()??;
                }
            }
            b"SigPnd" => status.pending = mask(value)?,
            b"ShdPnd" => status.shared_pending = mask(value)?,
            b"SigBlk" => status.blocked = mask(value)?,
            b"SigIgn" => status.ignored = mask(value)?,
            b"SigCgt" => status.caught = mask(value)?,
            other => {
                optional(&mut status, other, value);
                continue;
            }
        }
        seen += 1;
    }
    (seen == 11).then_some(status)
}

fn optional(status: &mut Status, key: &[u8], value: &str) {
    match key {
        b"NSpid" => status.pids = value.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        b"SigQ" => {
            let parts = value.split_once('/').and_then(|(now, most)| Some((now.parse().ok()?, most.parse().ok()?)));
            status.queued = parts.unwrap_or_default();
        }
        b"CoreDumping" => status.dumps_core = value == "1",
        b"voluntary_ctxt_switches" => {
            status.waits = value.parse().unwrap_or(0);
            status.switches = status.switches.saturating_add(status.waits);
        }
        b"nonvoluntary_ctxt_switches" => {
            status.switches = status.switches.saturating_add(value.parse().unwrap_or(0));
        }
        _ => {}
    }
}

/// A mask as the kernel prints it; its last 64 bits, where there are more (MIPS).
#[must_use]
pub fn mask(digits: &str) -> Option<u64> {
    let from = digits.len().saturating_sub(16);
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits.get(from..)?, 16).ok()).flatten()
}

/// Reads it of a process.
///
/// # Errors
/// [`Unread`].
pub fn read(pid: Pid) -> Result<Status, Unread> {
    parse(&super::bytes(pid, "status")?).ok_or(Unread::Malformed)
}

/// Reads it of one thread.
///
/// # Errors
/// [`Unread`].
pub fn of_thread(pid: Pid, tid: i32) -> Result<Status, Unread> {
    parse(&super::bytes(pid, &format!("task/{tid}/status"))?).ok_or(Unread::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_is_read_as_it_is() {
        let me = crate::process::own_pid();
        let status = read(me).expect("we are there");
        assert_eq!(status.thread_group, Some(me));
        assert_eq!(status.users[1], crate::process::own_user());
        assert_eq!(status.pids.last(), Some(&me.number()));
        assert!(status.threads >= 1);
        assert_eq!(status.ignored, crate::signals::ignored_mask());
    }

    #[test]
    fn masks_of_any_length() {
        assert_eq!(mask("0000000000004002"), Some(0x4002));
        assert_eq!(mask("00000000000000000000000000004002"), Some(0x4002));
        for bad in ["", "+4", "0x4", "4g", "é000000000000000"] {
            assert_eq!(mask(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cut_off_file_is_refused() {
        let whole = super::super::bytes(crate::process::own_pid(), "status").expect("we are there");
        let end = whole.windows(7).position(|at| at == b"SigCgt:").expect("it is there");
        assert_eq!(parse(&whole[..end]), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&[0xff, b':', 0xff]), None);
    }
}
