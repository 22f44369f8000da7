//! Standard output, when nobody reads it or nothing fits.
//!
//! Rust programs ignore SIGPIPE, so that a connection which is gone is an error and no death. For standard output Unix
//! expects the death: `adieu signals | head -1` must be as quiet as `seq 1000000 | head -1`. A command that is there to do
//! something (reload, stop, drill, ...) does it all the same, and its exit code says how that went.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_linux::signals::die_of;

/// Writes what the command is there to say. Whoever has closed the pipe ends it, by SIGPIPE.
pub(crate) fn print(text: impl Display) {
    match try_print(text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            die_of(Signal::PIPE);
            // Where it is blocked, which is inherited.
            adieu_linux::spawn::exit_now(128 + Signal::PIPE.number());
        }
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            adieu_linux::spawn::exit_now(code::FINDING);
        }
    }
}

/// As [`print()`], with the end of a line.
pub(crate) fn say(line: impl Display) {
    print(format_args!("{line}\n"));
}

/// Writes a line beside the work that a command does: whether there is a reader is not its business.
pub(crate) fn mention(line: impl Display) {
    drop(try_print(format_args!("{line}\n")));
}

/// As [`mention`], any text, and tells whether it was written.
///
/// # Errors
/// EPIPE when the reader is gone; ENOSPC.
pub(crate) fn try_print(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.to_string().as_bytes())?;
    out.flush()
}

/// Says why a command failed, on standard error. Nobody who reads that is no reason to fail otherwise.
pub(crate) fn complain(error: &dyn Display) {
    warn(format_args!("adieu: {error}"));
}

/// Writes a line to standard error, if somebody reads it.
pub(crate) fn warn(line: impl Display) {
    draw(format_args!("{line}\n"));
}

/// As [`warn`], any text: a question, or a line that is drawn again and again.
pub(crate) fn draw(text: impl Display) {
    drop(io::stderr().lock().write_all(text.to_string().as_bytes()));
}
