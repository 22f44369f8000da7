//! A program's beginning without the setup of Rust's runtime, which reads `/proc/self/maps` and installs handlers that a
//! supervisor has no use for: for a program that runs a millisecond that is a tenth of it.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cvt;

/// The exit code of a Rust program whose main thread panicked.
const PANICKED: i32 = 101;

/// Makes a `fn(Vec<OsString>) -> i32` the program's beginning: it gets the arguments, the program's name first, and returns
/// the exit code. The crate must be `#![no_main]`.
///
/// As in any Rust program SIGPIPE is ignored, descriptors 0 to 2 are open, a panic ends the process with 101, and standard
/// output is flushed at the end. A stack overflow is a plain SIGSEGV.
///
/// The unsafe code that it expands to is this crate's: for the lint as well, so the program itself may forbid its own.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        // SAFETY: the C runtime's name for a program's beginning; with `#![no_main]` nothing else defines it.
        #[unsafe(no_mangle)]
        extern "C" fn main(count: ::std::ffi::c_int, arguments: *const *const ::std::ffi::c_char) -> ::std::ffi::c_int {
            // SAFETY: called by the C runtime alone, with its own arguments.
            unsafe { $crate::entry::enter(count, arguments, $run) }
        }
    };
}

/// What [`entry!`](crate::entry!) expands to.
///
/// # Safety
/// `arguments` has `count` NUL-terminated strings, as `main` gets them; no other thread runs yet.
pub unsafe fn enter(count: i32, arguments: *const *const c_char, run: fn(Vec<OsString>) -> i32) -> i32 {
    fill_standard_descriptors();
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let count = usize::try_from(count).unwrap_or(0);
    let argument = |at| {
        // SAFETY: the caller promises `count` strings.
        let text = unsafe { CStr::from_ptr(*arguments.add(at)) };
        OsStr::from_bytes(text.to_bytes()).to_owned()
    };
    let arguments = (0..count).map(argument).collect();
    let code = catch_unwind(AssertUnwindSafe(|| run(arguments))).unwrap_or(PANICKED);
    // Nobody who could read it is no failure here: whoever must know has flushed before.
    drop(std::io::Write::flush(&mut std::io::stdout()));
    code
}

/// Opens `/dev/null` where a standard descriptor is closed: the next file that is opened would take its place.
fn fill_standard_descriptors() {
    for fd in 0..=2 {
        // SAFETY: takes integers only.
        let closed = cvt(unsafe { libc::fcntl(fd, libc::F_GETFD) }).is_err();
        // SAFETY: a NUL-terminated string. The lowest free number is `fd`, as those below are open.
        if closed && unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != fd {
            // SAFETY: ends the process.
            unsafe { libc::abort() };
        }
    }
}
