//! What it costs to be counted as in flight. The measuring is done by a divan bench of the library.

use crate::command::{Failure, Outcome, cargo, root};
use crate::tables::markdown;

/// The bench's name of each way to count, and what the table calls it.
const WAYS: &[(&str, &str)] = &[
    ("adieu_token", "adieu: `InFlightCounter::token`, per request"),
    ("adieu_named_guard", "adieu: `InFlight::guard`, named, exact age"),
    ("arc_clone_and_drop", "`Arc` clone and drop"),
    ("atomic_counter", "one atomic counter"),
    ("thread_local_counter", "thread-local counter (the floor)"),
    ("tokio_util_task_tracker_token", "tokio-util `TaskTracker::token`"),
    ("hyper_util_watcher", "hyper-util `GracefulShutdown::watcher`"),
];

/// Runs the bench and makes the table.
pub(crate) fn compare() -> Outcome<String> {
    let mut bench = cargo(&["bench", "--quiet", "--package", "adieu", "--bench", "guards"]);
    println!("==> {bench:?}");
    let output = bench.current_dir(root()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(Failure(format!("the bench failed: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let rows = WAYS.iter().map(|(name, title)| row(&text, name, title)).collect::<Outcome<Vec<_>>>()?;
    let text = "Enter and leave, medians in ns, with one thread and with two at once on two cores (`cargo xtask bench guards`). \
                They meet only on a machine that has nothing else to do: elsewhere both columns say the same.\n\n";
    Ok(format!("{text}{}", markdown(&["way to count", "1 thread", "2 threads"], &rows)))
}

fn row(text: &str, name: &str, title: &str) -> Outcome<Vec<String>> {
    let medians = medians(text, name);
    match medians.as_slice() {
        [one, two] => Ok(vec![title.to_owned(), format!("{one:.1}"), format!("{two:.1}")]),
        other => Err(Failure(format!("the bench says {} medians of {name}, not 2:\n{text}", other.len()))),
    }
}

/// The medians below the line of `name` in divan's tree, in ns.
fn medians(text: &str, name: &str) -> Vec<f64> {
    let words = |line: &str| line.trim_start_matches(['│', '├', '╰', '─', ' ']).trim().to_owned();
    let below = text.lines().map(words).skip_while(|line| line.split_whitespace().next() != Some(name)).skip(1);
    below.map_while(|line| line.starts_with("t=").then(|| median(&line)).flatten()).collect()
}

/// Columns: fastest, slowest, median, mean, samples, iterations.
fn median(line: &str) -> Option<f64> {
    let mut words = line.split('│').nth(2)?.split_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let factor = match words.next()? {
        "ps" => 1e-3,
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
guards                  fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ adieu_token                        │               │               │               │         │
│  ├─ t=1               6.6 ns        │ 38 ns         │ 6.7 ns        │ 7 ns          │ 100     │ 409600
│  ╰─ t=2               8.1 ns        │ 91 ns         │ 1.2 µs        │ 9 ns          │ 100     │ 409600
╰─ other                              │               │               │               │         │
   ├─ t=1               1.6 ns        │ 3.8 ns        │ 1.7 ns        │ 2 ns          │ 100     │ 409600
   ╰─ t=2               1.6 ns        │ 3.8 ns        │ 900 ps        │ 2 ns          │ 100     │ 409600
";

    #[test]
    fn medians_are_read_from_the_tree() {
        assert_eq!(medians(TREE, "adieu_token"), [6.7, 1200.0]);
        assert_eq!(medians(TREE, "other"), [1.7, 0.9]);
        assert_eq!(medians(TREE, "nothing"), [0.0; 0]);
    }
}
