//! Durations as people write them: `30s`, `500ms`, `1m30s`, `1.5h`, `0`.
//!
//! **Invariant.** What [`format()`] writes, [`parse`] reads as the same duration. A number without a unit is refused, as it
//! means seconds to some programs and milliseconds to others; only `0` is the same in all.

use std::time::Duration;

/// Units, longest first, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const SECOND: u128 = 1_000_000_000;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Nothing was given.
    #[error("an empty duration: write 0, 500ms, 30s, 2m or 1m30s")]
    Empty,
    /// A number and nothing after it.
    #[error("{input:?} has no unit: write {input}s for seconds, {input}ms for milliseconds or {input}m for minutes")]
    NoUnit {
        /// What was given.
        input: String,
    },
    /// Something else than a unit after a number.
    #[error("unknown unit {unit:?} in {input:?}: use ms, s, m, h or d")]
    UnknownUnit {
        /// What was given.
        input: String,
        /// The part that is not a unit.
        unit: String,
    },
    /// A part that does not begin with a number.
    #[error("{input:?} is no duration: write 0, 500ms, 30s, 2m or 1m30s")]
    NotANumber {
        /// What was given.
        input: String,
    },
    /// A unit that follows a smaller one, or itself.
    #[error("{unit:?} is out of place in {input:?}: units come from the longest to the shortest, each once")]
    OutOfOrder {
        /// What was given.
        input: String,
        /// The unit.
        unit: &'static str,
    },
    /// Digits below a nanosecond.
    #[error("{input:?} is more exact than a nanosecond")]
    TooExact {
        /// What was given.
        input: String,
    },
    /// Longer than a [`Duration`] can be.
    #[error("{input:?} is too long")]
    TooLong {
        /// What was given.
        input: String,
    },
}

/// Reads a duration: numbers, each with a unit (`d`, `h`, `m`, `s`, `ms`, `us` or `µs`, `ns`), from the longest unit to the
/// shortest; decimal points are allowed. White space around it is not significant.
///
/// # Errors
/// [`ParseDurationError`], which says what to write instead.
///
/// ```
/// use std::time::Duration;
/// use adieu_core::duration::parse;
/// assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
/// assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
/// assert!(parse("30").unwrap_err().to_string().contains("write 30s for seconds"));
/// ```
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    let text = text.trim();
    let input = || text.to_owned();
    if text.is_empty() {
        return Err(ParseDurationError::Empty);
    }
    if text.bytes().all(|byte| byte == b'0') {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut total, mut smallest) = (text, 0u128, u128::MAX);
    while !rest.is_empty() {
        let (number, after) = split_before(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_before(after, |c| c.is_ascii_digit() || c == '.');
        rest = after;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
            return Err(ParseDurationError::NotANumber { input: input() });
        }
        if unit.is_empty() {
            return Err(ParseDurationError::NoUnit { input: input() });
        }
        let name = if unit == "µs" || unit == "μs" { "us" } else { unit };
        let Some((name, size)) = UNITS.into_iter().find(|(known, _)| *known == name) else {
            return Err(ParseDurationError::UnknownUnit { input: input(), unit: unit.to_owned() });
        };
        if size >= smallest {
            return Err(ParseDurationError::OutOfOrder { input: input(), unit: name });
        }
        smallest = size;
        let part = part_of(fraction, size).ok_or_else(|| ParseDurationError::TooExact { input: input() })?;
        let whole: Option<u128> = whole.parse().ok().and_then(|whole: u128| whole.checked_mul(size));
        let sum = whole.and_then(|whole| total.checked_add(whole)?.checked_add(part));
        total = sum.ok_or_else(|| ParseDurationError::TooLong { input: input() })?;
    }
    from_nanoseconds(total).ok_or_else(|| ParseDurationError::TooLong { input: input() })
}

fn split_before(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// The decimals `digits` of a unit of `size` nanoseconds; `None` if they don't come out even.
fn part_of(digits: &str, size: u128) -> Option<u128> {
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    // A day, the longest unit, has not more than 17 decimals.
    let scale = 10u128.checked_pow(u32::try_from(digits.len()).ok().filter(|length| *length <= 17)?)?;
    let exact = digits.parse::<u128>().ok()?.checked_mul(size)?;
    (exact % scale == 0).then_some(exact / scale)
}

fn from_nanoseconds(total: u128) -> Option<Duration> {
    Some(Duration::new(u64::try_from(total / SECOND).ok()?, u32::try_from(total % SECOND).ok()?))
}

/// The shortest form of whole days, hours and minutes, then seconds with decimals: `0`, `250us`, `500ms`, `1.5s`, `1m30s`,
/// `1h`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let (mut text, mut rest) = (String::new(), duration.as_nanos());
    for (unit, size) in UNITS {
        if rest < size {
            continue;
        }
        if size <= SECOND {
            return text + &decimal(rest, size) + unit;
        }
        text += &format!("{}{unit}", rest / size);
        rest %= size;
    }
    if text.is_empty() { "0".to_owned() } else { text }
}

/// `total` in units of `size` nanoseconds, a power of ten up to a second.
fn decimal(total: u128, size: u128) -> String {
    let (whole, rest) = (total / size, total % size);
    let decimals = format!("{:09}", rest * (SECOND / size));
    format!("{whole}.{}", decimals.trim_end_matches('0')).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("30s", ms(30_000)),
            ("500ms", ms(500)),
            ("2m", ms(120_000)),
            ("1h", ms(3_600_000)),
            ("1m30s", ms(90_000)),
            ("0", ms(0)),
            ("00", ms(0)),
            ("0s", ms(0)),
            ("1.5s", ms(1_500)),
            ("0.25m", ms(15_000)),
            ("1d", ms(86_400_000)),
            (" 5s\n", ms(5_000)),
            ("1h0m1s", ms(3_601_000)),
            ("1.50s", ms(1_500)),
            ("007s", ms(7_000)),
            ("250us", Duration::from_micros(250)),
            ("250µs", Duration::from_micros(250)),
            ("1ns", Duration::from_nanos(1)),
            ("0.000000001s", Duration::from_nanos(1)),
            ("18446744073709551615s", Duration::from_secs(u64::MAX)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, expected) in [
            ("", "an empty duration: write 0, 500ms, 30s, 2m or 1m30s"),
            ("30", "\"30\" has no unit: write 30s for seconds, 30ms for milliseconds or 30m for minutes"),
            ("1m30", "\"1m30\" has no unit: write 1m30s for seconds, 1m30ms for milliseconds or 1m30m for minutes"),
            ("30sec", "unknown unit \"sec\" in \"30sec\": use ms, s, m, h or d"),
            ("1 s", "unknown unit \" s\" in \"1 s\": use ms, s, m, h or d"),
            ("-1s", "\"-1s\" is no duration: write 0, 500ms, 30s, 2m or 1m30s"),
            ("1.s", "\"1.s\" is no duration: write 0, 500ms, 30s, 2m or 1m30s"),
            (".5s", "\".5s\" is no duration: write 0, 500ms, 30s, 2m or 1m30s"),
            ("1..5s", "\"1..5s\" is no duration: write 0, 500ms, 30s, 2m or 1m30s"),
            ("30s1m", "\"m\" is out of place in \"30s1m\": units come from the longest to the shortest, each once"),
            ("1s1s", "\"s\" is out of place in \"1s1s\": units come from the longest to the shortest, each once"),
            ("0.1ns", "\"0.1ns\" is more exact than a nanosecond"),
            ("18446744073709551616s", "\"18446744073709551616s\" is too long"),
            (
                "999999999999999999999999999999999999999999d",
                "\"999999999999999999999999999999999999999999d\" is too long",
            ),
        ] {
            assert_eq!(parse(text).map_err(|error| error.to_string()), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_shortest_form_is_written() {
        for text in
            ["0", "500ms", "1.5s", "30s", "2m", "1m30s", "1h", "1d", "1m1.5s", "7us", "1.001s", "1h1s", "1.5ms", "3ns"]
        {
            assert_eq!(format(parse(text).expect(text)), text);
        }
        for (long, short) in [
            ("60s", "1m"),
            ("1000ms", "1s"),
            ("0.1s", "100ms"),
            ("1h0m1s", "1h1s"),
            ("1500ms", "1.5s"),
            ("1.5h", "1h30m"),
        ] {
            assert_eq!(format(parse(long).expect(long)), short);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in prop_oneof![0..100_000u64, any::<u64>()], nanos in prop_oneof![
            Just(0u32), (0..1000u32).prop_map(|ms| ms * 1_000_000), 0..1_000_000_000u32
        ]) {
            let duration = Duration::new(seconds, nanos);
            let text = format(duration);
            prop_assert_eq!(parse(&text), Ok(duration), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}|([0-9.]{0,30}(ms|s|m|h|d|us|ns|µs)?){0,4}") {
            if let Ok(duration) = parse(&text) {
                prop_assert_eq!(parse(&format(duration)), Ok(duration));
            }
        }
    }
}
