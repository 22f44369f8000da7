//! Linux system calls for adieu: the only crate with unsafe code. No judgement lives here.
//!
//! Each module wraps one kernel facility and says which manual page it follows. Functions return [`std::io::Error`] with
//! the kernel's own errno; the callers know what it means for them.

/// Adds a call, told by what comes after it, to the [trace](crate::trace) of a process that has one; the call's result.
macro_rules! traced {
    ($result:expr, $($call:tt)+) => {{
        let result = $result;
        #[cfg(feature = "trace")]
        $crate::trace::note(&result, format_args!($($call)+));
        result
    }};
}

pub mod barrier;
pub mod blocked;
pub mod clock;
pub mod connections;
pub mod descriptors;
pub mod diag;
pub mod entry;
pub mod environment;
pub mod errno;
pub mod memory;
pub mod netns;
pub mod pidfd;
pub mod poll;
pub mod proc;
pub mod process;
pub mod reuseport;
pub mod scm_rights;
pub mod seccomp;
pub mod signals;
pub mod sockaddr;
pub mod sockets;
pub mod spawn;
#[cfg(feature = "trace")]
pub mod trace;
pub mod tty;
pub mod unix_socket;
pub mod wait;
mod whole;

use std::io;

/// Turns the -1 convention of system calls into a `Result`.
pub(crate) fn cvt(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// As [`cvt`], for calls that return a `long` or a size.
pub(crate) fn cvt_long(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
