//! Reading signals as people write them: `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
//!
//! Invariant: what cannot be read is refused with the input and, where there is one, a name that was probably meant.

use std::str::FromStr;

use super::{REAL_TIME_MAX, REAL_TIME_MIN, STANDARD_MAX, Signal, table};

/// Why a text is no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSignalError {
    /// No signal has this name.
    #[error("unknown signal {input:?}{}", suggest(*.near))]
    UnknownName {
        /// What was given.
        input: String,
        /// What was probably meant.
        near: Option<Signal>,
    },
    /// No signal has this number.
    #[error("there is no signal {input}: signals have the numbers 1 to {REAL_TIME_MAX}")]
    NoSuchNumber {
        /// What was given.
        input: String,
    },
    /// Not between SIGRTMIN and SIGRTMAX.
    #[error("{input:?} is outside the real-time signals, SIGRTMIN to SIGRTMIN+{}", REAL_TIME_MAX - REAL_TIME_MIN)]
    OutsideRealTime {
        /// What was given.
        input: String,
    },
}

fn suggest(near: Option<Signal>) -> String {
    near.map_or_else(String::new, |near| format!(": did you mean {near}?"))
}

impl FromStr for Signal {
    type Err = ParseSignalError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        if !input.is_empty() && input.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = input.parse().ok().and_then(Self::from_number);
            return number.ok_or_else(|| ParseSignalError::NoSuchNumber { input: input.to_owned() });
        }
        let upper = input.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(signal) = by_name(name).or_else(|| between(name)) {
            return Ok(signal);
        }
        match real_time(name) {
            Some(signal) => signal.ok_or_else(|| ParseSignalError::OutsideRealTime { input: input.to_owned() }),
            None => Err(ParseSignalError::UnknownName { input: input.to_owned(), near: nearest(name) }),
        }
    }
}

/// The names of the standard signals of this machine, without SIG, aliases included.
fn names() -> impl Iterator<Item = (&'static str, Signal)> {
    let standard = Signal::ALL.into_iter().filter_map(|signal| Some((signal.row()?.name.strip_prefix("SIG")?, signal)));
    standard.chain(table::ALIASES)
}

fn by_name(name: &str) -> Option<Signal> {
    names().find(|(known, _)| *known == name).map(|(_, signal)| signal)
}

/// `SIG32` and `SIG33`, as those without a name are shown.
fn between(name: &str) -> Option<Signal> {
    let number: u8 = name.parse().ok()?;
    (STANDARD_MAX < number && number < REAL_TIME_MIN).then_some(Signal(number))
}

/// `None` if the name is not of this form, `Some(None)` if the number is out of range.
fn real_time(name: &str) -> Option<Option<Signal>> {
    let (start, sign, offset) = if let Some(offset) = name.strip_prefix("RTMIN") {
        (REAL_TIME_MIN, '+', offset)
    } else {
        (REAL_TIME_MAX, '-', name.strip_prefix("RTMAX")?)
    };
    if offset.is_empty() {
        return Some(Some(Signal(start)));
    }
    let digits = offset.strip_prefix(sign)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number =
        digits.parse::<u8>().ok().and_then(|n| if sign == '+' { start.checked_add(n) } else { start.checked_sub(n) });
    Some(number.filter(|number| (REAL_TIME_MIN..=REAL_TIME_MAX).contains(number)).map(Signal))
}

/// The nearest name within one slip, or within two for names of four letters and more.
fn nearest(name: &str) -> Option<Signal> {
    const LONGEST: usize = 12;
    if name.len() > LONGEST {
        return None;
    }
    let allowed = if name.len() < 4 { 1 } else { 2 };
    let slips = names().map(|(known, signal)| (slips(name.as_bytes(), known.as_bytes()), signal));
    slips.filter(|(slips, _)| *slips <= allowed).min().map(|(_, signal)| signal)
}

/// How many letters were missed, added, mistaken, or exchanged with their neighbours (only one such pair is seen).
fn slips(typed: &[u8], meant: &[u8]) -> usize {
    let same = |(a, b): &(&u8, &u8)| a == b;
    let head = typed.iter().zip(meant).take_while(same).count();
    let (typed, meant) = (typed.get(head..).unwrap_or_default(), meant.get(head..).unwrap_or_default());
    let tail = typed.iter().rev().zip(meant.iter().rev()).take_while(same).count();
    let (typed, meant) =
        (typed.get(..typed.len() - tail).unwrap_or_default(), meant.get(..meant.len() - tail).unwrap_or_default());
    match (typed, meant) {
        ([a, b], [c, d]) if a == d && b == c => 1,
        _ => edits(typed, meant),
    }
}

/// Levenshtein's distance, row by row.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in (1..).zip(from) {
        let mut left = line;
        let mut next = vec![left];
        for ((b, diagonal), above) in to.iter().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
