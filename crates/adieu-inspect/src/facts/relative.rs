//! Another process as far as it matters for the one that is looked at: its parent, a child, a tracer.

use adieu_core::ids::Pid;
use serde::Serialize;

/// Another process that matters for this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relative {
    /// Its pid.
    pub pid: Pid,
    /// Its name.
    pub name: String,
    /// State letter.
    pub state: char,
    /// Its program file, if that can be read.
    pub program: Option<String>,
    /// Its arguments in one line, shortened.
    pub line: String,
    /// Its session.
    pub session: i32,
    /// Signals that it ignores, and that it catches.
    pub ignored: u64,
    /// See [`Self::ignored`].
    pub caught: u64,
    /// What its standard input is, if that can be read.
    pub input: Option<String>,
}

impl Relative {
    /// Of this process nothing is known but its pid.
    #[must_use]
    pub const fn of(pid: Pid) -> Self {
        Self {
            pid,
            name: String::new(),
            state: '\0',
            program: None,
            line: String::new(),
            session: 0,
            ignored: 0,
            caught: 0,
            input: None,
        }
    }
}

/// Arguments in one line of printable characters; the name in brackets where there are none, as `ps` does.
pub(super) fn shorten(arguments: &[String], name: &str) -> String {
    const LONGEST: usize = 120;
    let text = if arguments.is_empty() { format!("[{name}]") } else { arguments.join(" ") };
    let mut plain: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).take(LONGEST + 1).collect();
    if plain.chars().count() > LONGEST {
        plain.pop();
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_arguments_make_one_short_line() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(shorten(&words(&["a\nb", "\u{1b}[31m"]), "x"), "a?b ?[31m");
        assert_eq!(shorten(&[], "kthread"), "[kthread]");
        assert_eq!(shorten(&words(&[&"é".repeat(500)]), "x").chars().count(), 121);
    }
}
