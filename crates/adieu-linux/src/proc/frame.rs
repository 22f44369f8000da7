//! Whether a thread is inside a signal handler: the kernel leaves a frame on the stack that the handler runs on, with the
//! mask and the registers before it (`struct rt_sigframe`; sigreturn(2)).
//!
//! A frame alone proves nothing: it stays in memory after its handler has returned. One whose mask lacks signals that the
//! thread blocks now is of a handler that still runs. So a handler that blocks nothing (SA_NODEFER) is not seen.

use std::fs::File;
use std::os::unix::fs::FileExt;

use adieu_core::ids::Pid;

use super::Unread;

/// A handler that has begun and not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The signals that are blocked for its sake; bit n-1 stands for signal n.
    pub blocks: u64,
    /// The signal, and who sent it as the receiver's pid namespace numbers it (0: from outside); only where the handler has
    /// asked for that (SA_SIGINFO).
    pub sender: Option<(i32, i32)>,
}

/// How far above the stack pointer is looked.
const REACH: usize = 256 * 1024;

/// The innermost frame in a piece of a stack that begins at its pointer, of a thread that blocks these signals.
#[must_use]
pub fn find(stack: &[u8], blocked: u64) -> Option<Frame> {
    (0..stack.len()).step_by(8).find_map(|at| {
        let (mask, info) = frame_at(stack.get(at..)?)?;
        let blocks = blocked & !mask;
        let sender =
            info.filter(|(signal, _)| 1u64.checked_shl(signal.unsigned_abs() - 1).is_some_and(|bit| blocks & bit != 0));
        (blocks != 0).then_some(Frame { blocks, sender })
    })
}

/// `SI_USER`, `SI_QUEUE`, `SI_TKILL`: a process sent it.
const FROM_PROCESS: [i32; 3] = [0, -1, -6];

/// The mask before, and `siginfo` where there is one.
type Saved = (u64, Option<(i32, i32)>);

/// x86: return address, `ucontext` (flags, link, alternate stack, registers, mask), `siginfo`.
#[cfg(target_arch = "x86_64")]
fn frame_at(bytes: &[u8]) -> Option<Saved> {
    const USER_CODE: u16 = 0x33;
    const REGISTERS: usize = 8 + 40;
    // UC_FP_XSTATE, UC_SIGCONTEXT_SS and UC_STRICT_RESTORE_SS; no link is ever set.
    let (flags, link) = (u64_at(bytes, 8)?, u64_at(bytes, 16)?);
    if flags > 7 || flags & 6 == 0 || link != 0 {
        return None;
    }
    // Eighteen registers, then `cs`; among them the stack pointer and the instruction pointer.
    let code_segment = u64_at(bytes, REGISTERS + 18 * 8)? as u16;
    let (returns_to, stack, instruction) =
        (u64_at(bytes, 0)?, u64_at(bytes, REGISTERS + 15 * 8)?, u64_at(bytes, REGISTERS + 16 * 8)?);
    let plausible = code_segment == USER_CODE && [returns_to, stack, instruction].iter().all(|at| is_user(*at));
    plausible.then(|| Some((u64_at(bytes, REGISTERS + 256)?, info_at(bytes, 8 + 304)))).flatten()
}

#[cfg(target_arch = "x86_64")]
fn is_user(address: u64) -> bool {
    (0x1000..0x0100_0000_0000_0000).contains(&address)
}

/// ARM: `siginfo` of 128 bytes, `ucontext` (flags, link, alternate stack, mask).
#[cfg(target_arch = "aarch64")]
fn frame_at(bytes: &[u8]) -> Option<Saved> {
    let (flags, link) = (u64_at(bytes, 128)?, u64_at(bytes, 136)?);
    // The kernel always writes `siginfo` here, so a frame has a signal's number.
    let signal = i32_at(bytes, 0)?;
    (flags == 0 && link == 0 && (1..=64).contains(&signal))
        .then(|| Some((u64_at(bytes, 128 + 40)?, info_at(bytes, 0))))
        .flatten()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn frame_at(_bytes: &[u8]) -> Option<Saved> {
    None
}

/// `si_signo`, `si_errno`, `si_code`, padding, `si_pid`.
fn info_at(bytes: &[u8], at: usize) -> Option<(i32, i32)> {
    let (signal, errno, code) = (i32_at(bytes, at)?, i32_at(bytes, at + 4)?, i32_at(bytes, at + 8)?);
    let (padding, sender) = (i32_at(bytes, at + 12)?, i32_at(bytes, at + 16)?);
    let plausible = (1..=64).contains(&signal) && errno == 0 && padding == 0 && sender >= 0;
    (plausible && FROM_PROCESS.contains(&code)).then_some((signal, sender))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The handler that a waiting thread is in, if any; `stack` is its stack pointer, `blocked` its mask.
///
/// # Errors
/// [`Unread`]; `Denied` without PTRACE_MODE_ATTACH over the process.
pub fn read(pid: Pid, stack: u64, blocked: u64) -> Result<Option<Frame>, Unread> {
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
    Ok(find(bytes.get(..length).unwrap_or_default(), blocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: u64 = 1 << 14;

    #[cfg(target_arch = "x86_64")]
    fn stack_with(mask: u64, info: Option<(i32, i32)>, before: usize) -> Vec<u8> {
        let mut bytes = vec![0xaa; before + 600];
        let mut put = |at: usize, value: &[u8]| bytes[before + at..before + at + value.len()].copy_from_slice(value);
        for (at, value) in [(0, 0x7f00_0000_1000u64), (8, 7), (16, 0), (48 + 120, 0x7ffd_0000), (48 + 128, 0x5555_0000)]
        {
            put(at, &value.to_ne_bytes());
        }
        put(48 + 144, &0x33u64.to_ne_bytes());
        put(304, &mask.to_ne_bytes());
        if let Some((signal, sender)) = info {
            put(312, &signal.to_ne_bytes());
            put(316, &[0; 12]);
            put(328, &sender.to_ne_bytes());
        }
        bytes
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_frame_is_found_wherever_it_is() {
        for before in [0, 8, 4096, 100_000] {
            let found = find(&stack_with(1, Some((15, 4711)), before), TERM | 1);
            assert_eq!(found, Some(Frame { blocks: TERM, sender: Some((15, 4711)) }));
            let found = find(&stack_with(0, None, before), TERM);
            assert_eq!(found, Some(Frame { blocks: TERM, sender: None }));
        }
        assert_eq!(find(&stack_with(0, None, 64), 0), None, "its handler has returned");
        assert_eq!(find(&stack_with(TERM, None, 64), TERM), None, "blocked before it");
        let whole = stack_with(0, None, 64);
        for end in 0..64 + 312 {
            assert_eq!(find(&whole[..end], TERM), None, "cut off at {end}");
        }
    }

    #[test]
    fn any_bytes_can_be_looked_through() {
        for fill in [0x00u8, 0x01, 0xff] {
            assert_eq!(find(&vec![fill; 2000], u64::MAX), None);
        }
    }
}
