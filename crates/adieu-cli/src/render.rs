//! Status and timeline for people.

use std::fmt::Write;
use std::time::Duration;

use adieu_core::duration;
use adieu_core::ids::Pid;
use adieu_core::timeline::Entry;
use adieu_core::wire::{GenerationStatus, Status, wall_time};

pub(crate) fn status(all: &[Status]) -> String {
    let mut text = String::new();
    for status in all {
        let uptime = seconds(status.uptime);
        let _ = writeln!(
            text,
            "{}  (adieu pid {}, up {uptime}, sockets {}): {}",
            status.name,
            status.pid,
            status.sockets,
            status.command.join(" ")
        );
        for generation in &status.generations {
            text.push_str(&one(generation));
        }
        for note in &status.notes {
            let _ = writeln!(text, "  note: {note}");
        }
    }
    text
}

fn one(generation: &GenerationStatus) -> String {
    let mut text = String::new();
    let phase = format!("{:?}", generation.phase).to_lowercase();
    let ready = if generation.ready { "" } else { ", not ready" };
    let ended = generation.outcome.map(|outcome| format!(", main process ended: {outcome}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "  generation {}  {phase}{ready}{ended}, pid {}, {} processes, for {}",
        generation.generation,
        generation.pid.map_or(0, Pid::number),
        generation.pids.len(),
        seconds(generation.uptime)
    );
    for listener in &generation.listeners {
        let target = if listener.target { "new connections come here" } else { "no new connections" };
        let _ = writeln!(text, "    {}  {target}, {} waiting to be accepted", listener.endpoint, listener.queue);
    }
    for listener in &generation.paths {
        let target = if listener.target { "new connections come here" } else { "no new connections" };
        let waiting = if listener.waited_for { "some" } else { "none" };
        let _ = writeln!(text, "    {}  {target}, {waiting} waiting to be accepted", listener.path);
    }
    let connections = generation.connections;
    if connections.owed + connections.unknown + connections.quiet + connections.expired > 0 {
        let (owed, unknown, quiet) = (connections.owed, connections.unknown, connections.quiet + connections.expired);
        let _ = writeln!(text, "    connections: {owed} owed an answer, {unknown} perhaps, {quiet} quiet");
    }
    text
}

fn seconds(value: f64) -> String {
    duration::format(Duration::from_secs(value.max(0.0).round() as u64))
}

pub(crate) fn timeline(entries: &[Entry], dropped: u64, epoch: f64, json: bool) -> String {
    let mut text = String::new();
    if json {
        for entry in entries {
            let time = wall_time(epoch, entry.at);
            let line =
                serde_json::json!({ "time": time, "at": entry.at, "what": entry.what, "text": entry.what.text() });
            let _ = writeln!(text, "{line}");
        }
        return text;
    }
    if dropped > 0 {
        let _ = writeln!(text, "({dropped} older entries were dropped)");
    }
    let mut last = None;
    for entry in entries {
        let Some(line) = entry.what.text() else {
            continue;
        };
        let since = last.map_or(Duration::ZERO, |last| entry.at - last);
        last = Some(entry.at);
        let _ = writeln!(text, "{}  +{:>9.3} s  {line}", clock(wall_time(epoch, entry.at)), since.as_secs_f64());
    }
    text
}

/// Time of day in UTC.
fn clock(epoch: f64) -> String {
    let millis = (epoch.max(0.0) * 1000.0) as u64;
    let (seconds, millis) = (millis / 1000 % 86_400, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
