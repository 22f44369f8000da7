//! What a number or a word means that somebody has found in a log, an exit status or `/proc`.
//!
//! Invariant: every text has one reading or is refused; a number that can be a signal is one.
//!
//! | text | reading |
//! |---|---|
//! | `TERM`, `SIGRTMIN+3`, 1 to SIGRTMAX | a signal |
//! | -1 to -SIGRTMAX | a signal, as Python's and Node's return codes show it |
//! | 129 to 128+SIGRTMAX | an exit code |
//! | `0x..`, or 16 hexadecimal digits | a mask, as in `/proc/PID/status` |

use super::{ParseSignalError, REAL_TIME_MAX, Signal};

/// What a text was found to mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A signal.
    Signal(Signal),
    /// Exit code 128+n: the signal ended a process, or the process says so itself.
    ExitCode(i32, Signal),
    /// A mask of signals: SigPnd, ShdPnd, SigBlk, SigIgn, SigCgt (proc_pid_status(5)).
    Mask(u64, Vec<Signal>),
}

/// Why a text means nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// Neither a signal nor anything else.
    #[error(transparent)]
    NoSignal(#[from] ParseSignalError),
    /// A number that is no signal and no exit code that could stand for one.
    #[error(
        "{input} is neither a signal (1 to {REAL_TIME_MAX}) nor an exit code that stands for one (129 to {})",
        128 + i32::from(REAL_TIME_MAX)
    )]
    NoSuchNumber {
        /// What was given.
        input: String,
    },
    /// `0x` and then something else than 1 to 16 hexadecimal digits.
    #[error("{input:?} is no mask: write 0x and up to 16 hexadecimal digits, as in /proc/PID/status")]
    NoMask {
        /// What was given.
        input: String,
    },
}

/// How many digits `/proc/PID/status` writes.
const DIGITS: usize = 16;

impl Reading {
    /// Reads a text as people find it.
    ///
    /// # Errors
    /// [`ReadingError`], with what was probably meant.
    ///
    /// ```
    /// use adieu_core::signal::{Reading, Signal};
    /// assert_eq!(Reading::of("143"), Ok(Reading::ExitCode(143, Signal::TERM)));
    /// assert_eq!(Reading::of("0x4000"), Ok(Reading::Mask(0x4000, vec![Signal::TERM])));
    /// ```
    pub fn of(text: &str) -> Result<Self, ReadingError> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        if let Some(mask) = hexadecimal.or_else(|| (text.len() == DIGITS && digits(text)).then_some(text)) {
            let read = u64::from_str_radix(mask, 16).ok().filter(|_| digits(mask) && mask.len() <= DIGITS);
            let mask = read.ok_or_else(|| ReadingError::NoMask { input: text.to_owned() })?;
            return Ok(Self::Mask(mask, Signal::decode_mask(mask)));
        }
        let decimal = text.strip_prefix('-').unwrap_or(text);
        if decimal.is_empty() || !decimal.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Signal(text.parse()?));
        }
        let number = decimal.parse::<i32>().unwrap_or(i32::MAX);
        let code = number.checked_sub(128).filter(|_| decimal == text).and_then(Signal::from_number);
        match (Signal::from_number(number), code) {
            (Some(signal), _) => Ok(Self::Signal(signal)),
            (None, Some(signal)) => Ok(Self::ExitCode(number, signal)),
            (None, None) => Err(ReadingError::NoSuchNumber { input: text.to_owned() }),
        }
    }
}

impl Signal {
    /// What exit code 128+n means beside "this signal ended it", for those where that is often the point.
    #[must_use]
    pub fn exit_code_hint(self) -> Option<&'static str> {
        Some(match self {
            Self::INT => "Ctrl-C, or `docker stop` with STOPSIGNAL SIGINT",
            Self::ABRT => "it gave itself up: read the end of its own output",
            Self::KILL => {
                "out of memory or out of time: Kubernetes says which under `reason` (OOMKilled), Docker under State.OOMKilled, \
                 the kernel's log names who was killed for memory"
            }
            Self::SEGV => "a bug in native code, or a stack that is too small",
            Self::PIPE => "nobody reads its output any more, as in `CMD | head`",
            Self::TERM => {
                "an orderly stop: a JVM ends with this code after its shutdown hooks, most other programs that catch SIGTERM \
                 with 0"
            }
            _ => return None,
        })
    }
}
