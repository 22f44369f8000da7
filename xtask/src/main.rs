//! The project's chores, started as `cargo xtask <chore>`.
//!
//! Each chore prints every command before it runs it, stops at the first that fails and then exits with 1; a
//! chore that doesn't exist exits with 2.

mod bench;
mod circles;
mod command;
mod golden;
mod needs;
mod pypi;
mod slowest;
mod statically;
mod tables;
mod test;

use std::process::ExitCode;

fn usage() -> String {
    format!(
        "\
usage: cargo xtask <chore>

  test           everything a commit must pass: formatting, lints, tests, documentation, licences.
                 Installs what is missing with apt-get when run as root, otherwise says what to install
  circles [--all] [CRATE..]
                 files that need each other in a ring, by imports and by calls: of more than two (--all: of two as well)
  prove          the same tests with many more reloads, seeds and rounds (minutes to hours)
  golden record DIR             adds two runs of what every supervisor of the tests does
  golden compare BEFORE AFTER   says where two such recordings differ
  bench [NAME..] compares with the peers and rewrites the tables in docs/benchmarks.md
                 (names: {})
  static         builds the `adieu` binary without any shared library and checks that it has none
  tools          only installs what the tests need
",
        bench::names_of_all().join(", ")
    )
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["test"] => test::test(),
        ["circles", arguments @ ..] => circles::circles(arguments),
        ["prove"] => test::prove(),
        ["golden", "record", directory] => golden::record(directory),
        ["golden", "compare", before, after] => golden::compare(before, after),
        ["bench", names @ ..] => bench::bench(names),
        ["static"] => statically::build().map(drop),
        ["tools"] => test::tools(),
        [bench::CHILD] => bench::child(),
        ["help" | "--help" | "-h"] => {
            print!("{}", usage());
            Ok(())
        }
        _ => {
            eprint!("{}", usage());
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
