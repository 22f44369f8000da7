//! Many reloads in a row: the supervisor is as large after the last as after the first.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Pid;

use super::service;
use crate::harness::crowd::Crowd;
use crate::harness::proc::state;
use crate::harness::{count, the_machine, until};

/// What grows where something is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    descriptors: usize,
    threads: usize,
    /// Processes below it, and how many of them are dead and not reaped.
    processes: usize,
    zombies: usize,
}

impl Size {
    fn of(supervisor: Pid) -> Self {
        let entries = |what: &str| fs::read_dir(format!("/proc/{supervisor}/{what}")).map_or(0, Iterator::count);
        let below = below(supervisor.as_raw_nonzero().get());
        let zombies = below.iter().filter(|pid| Pid::from_raw(**pid).and_then(state) == Some('Z')).count();
        Self { descriptors: entries("fd"), threads: entries("task"), processes: below.len(), zombies }
    }
}

/// Everybody below a process, the dead included.
fn below(parent: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.flat_map(|child| [vec![child], below(child)].concat()).collect()
}

/// Memory that is the supervisor's own, in KiB. Pages that it shares with its keepers count in part.
fn memory(supervisor: Pid) -> usize {
    let rollup = fs::read_to_string(format!("/proc/{supervisor}/smaps_rollup")).expect("the supervisor is there");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("Linux 5.3 and later have it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A client that keeps its connection as long as it can, and is not idle for long.
fn keep_asking(port: u16, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        let mut stream = BufReader::new(stream);
        while !over.load(Ordering::Relaxed) {
            if stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_err() {
                break;
            }
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                length = line.strip_prefix("Content-Length: ").map_or(length, |text| text.trim().parse().unwrap_or(0));
                line.clear();
            }
            if stream.read_exact(&mut vec![0; length]).is_err() || length == 0 {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

#[test]
fn many_reloads_leave_nothing_behind() {
    let _alone = the_machine();
    let service = service().options(&["--settle", "50ms"]).serving();
    let (supervisor, port) = (service.pid, service.port());
    let reload = |from: u64, number: usize| {
        for generation in from..from + number as u64 {
            service.must_reload(&["--wait", "drained"]);
            assert_eq!(service.answers(), generation + 1);
        }
    };
    let over = Arc::<AtomicBool>::default();
    let kept: Vec<_> = (0..3)
        .map(|_| {
            let over = Arc::clone(&over);
            thread::spawn(move || keep_asking(port, &over))
        })
        .collect();
    let crowd = Crowd::at(&service);
    // The first ones bring about what there is once for all.
    reload(1, 3);
    let grown = memory(supervisor);
    reload(4, count(10, 200));
    let ends = crowd.end();
    over.store(true, Ordering::Relaxed);
    for client in kept {
        client.join().expect("no client panics");
    }
    assert!(ends.refused == 0 && ends.lost() == 0, "{ends:?}\n{}", service.account());
    // A keeper, its program, and what the supervisor had before there was any load.
    let mut size = Size::of(supervisor);
    until(&format!("it is as small as at first: {size:?}"), || {
        size = Size::of(supervisor);
        (size.threads, size.processes, size.zombies) == (1, 2, 0) && size.descriptors <= 16
    });
    let left = memory(supervisor);
    println!("{size:?}, {grown} KiB after 3 reloads, {left} KiB after {}", 3 + count(10, 200));
    // The timeline keeps its last 4,096 entries, for which there is room here.
    assert!(left <= grown + 1536, "{grown} KiB have become {left} KiB");
    service.end();
}
