//! The end of a process that does not end by itself.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use crate::report::StopReport;

/// How long writing the report may hold up the end: standard error may be a pipe that nobody reads.
const WRITE: Duration = Duration::from_millis(100);

/// Writes the report to standard error and ends the process, whatever its other threads do: no destructors, no handlers.
pub(crate) fn exit(report: &StopReport, code: u8) -> ! {
    let text = report.to_string();
    let (done, written) = mpsc::channel();
    let write = move || {
        let _written = std::io::stderr().write_all(text.as_bytes());
        let _told = done.send(());
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _written_or_late = written.recv_timeout(WRITE);
    }
    signal_hook::low_level::exit(i32::from(code))
}
