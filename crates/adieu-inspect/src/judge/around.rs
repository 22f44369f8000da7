//! What surrounds the process: its connections, those that share its sockets, and who would start it again.

use super::finding::{Cause, Finding, Question, Severity};
use super::reaction::handles;
use crate::case::Case;
use crate::facts::{Connection, Relative};
use crate::runtime::Effect;

/// Processes of a PostgreSQL server that serve no client, as they title themselves.
const POSTGRES_OWN: &[&str] = &[
    "checkpointer",
    "background writer",
    "walwriter",
    "autovacuum",
    "logical replication",
    "archiver",
    "stats collector",
    "startup",
    "logger",
    "walreceiver",
    "io worker",
];

pub(super) fn waits_for_clients(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let runtime = case.runtime?;
    let (effect, words) = runtime.effect(question.signal)?;
    if effect != Effect::WaitsForClients {
        return None;
    }
    let serves = |child: &&Relative| {
        // `postgres: 15/main: user database ...`
        let title = child.line.strip_prefix("postgres: ");
        title.is_some_and(|title| !POSTGRES_OWN.iter().any(|own| title.contains(own)))
    };
    let clients: Vec<&Relative> = facts.children.iter().filter(serves).collect();
    let first = clients.first()?;
    let sentence = format!(
        "{} on {}: {words}; {} are there, one is `{}` (pid {})",
        runtime.label,
        question.signal,
        clients.len(),
        first.line.trim(),
        first.pid
    );
    Some(
        Finding::new(Cause::WaitsForClients, Severity::Blocks, sentence)
            .seen_in(format!("/proc/{}/cmdline", first.pid), "", first.line.trim())
            .advise(format!("send {} instead, or stop the clients first", runtime.graceful)),
    )
}

/// It listens no more and has connections that clients have opened: a drain that they keep open.
pub(super) fn connections_open(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let inbound: Vec<&Connection> = facts.connections.iter().filter(|connection| connection.inbound).collect();
    let oldest = inbound.iter().max_by(|a, b| a.idle.total_cmp(&b.idle))?;
    // Before it was asked, only a port that nobody serves any more tells: a worker may be given connections by its master.
    let closed = question.asked.is_some() || inbound.iter().all(|connection| !connection.served);
    if !facts.listeners.is_empty() || !closed || !handles(facts, question.signal) {
        return None;
    }
    let owed = inbound.iter().filter(|connection| connection.owed).count();
    let sentence = format!(
        "it takes no new connections and waits for {} that are open ({owed} owed an answer): {}",
        inbound.len(),
        peers(&inbound)
    );
    Some(
        Finding::new(Cause::ConnectionsOpen, Severity::Blocks, sentence)
            .seen(facts, "fd", &format!("socket {}", oldest.local), format!("peer {}", oldest.peer))
            .advise(
                "let it close idle connections when it stops, and give its drain a limit; \
                 or end the clients' connections",
            ),
    )
}

/// The peers that have been silent for longest.
pub(crate) fn peers(connections: &[&Connection]) -> String {
    let mut sorted: Vec<&&Connection> = connections.iter().collect();
    sorted.sort_by(|a, b| b.idle.total_cmp(&a.idle));
    let shown: Vec<String> = sorted
        .iter()
        .take(3)
        .map(|connection| format!("{} idle for {:.1} s", connection.peer, connection.idle))
        .collect();
    let more = if sorted.len() > 3 { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

pub(super) fn listener_inherited(case: &Case, _question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    // What hands its socket to the program that it watches over stops that program, too.
    if case.runtime.is_some_and(|runtime| runtime.keeps_children) {
        return None;
    }
    let listener = facts.listeners.iter().find(|listener| !listener.strangers.is_empty())?;
    let stranger = listener.strangers.first()?;
    let sentence = format!(
        "{} (pid {}), which it has started, holds its listening socket {}: the address stays taken while that one lives",
        stranger.name, stranger.pid, listener.address
    );
    Some(
        Finding::new(Cause::ListenerInherited, Severity::Warning, sentence)
            .seen_in(format!("/proc/{}/fd", stranger.pid), &listener.address.to_string(), "the same socket")
            .advise("let it close the socket when it starts programs (O_CLOEXEC), or stop that one too (`--tree`)"),
    )
}

pub(super) fn started_again(case: &Case, _question: &Question) -> Option<Finding> {
    let supervision = case.supervision.as_ref()?;
    let sentence = format!("{} starts it again when it ends", supervision.by);
    Some(
        Finding::new(Cause::StartedAgain, Severity::Note, sentence)
            .seen_in(supervision.file.clone(), "", &supervision.value)
            .advise(format!("to keep it stopped: {}", supervision.instead)),
    )
}
