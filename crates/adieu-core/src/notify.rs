//! What a service says about itself to whoever started it: sd_notify(3) datagrams, read and written.
//!
//! **Invariant.** Any bytes are read without a panic, into fields that are understood, fields that are kept as they are, and
//! issues; what is understood is written back in the same form. A datagram counts as a whole or not at all: systemd drops
//! one that is too long, contains NUL, or mixes a barrier with other fields, and so do we.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::ids::Pid;
use crate::wire;

/// The longest datagram that is read, in bytes, as in systemd (NOTIFY_BUFFER_MAX in `src/core/manager.c`). Receive into one
/// byte more, so that a longer one is seen to be longer.
pub const LONGEST: usize = 4096;

/// One assignment. Where sd_notify(3) gives only the value 1 a meaning, the field has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// READY=1: start-up or reload is finished.
    Ready,
    /// RELOADING=1: the configuration is being read again.
    Reloading,
    /// MONOTONIC_USEC: when the reload began, in microseconds of CLOCK_MONOTONIC.
    MonotonicUsec(u64),
    /// STOPPING=1: shutting down.
    Stopping,
    /// STATUS: one line for people.
    Status(String),
    /// ERRNO: why it failed, as in errno(3).
    Errno(u16),
    /// MAINPID: the process that is the service from now on.
    MainPid(Pid),
    /// WATCHDOG=1: still alive.
    WatchdogAlive,
    /// WATCHDOG=trigger: treat this as a missed watchdog.
    WatchdogTrigger,
    /// WATCHDOG_USEC: how often to expect [`Field::WatchdogAlive`] from now on, in microseconds.
    WatchdogUsec(u64),
    /// EXTEND_TIMEOUT_USEC: wait so many microseconds longer for the start, reload or stop in progress.
    ExtendTimeoutUsec(u64),
    /// BARRIER=1: close the descriptor that comes with this, once everything before it has been handled.
    Barrier,
    /// Anything else, as it came.
    Other {
        /// Capital letters, digits and underscores.
        key: String,
        /// Any bytes but NUL and newline.
        value: Vec<u8>,
    },
}

/// A part of a datagram that was passed over; the rest of it counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Issue {
    /// Not of the form KEY=value.
    #[error("{line:?} is not of the form KEY=value")]
    NotAField {
        /// The line, with replacement characters where it is not UTF-8.
        line: String,
    },
    /// A value that the field can't have.
    #[error("{key} can't be {value:?}")]
    BadValue {
        /// The field.
        key: String,
        /// The value, with replacement characters where it is not UTF-8.
        value: String,
    },
    /// A field that came before in the same datagram; the first counts, as in systemd.
    #[error("{key} is given more than once")]
    Duplicate {
        /// The field.
        key: String,
    },
}

/// Why a datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// More than [`LONGEST`] bytes.
    #[error("a notification is at most {LONGEST} bytes long")]
    TooLong,
    /// A NUL byte that is not the last.
    #[error("a notification contains no NUL")]
    Nul,
    /// BARRIER=1 together with other fields.
    #[error("BARRIER=1 comes alone")]
    BarrierNotAlone,
}

/// Why fields can't be written as a datagram.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// A value with a newline or NUL, which would be read as something else, or a key that is none.
    #[error("{key:?} can't be written with this value: it has to be one line without NUL")]
    NotOneLine {
        /// The field.
        key: String,
    },
    /// More than [`LONGEST`] bytes.
    #[error("a notification is at most {LONGEST} bytes long")]
    TooLong,
}

/// A datagram that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    fields: Vec<Field>,
    issues: Vec<Issue>,
}

/// Reads one datagram. One NUL at its end is permitted, as are empty lines.
///
/// # Errors
/// [`BadMessage`] if the whole datagram has to be dropped. Parts that can't be understood are [issues](Message::issues).
pub fn parse(datagram: &[u8]) -> Result<Message, BadMessage> {
    if datagram.len() > LONGEST {
        return Err(BadMessage::TooLong);
    }
    let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    if text.contains(&0) {
        return Err(BadMessage::Nul);
    }
    let mut message = Message::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match read(line) {
            Ok(field) if message.has_key_of(&field) => {
                message.issues.push(Issue::Duplicate { key: field.key().to_owned() })
            }
            Ok(field) => message.fields.push(field),
            Err(issue) => message.issues.push(issue),
        }
    }
    if message.fields.contains(&Field::Barrier) && message.fields.len() + message.issues.len() > 1 {
        return Err(BadMessage::BarrierNotAlone);
    }
    Ok(message)
}

/// Writes fields as one datagram.
///
/// # Errors
/// [`Unwritable`] if it would not be read back as the same fields.
pub fn format(fields: &[Field]) -> Result<Vec<u8>, Unwritable> {
    let mut lines = Vec::new();
    for field in fields {
        let (key, value) = (field.key(), field.value());
        if !is_key(key.as_bytes()) || value.iter().any(|byte| [b'\n', 0].contains(byte)) {
            return Err(Unwritable::NotOneLine { key: key.to_owned() });
        }
        lines.push([key.as_bytes(), b"=", &value].concat());
    }
    let datagram = lines.join(&b'\n');
    if datagram.len() > LONGEST { Err(Unwritable::TooLong) } else { Ok(datagram) }
}

impl Message {
    /// The fields in order, each known one at most once.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// What was passed over.
    #[must_use]
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// Whether it says READY=1.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.fields.contains(&Field::Ready)
    }

    /// Whether it says that it ends its connections itself ([`wire::DRAINS`]).
    #[must_use]
    pub fn drains_itself(&self) -> bool {
        let says = |field: &Field| matches!(field, Field::Other { key, value } if key == wire::DRAINS && value == b"1");
        self.fields.iter().any(says)
    }

    /// What the manager above a supervisor should hear of what the serving generation says: how it is and how long it needs.
    /// Not whether it starts, reloads or stops: those of one generation are not those of the service. Not its pid either:
    /// the supervisor's stays.
    #[must_use]
    pub fn lines_to_pass_on(&self) -> Vec<String> {
        let concerns_the_service = |field: &&Field| match field {
            Field::Status(_) | Field::Errno(_) | Field::ExtendTimeoutUsec(_) => true,
            Field::WatchdogAlive | Field::WatchdogTrigger | Field::WatchdogUsec(_) => true,
            Field::Ready | Field::Reloading | Field::MonotonicUsec(_) | Field::Stopping => false,
            Field::MainPid(_) | Field::Barrier | Field::Other { .. } => false,
        };
        self.fields.iter().filter(concerns_the_service).map(Field::to_string).collect()
    }

    /// Unknown fields may repeat: what they mean is not ours to say.
    fn has_key_of(&self, field: &Field) -> bool {
        !matches!(field, Field::Other { .. }) && self.fields.iter().any(|other| other.key() == field.key())
    }
}

impl Field {
    /// What stands before the equals sign.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Ready => "READY",
            Self::Reloading => "RELOADING",
            Self::MonotonicUsec(_) => "MONOTONIC_USEC",
            Self::Stopping => "STOPPING",
            Self::Status(_) => "STATUS",
            Self::Errno(_) => "ERRNO",
            Self::MainPid(_) => "MAINPID",
            Self::WatchdogAlive | Self::WatchdogTrigger => "WATCHDOG",
            Self::WatchdogUsec(_) => "WATCHDOG_USEC",
            Self::ExtendTimeoutUsec(_) => "EXTEND_TIMEOUT_USEC",
            Self::Barrier => "BARRIER",
            Self::Other { key, .. } => key,
        }
    }

    fn value(&self) -> Vec<u8> {
        match self {
            Self::Ready | Self::Reloading | Self::Stopping | Self::WatchdogAlive | Self::Barrier => b"1".to_vec(),
            Self::WatchdogTrigger => b"trigger".to_vec(),
            Self::MonotonicUsec(usec) | Self::WatchdogUsec(usec) | Self::ExtendTimeoutUsec(usec) => {
                usec.to_string().into_bytes()
            }
            Self::Status(text) => text.clone().into_bytes(),
            Self::Errno(number) => number.to_string().into_bytes(),
            Self::MainPid(pid) => pid.to_string().into_bytes(),
            Self::Other { value, .. } => value.clone(),
        }
    }
}

/// KEY=value, with replacement characters where it is not UTF-8.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key(), String::from_utf8_lossy(&self.value()))
    }
}

fn is_key(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

fn read(line: &[u8]) -> Result<Field, Issue> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut parts = line.splitn(2, |byte| *byte == b'=');
    let (Some(key), Some(value)) = (parts.next().filter(|key| is_key(key)), parts.next()) else {
        return Err(Issue::NotAField { line: lossy(line) });
    };
    let key = lossy(key);
    known(&key, value)
        .unwrap_or_else(|| Some(Field::Other { key: key.clone(), value: value.to_vec() }))
        .ok_or_else(|| Issue::BadValue { key: key.clone(), value: lossy(value) })
}

/// `None` for a key that is not known, `Some(None)` for a value that it can't have.
fn known(key: &str, value: &[u8]) -> Option<Option<Field>> {
    let text = str::from_utf8(value).ok();
    let one = |field| (value == b"1").then_some(field);
    // Digits only: `parse` would take a sign.
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = || digits.and_then(|digits| digits.parse::<u64>().ok());
    Some(match key {
        "READY" => one(Field::Ready),
        "RELOADING" => one(Field::Reloading),
        "STOPPING" => one(Field::Stopping),
        "BARRIER" => one(Field::Barrier),
        "WATCHDOG" if value == b"trigger" => Some(Field::WatchdogTrigger),
        "WATCHDOG" => one(Field::WatchdogAlive),
        "STATUS" => text.map(|text| Field::Status(text.to_owned())),
        "MONOTONIC_USEC" => number().map(Field::MonotonicUsec),
        "WATCHDOG_USEC" => number().map(Field::WatchdogUsec),
        "EXTEND_TIMEOUT_USEC" => number().map(Field::ExtendTimeoutUsec),
        // MAX_ERRNO in linux/err.h.
        "ERRNO" => digits.and_then(|digits| digits.parse().ok()).filter(|number| *number <= 4095).map(Field::Errno),
        "MAINPID" => {
            digits.and_then(|digits| digits.parse().ok()).filter(|pid| *pid > 0).map(Pid::new).map(Field::MainPid)
        }
        _ => return None,
    })
}
