//! The small files of a process: `cmdline`, `comm`, `wchan`, `stack`, `environ` (proc(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use adieu_core::ids::Pid;

use super::Unread;

/// Parses `/proc/PID/cmdline` or `environ`: words that end with NUL. A program that has written its title there (nginx,
/// postgres) leaves one word and a tail of NULs.
#[must_use]
pub fn parse_cmdline(bytes: &[u8]) -> Vec<OsString> {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    let words = bytes.get(..end).unwrap_or_default();
    if words.is_empty() {
        return Vec::new();
    }
    words.split(|b| *b == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// The arguments of a process; empty for kernel threads and zombies.
///
/// # Errors
/// [`Unread`].
pub fn cmdline(pid: Pid) -> Result<Vec<OsString>, Unread> {
    Ok(parse_cmdline(&super::bytes(pid, "cmdline")?))
}

/// Parses `comm`: the name, without the newline that the kernel adds. It may contain newlines of its own.
#[must_use]
pub fn parse_comm(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(bytes)).into_owned()
}

/// The name of a thread.
///
/// # Errors
/// [`Unread`].
pub fn comm(pid: Pid, tid: i32) -> Result<String, Unread> {
    Ok(parse_comm(&super::bytes(pid, &format!("task/{tid}/comm"))?))
}

/// Parses `wchan`: the function of the kernel that the thread sleeps in; `None` when it does not sleep, or when one may not
/// know.
#[must_use]
pub fn parse_wchan(bytes: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(bytes).ok()?.trim();
    (!name.is_empty() && name != "0").then(|| name.to_owned())
}

/// Where in the kernel a thread sleeps.
#[must_use]
pub fn wchan(pid: Pid, tid: i32) -> Option<String> {
    parse_wchan(&super::bytes(pid, &format!("task/{tid}/wchan")).ok()?)
}

/// Parses `stack`: the functions of the kernel that the thread is in, innermost first.
#[must_use]
pub fn parse_stack(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let function = |line: &str| {
        let place = line.split_once("] ")?.1;
        let end = place.find(['+', ' ']).unwrap_or(place.len());
        place.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
    };
    text.lines().filter_map(function).collect()
}

/// The kernel's call stack of a thread; empty without CAP_SYS_ADMIN.
#[must_use]
pub fn stack(pid: Pid, tid: i32) -> Vec<String> {
    super::bytes(pid, &format!("task/{tid}/stack")).map(|bytes| parse_stack(&bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn words_may_be_empty_and_anything_but_nul() {
        assert_eq!(parse_cmdline(b"a\0\0b c\n\0"), ["a", "", "b c\n"]);
        assert_eq!(parse_cmdline(b"nginx: master process x\0\0\0\0"), ["nginx: master process x"]);
        assert_eq!(parse_cmdline(b"\xff\xfe\0")[0].as_bytes(), b"\xff\xfe");
        assert!(parse_cmdline(b"").is_empty() && parse_cmdline(b"\0\0").is_empty());
    }

    #[test]
    fn names_keep_their_own_newlines() {
        assert_eq!(parse_comm(b"a\nb\n"), "a\nb");
        assert_eq!(parse_comm(b"\xff\n"), "\u{fffd}");
    }

    #[test]
    fn a_zero_is_no_place_to_sleep_in() {
        assert_eq!(parse_wchan(b"0"), None);
        assert_eq!(parse_wchan(b""), None);
        assert_eq!(parse_wchan(b"do_epoll_wait").as_deref(), Some("do_epoll_wait"));
    }

    #[test]
    fn stacks_are_functions() {
        let text = b"[<0>] futex_wait_queue+0x60/0x90\n[<0>] do_futex+0x1/0x2\n[<0>] 0xffffffff\nnonsense\n";
        assert_eq!(parse_stack(text), ["futex_wait_queue", "do_futex", "0xffffffff"]);
        assert!(parse_stack(b"\xff] ").is_empty());
    }
}
