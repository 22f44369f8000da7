//! Signals by name and number, and what each does to a program that has not asked for it (signal(7)).
//!
//! **Invariant.** A [`Signal`] is a number that the kernel has a signal for; its name reads back as the same signal.
//!
//! Real-time signals are counted as glibc does: SIGRTMIN is 34. To the kernel it is 32, but the threads of every glibc and
//! musl program use the first two (three in musl) themselves; they are shown as `SIG32` and `SIG33`.

mod parse;
mod reading;
mod senders;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::parse::ParseSignalError;
pub use self::reading::{Reading, ReadingError};
pub use self::senders::Sender;
use self::table::Row;

/// A signal of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What the kernel does with a signal that a process neither handles nor ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends and leaves a core dump, if it may.
    Core,
    /// Nothing happens.
    Ignore,
    /// The process stops until SIGCONT.
    Stop,
    /// A stopped process goes on.
    Continue,
}

/// A signal that this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// With SIG.
    pub name: &'static str,
    /// What it does to a process that neither handles nor ignores it.
    pub default_action: DefaultAction,
    /// What it is for.
    pub purpose: &'static str,
    /// Where it exists, and its number there.
    pub numbers: Vec<(Architecture, i32)>,
}

/// The families of machines whose signal numbers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86, ARM, RISC-V, POWER, s390 and most others (`include/uapi/asm-generic/signal.h`).
    Generic,
    /// Alpha; the BSDs and macOS count like it.
    Alpha,
    /// SPARC.
    Sparc,
    /// MIPS.
    Mips,
    /// PA-RISC.
    Parisc,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Generic, Self::Alpha, Self::Sparc, Self::Mips, Self::Parisc];

    /// This machine's.
    pub const HERE: Self = if cfg!(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "mips32r6",
        target_arch = "mips64r6"
    )) {
        Self::Mips
    } else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        Self::Sparc
    } else if cfg!(target_os = "linux") {
        Self::Generic
    } else {
        Self::Alpha
    };
}

/// glibc's SIGRTMIN.
const REAL_TIME_MIN: u8 = 34;
/// SIGRTMAX.
const REAL_TIME_MAX: u8 = match Architecture::HERE {
    Architecture::Mips => 127,
    Architecture::Generic | Architecture::Alpha | Architecture::Sparc | Architecture::Parisc => 64,
};
/// The last signal that is no real-time signal.
const STANDARD_MAX: u8 = 31;

impl Signal {
    /// All signals of this machine by number, those between the standard and the real-time ones included.
    pub const ALL: [Self; REAL_TIME_MAX as usize] = {
        let mut all = [Self(0); REAL_TIME_MAX as usize];
        let (mut rest, mut number): (&mut [Self], u8) = (&mut all, 1);
        while let [first, others @ ..] = rest {
            *first = Self(number);
            number += 1;
            rest = others;
        }
        all
    };

    /// The signal with this number on this machine; `None` if there is none. 0 is none: it only asks whether a process is
    /// there (kill(2)).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=REAL_TIME_MAX).contains(number)).map(Self)
    }

    /// Its number on this machine.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Its number on another machine; `None` if there is no such signal there.
    #[must_use]
    pub fn number_on(self, architecture: Architecture) -> Option<i32> {
        match self.row() {
            Some(row) => row.number_on(architecture).map(i32::from),
            None => Some(self.number()),
        }
    }

    /// Its name, as `SIGTERM` or `SIGRTMIN+3`.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match (self.row(), self.0.checked_sub(REAL_TIME_MIN)) {
            (Some(row), _) => row.name.into(),
            (None, Some(0)) => "SIGRTMIN".into(),
            (None, Some(after)) => format!("SIGRTMIN+{after}").into(),
            (None, None) => format!("SIG{}", self.0).into(),
        }
    }

    /// What it does to a process that neither handles nor ignores it.
    #[must_use]
    pub fn default_action(self) -> DefaultAction {
        self.row().map_or(DefaultAction::Terminate, |row| row.action)
    }

    /// Whether a process can handle, ignore or block it: all but SIGKILL and SIGSTOP.
    #[must_use]
    pub fn is_catchable(self) -> bool {
        self != Self::KILL && self != Self::STOP
    }

    /// Whether it is a real-time signal that programs may use: these queue up instead of coalescing.
    #[must_use]
    pub const fn is_real_time(self) -> bool {
        self.0 >= REAL_TIME_MIN
    }

    /// What it is for, in a few words.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self.row() {
            Some(row) => row.purpose,
            None if self.is_real_time() => "whatever the program wants",
            None => "used by the C library's threads",
        }
    }

    /// Its other names, with SIG, here or on other machines.
    pub fn aliases(self) -> impl Iterator<Item = String> {
        table::ALIASES.into_iter().filter(move |(_, signal)| *signal == self).map(|(name, _)| format!("SIG{name}"))
    }

    /// The signals in a mask as `/proc/PID/status` shows it (SigBlk, SigIgn, SigCgt: proc_pid_status(5)): bit n-1 is signal
    /// n. Bits without a signal are passed over.
    #[must_use]
    pub fn decode_mask(mask: u64) -> Vec<Self> {
        let bit = |signal: &Self| mask.checked_shr(u32::from(signal.0) - 1).is_some_and(|rest| rest & 1 == 1);
        Self::ALL.into_iter().filter(bit).collect()
    }

    /// Signals of other machines that this one does not have (SIGEMT): names, default actions, purposes, and their numbers
    /// there.
    pub fn elsewhere() -> impl Iterator<Item = Elsewhere> {
        let missing = table::TABLE.iter().filter(|row| row.number_on(Architecture::HERE).is_none());
        missing.map(|row| Elsewhere {
            name: row.name,
            default_action: row.action,
            purpose: row.purpose,
            numbers: Architecture::ALL.into_iter().filter_map(|on| Some((on, row.number_on(on)?.into()))).collect(),
        })
    }

    fn row(self) -> Option<&'static Row> {
        table::TABLE.iter().find(|row| row.number_on(Architecture::HERE) == Some(self.0))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
