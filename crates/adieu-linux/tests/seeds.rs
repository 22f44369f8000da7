//! Every parser of foreign bytes against the seeds of its fuzz target, cut off at every length and with every byte changed:
//! what a process calls itself, and when it vanishes, must not make any of them panic.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use adieu_linux::netns;
use adieu_linux::proc::{cgroup, fds, frame, locks, mounts, stat, status, syscall, words};

type Parser = fn(&[u8]) -> bool;

/// One for each fuzz target; true when something was understood.
const PARSERS: [(&str, Parser); 15] = [
    ("cgroup", |bytes| !cgroup::parse(bytes).is_empty()),
    ("cmdline", |bytes| !words::parse_cmdline(bytes).is_empty()),
    ("comm", |bytes| !words::parse_comm(bytes).is_empty()),
    ("fdinfo", |bytes| fds::parse_info(bytes).is_some()),
    ("frame", |bytes| frame::find(bytes, 0x4000).is_some()),
    ("link", |bytes| !matches!(fds::parse_link(OsStr::from_bytes(bytes)), fds::Target::Path(_))),
    ("locks", |bytes| !locks::parse(bytes).is_empty()),
    ("mounts", |bytes| !mounts::parse(bytes).is_empty()),
    ("net_snmp", |bytes| netns::parse::counters(bytes).is_some()),
    ("net_tcp", |bytes| !netns::parse::table(bytes).is_empty()),
    ("stack", |bytes| !words::parse_stack(bytes).is_empty()),
    ("stat", |bytes| stat::parse(bytes).is_some()),
    ("status", |bytes| status::parse(bytes).is_some()),
    ("syscall", |bytes| syscall::parse(bytes).is_some()),
    ("wchan", |bytes| words::parse_wchan(bytes).is_some()),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().into_string().expect("text")).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_parser_has_a_target_and_seeds() {
    let parsers: Vec<String> = PARSERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("seeds")), parsers);
    let targets: Vec<String> = parsers.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets);
}

#[test]
fn seeds_cut_off_or_changed_anywhere_are_read_or_refused() {
    let mut understood: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, parse) in PARSERS {
        let folder = fuzz().join("seeds").join(name);
        for seed in names(&folder) {
            let whole = fs::read(folder.join(seed)).expect("a seed can be read");
            *understood.entry(name).or_default() += usize::from(parse(&whole));
            for at in 0..whole.len() {
                parse(&whole[..at]);
                parse(&whole[at..]);
                for other in [0, b'\n', b' ', b')', b'9', b':', b'F', 0xff] {
                    let mut changed = whole.clone();
                    changed[at] = other;
                    parse(&changed);
                }
            }
        }
    }
    for (name, _) in PARSERS {
        assert!(understood.get(name).is_some_and(|count| *count > 0), "no seed of {name} is understood");
    }
}
