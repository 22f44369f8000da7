//! SIGPIPE, which Rust's runtime ignores in every program.

use std::panic;

use adieu_core::signal::Signal;

/// A standard output that nobody reads any more ends the program as Unix expects (`program | head`): quietly, by SIGPIPE. To
/// be called once, first in the `main` of a command-line program that uses `print!`.
///
/// Any other descriptor is left alone: a closed socket stays an error, `BrokenPipe`, and never a signal. So this is safe in a
/// server too, unlike the default action of SIGPIPE itself, which would let any client end it.
///
/// Without this, Rust's `print!` panics on a closed standard output. This is a panic hook before the present one; a panic that
/// has another reason is none of its business.
pub fn end_on_closed_stdout() {
    let other = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map(String::as_str).unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains(&broken_pipe()) {
            let number = Signal::PIPE.number();
            // Where SIGPIPE does not end the process, its parent sees at least the code that a shell makes of it.
            let _not_ended = signal_hook::low_level::emulate_default_handler(number);
            signal_hook::low_level::exit(128 + number);
        }
        other(panic);
    }));
}

/// As `print!` words it.
fn broken_pipe() -> String {
    std::io::Error::from_raw_os_error(rustix::io::Errno::PIPE.raw_os_error()).to_string()
}
