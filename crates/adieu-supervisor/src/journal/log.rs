//! Lines on standard error: quiet unless something happens.

use std::io::Write;

use adieu_core::Timestamp;

/// Where the supervisor says what happens.
#[derive(Debug, Clone)]
pub(super) struct Log {
    json: bool,
    name: String,
}

impl Log {
    pub(super) fn new(json: bool, name: &str) -> Self {
        Self { json, name: name.to_owned() }
    }

    /// Writes one line. A closed or full standard error must not end the supervisor: failures are dropped.
    pub(super) fn say(&self, at: Timestamp, text: &str) {
        let line = if self.json {
            let wall = adieu_linux::clock::wall().as_secs_f64();
            let fields = serde_json::json!({ "time": wall, "monotonic": at, "name": self.name, "message": text });
            format!("{fields}\n")
        } else {
            format!("adieu: {text}\n")
        };
        drop(std::io::stderr().lock().write_all(line.as_bytes()));
    }
}
