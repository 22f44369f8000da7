//! Numbers that stand for something, each a type of its own, so that one is not taken for another.
//!
//! In JSON each is the bare number.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$attribute:meta])* $name:ident($number:ty)) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($number);

        impl $name {
            /// The one with this number.
            #[must_use]
            pub const fn new(number: $number) -> Self {
                Self(number)
            }

            /// Its number.
            #[must_use]
            pub const fn number(self) -> $number {
                self.0
            }
        }

        /// The bare number.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// What is counted has a successor too.
macro_rules! counted {
    ($($name:ident)+) => {$(
        impl $name {
            /// The one after it; the last possible one is followed by itself.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    )+};
}

counted!(Generation SocketId RequestId);

id! {
    /// A generation of the program, counted from [`FIRST`](Self::FIRST). The default stands before the first.
    #[derive(Default)]
    Generation(u32)
}

id! {
    /// A listening socket, as the driver numbers them.
    #[derive(Default)]
    SocketId(u64)
}

id! {
    /// A client's reload request, as the driver numbers them from [`FIRST`](Self::FIRST) on. The default stands before the
    /// first.
    #[derive(Default)]
    RequestId(u64)
}

id! {
    /// A process, as the kernel numbers it in the pid namespace of whoever asks.
    ///
    /// Threads, process groups and sessions stay bare numbers, though the kernel takes them from the same numbers: a
    /// thread's is found in files of `/proc` and read there again, a group's goes from one call on a terminal to the next,
    /// and both would be converted more often than kept apart.
    Pid(i32)
}

impl Generation {
    /// The one that a run begins with.
    pub const FIRST: Self = Self(1);
}

impl RequestId {
    /// The first request of a run.
    pub const FIRST: Self = Self(1);
}

impl Pid {
    /// The first process of a pid namespace, which everything in it ends with.
    pub const INIT: Self = Self(1);

    /// The one with this number; `None` for 0, which the kernel writes where there is no process, or none that may be seen
    /// from this pid namespace.
    #[must_use]
    pub const fn nonzero(number: i32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }
}

/// As its number is read.
impl FromStr for Pid {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

/// A process that there may not be, in a format that has 0 for that: for serde's `with`.
pub mod zero_for_none {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Pid;

    /// Writes the number, or 0.
    ///
    /// # Errors
    /// Of the serializer.
    pub fn serialize<S: Serializer>(pid: &Option<Pid>, serializer: S) -> Result<S::Ok, S::Error> {
        pid.map_or(0, Pid::number).serialize(serializer)
    }

    /// Reads the number; 0 is `None`.
    ///
    /// # Errors
    /// Of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pid>, D::Error> {
        i32::deserialize(deserializer).map(Pid::nonzero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_counted_and_shown_by_number() {
        assert_eq!(Generation::default().next(), Generation::FIRST);
        assert_eq!(RequestId::default().next(), RequestId::FIRST);
        assert_eq!(Generation::FIRST.next(), Generation::new(2));
        assert_eq!(Generation::new(u32::MAX).next().number(), u32::MAX);
        assert_eq!(SocketId::new(u64::MAX).next().number(), u64::MAX);
        assert_eq!(format!("{} {:>3} {}", Generation::new(2), SocketId::new(5), RequestId::new(7)), "2   5 7");
    }

    #[test]
    fn in_json_they_are_bare_numbers() {
        let all = (Generation::new(2), SocketId::new(5), RequestId::new(7));
        let text = serde_json::to_string(&all).expect("they can be written");
        assert_eq!(text, "[2,5,7]");
        assert_eq!(serde_json::from_str::<(Generation, SocketId, RequestId)>(&text).expect("and read"), all);
        for wrong in ["-1", "4294967296", "\"2\"", "[2]", "null"] {
            assert!(serde_json::from_str::<Generation>(wrong).is_err(), "{wrong}");
        }
    }
    #[test]
    fn a_process_that_there_may_not_be_is_0_in_formats_that_say_so() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Main(#[serde(with = "zero_for_none")] Option<Pid>);
        for (text, pid) in [("0", None), ("4711", Some(Pid::new(4711)))] {
            assert_eq!(serde_json::to_string(&Main(pid)).expect("it can be written"), text);
            assert_eq!(serde_json::from_str::<Main>(text).expect("and read"), Main(pid));
        }
        assert_eq!(("42".parse(), Pid::new(42).to_string().as_str()), (Ok(Pid::new(42)), "42"));
        assert!("4 2".parse::<Pid>().is_err() && Pid::nonzero(-1).is_some());
    }
}
