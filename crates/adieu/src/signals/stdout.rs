//! SIGPIPE, which Rust's runtime ignores in every program.

use std::panic;

use adieu_core::signal::Signal;

/// Makes a closed standard output end the program as Unix expects (`program | head`): quietly, by SIGPIPE.
///
/// Call it once, first in the `main` of a command-line program that uses `print!`. Without it, `print!` panics when the
/// reader of standard output is gone, as Rust ignores SIGPIPE.
///
/// A closed socket, or any other descriptor, is still an error (`BrokenPipe`). So this is safe in a server, unlike the
/// default action of SIGPIPE, by which any client could end the server.
///
/// It installs a panic hook, which calls the present one for all other panics.
pub fn end_on_closed_stdout() {
    let other = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map(String::as_str).unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains(&broken_pipe()) {
            let number = Signal::PIPE.number();
            // Returns if SIGPIPE is blocked. Then the exit code is what a shell makes of SIGPIPE.
            let _not_ended = signal_hook::low_level::emulate_default_handler(number);
            signal_hook::low_level::exit(128 + number);
        }
        other(panic);
    }));
}

/// The error as `print!` words it.
fn broken_pipe() -> String {
    std::io::Error::from_raw_os_error(rustix::io::Errno::PIPE.raw_os_error()).to_string()
}
