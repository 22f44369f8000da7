//! Whether a thread is inside a signal handler: the kernel leaves a frame on the stack that the handler runs on, with the
//! signal, its sender and the registers before it (`struct rt_sigframe`; sigreturn(2)).

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Unread;

/// A handler that has begun and not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The signal's number.
    pub signal: i32,
    /// Who sent it, as seen by the receiver; 0 when a process of an outer namespace or the kernel did.
    pub sender: i32,
}

/// How far above the stack pointer is looked.
const REACH: usize = 256 * 1024;

/// The innermost frame in a piece of a stack that begins at its pointer.
#[must_use]
pub fn find(stack: &[u8]) -> Option<Frame> {
    (0..stack.len()).step_by(8).find_map(|at| frame_at(stack.get(at..)?))
}

/// `SI_USER`, `SI_QUEUE`, `SI_TKILL`: a process sent it.
const FROM_PROCESS: [i32; 3] = [0, -1, -6];

/// x86: return address, `ucontext` (flags, link, alternate stack, registers, mask), `siginfo`.
#[cfg(target_arch = "x86_64")]
fn frame_at(bytes: &[u8]) -> Option<Frame> {
    const USER_CODE: u16 = 0x33;
    // UC_FP_XSTATE, UC_SIGCONTEXT_SS and UC_STRICT_RESTORE_SS; no link is ever set.
    let (flags, link) = (u64_at(bytes, 8)?, u64_at(bytes, 16)?);
    if flags > 7 || flags & 6 == 0 || link != 0 {
        return None;
    }
    // Behind flags, link and the alternate stack: eighteen registers, then `cs`.
    let code_segment = u64_at(bytes, 8 + 40 + 18 * 8)? as u16;
    (code_segment == USER_CODE).then(|| info_at(bytes, 8 + 304)).flatten()
}

/// ARM: `siginfo` of 128 bytes, `ucontext` (flags, link).
#[cfg(target_arch = "aarch64")]
fn frame_at(bytes: &[u8]) -> Option<Frame> {
    let (flags, link) = (u64_at(bytes, 128)?, u64_at(bytes, 136)?);
    (flags == 0 && link == 0).then(|| info_at(bytes, 0)).flatten()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn frame_at(_bytes: &[u8]) -> Option<Frame> {
    None
}

/// `si_signo`, `si_errno`, `si_code`, padding, `si_pid`, `si_uid`.
fn info_at(bytes: &[u8], at: usize) -> Option<Frame> {
    let (signal, errno, code) = (i32_at(bytes, at)?, i32_at(bytes, at + 4)?, i32_at(bytes, at + 8)?);
    let (padding, sender) = (i32_at(bytes, at + 12)?, i32_at(bytes, at + 16)?);
    let plausible = (1..=64).contains(&signal) && errno == 0 && padding == 0 && sender >= 0;
    (plausible && FROM_PROCESS.contains(&code)).then_some(Frame { signal, sender })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The handler that a waiting thread is in, if any; `stack` is its stack pointer.
///
/// # Errors
/// [`Unread`]; `Denied` without PTRACE_MODE_ATTACH over the process.
pub fn read(pid: i32, stack: u64) -> Result<Option<Frame>, Unread> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut bytes = vec![0; REACH];
    let mut length = 0;
    // A page at a time: the stack ends somewhere, and a read across its end gives nothing at all.
    while length < REACH {
        let at = stack.saturating_add(length as u64);
        let page = 4096 - (at % 4096) as usize;
        let end = (length + page).min(REACH);
        match bytes.get_mut(length..end).map(|part| memory.read_at(part, at)) {
            Some(Ok(got)) if got > 0 => length += got,
            _ => break,
        }
    }
    Ok(find(bytes.get(..length).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    fn stack_with(signal: i32, sender: i32, before: usize) -> Vec<u8> {
        let mut bytes = vec![0xaa; before + 600];
        let mut put = |at: usize, value: &[u8]| bytes[before + at..before + at + value.len()].copy_from_slice(value);
        put(8, &7u64.to_ne_bytes());
        put(16, &0u64.to_ne_bytes());
        put(8 + 40 + 18 * 8, &0x33u64.to_ne_bytes());
        put(312, &signal.to_ne_bytes());
        put(316, &[0; 12]);
        put(328, &sender.to_ne_bytes());
        bytes
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_frame_is_found_wherever_it_is() {
        for before in [0, 8, 4096, 100_000] {
            let found = find(&stack_with(15, 4711, before));
            assert_eq!(found, Some(Frame { signal: 15, sender: 4711 }));
        }
        assert_eq!(find(&stack_with(0, 1, 64)), None);
        assert_eq!(find(&stack_with(15, -1, 64)), None);
        let whole = stack_with(15, 1, 64);
        for end in 0..64 + 332 {
            assert_eq!(find(&whole[..end]), None, "cut off at {end}");
        }
    }

    #[test]
    fn any_bytes_can_be_looked_through() {
        for fill in [0x00u8, 0x01, 0xff] {
            assert_eq!(find(&vec![fill; 2000]), None);
        }
    }
}
