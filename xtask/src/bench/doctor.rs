//! `adieu doctor --all` beside `ps` and `lsof`, on a machine with thousands of processes.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::samples::Samples;
use crate::command::{Failure, Outcome, cargo, step, target_dir};
use crate::tables;

const PROCESSES: usize = 5_000;
const ROUNDS: usize = 7;

/// A command that looks at all processes.
struct Look {
    name: &'static str,
    command: Vec<String>,
    took: Samples,
    processor: Samples,
}

impl Look {
    fn new(name: &'static str, words: &[&str]) -> Self {
        let command = words.iter().map(ToString::to_string).collect();
        Self { name, command, took: Samples::default(), processor: Samples::default() }
    }

    fn once(&mut self) -> Outcome {
        let (program, arguments) = self.command.split_first().ok_or_else(|| Failure("no command".into()))?;
        let (began, before) = (Instant::now(), processor()?);
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
        self.took.add(began.elapsed().as_secs_f64() * 1e3);
        self.processor.add(processor()? - before);
        // A line for each, or an object.
        let seen = output.stdout.iter().filter(|byte| matches!(byte, b'\n' | b'{')).count();
        if seen < PROCESSES {
            return Err(Failure(format!("{} saw {seen} of {PROCESSES} processes", self.name)));
        }
        Ok(())
    }
}

/// Milliseconds of processor time of all children that were waited for.
fn processor() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e3)
}

/// Processes that sleep, ended with the measurement.
struct Crowd(Vec<Child>);

impl Crowd {
    fn of(number: usize) -> Outcome<Self> {
        let mut crowd = Self(Vec::with_capacity(number));
        for _ in 0..number {
            crowd.0.push(Command::new("sleep").arg("10000").stdin(Stdio::null()).spawn()?);
        }
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Measures them all in turns and returns the table.
pub(crate) fn compare() -> Outcome<String> {
    step(&mut cargo(&["build", "--quiet", "--release", "--package", "adieu-cli"]))?;
    let adieu = target_dir().join("release").join("adieu").display().to_string();
    let mut looks = [
        Look::new("adieu doctor --all", &[&adieu, "doctor", "--all"]),
        Look::new("adieu doctor --all --json", &[&adieu, "doctor", "--all", "--json"]),
        Look::new("ps -ef", &["ps", "-ef"]),
        Look::new("lsof -n -P", &["lsof", "-n", "-P"]),
    ];
    let crowd = Crowd::of(PROCESSES)?;
    for _ in 0..ROUNDS {
        for look in &mut looks {
            look.once()?;
        }
    }
    drop(crowd);
    let ps = looks.iter().find(|look| look.name.starts_with("ps")).map_or(1.0, |look| look.took.median());
    let rows: Vec<Vec<String>> = looks
        .iter()
        .map(|look| {
            vec![
                look.name.to_owned(),
                format!("{:.0}", look.took.median()),
                format!("{:.2}", look.took.median() / ps),
                format!("{:.0}", look.processor.median()),
            ]
        })
        .collect();
    let words = format!(
        "{PROCESSES} processes that sleep, and what else there is; medians of {ROUNDS} rounds in turns (`cargo xtask bench doctor`).\n\n"
    );
    Ok(words + &tables::markdown(&["command", "ms", "times ps", "processor, ms"], &rows))
}
