//! The end of a process that does not end by itself.

use std::io::Write;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use adieu_core::Timestamp;

use crate::clock;
use crate::control::Message;
use crate::report::StopReport;

/// How long the end waits for the report to be written: standard error may be a full pipe.
const WRITE: Duration = Duration::from_millis(100);

/// Waits until the application has dropped everything, and ends the process if that is not so at `latest`.
pub(crate) fn watch(messages: &Receiver<Message>, mut report: StopReport, latest: Timestamp) {
    loop {
        match messages.recv_timeout(clock::until(latest)) {
            Ok(Message::Gone) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {
                report.notes.push("the process did not end by itself: main or a destructor is blocked".to_owned());
                let code = report.code();
                exit(&report, if code == 0 { 124 } else { code });
            }
        }
    }
}

/// Writes the report to standard error and ends the process, without destructors and `atexit` handlers, which may
/// block.
fn exit(report: &StopReport, code: u8) -> ! {
    let text = report.to_string();
    let (done, written) = mpsc::channel();
    let write = move || {
        let _written = std::io::stderr().write_all(text.as_bytes());
        let _too_late = done.send(());
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _written_or_late = written.recv_timeout(WRITE);
    }
    signal_hook::low_level::exit(i32::from(code))
}
