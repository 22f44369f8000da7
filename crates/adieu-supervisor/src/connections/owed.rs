//! Draining an old generation from outside: waiting until none of its connections is owed an answer.

use std::time::Duration;

use adieu_core::owed::{Counts, Sample};
use adieu_core::switch::{Event, Generation};
use adieu_linux::clock;
use adieu_linux::diag::{self, state};

use super::Connections;
use super::lot::Lot;
use super::state::new_ledger;
use super::watches::OwedWatch;
use crate::process_table::ProcessTable;
use crate::sockets::Sockets;
use crate::view::{Out, View};

/// At least this lies between two samples, whatever they cost.
const SAMPLE_PAUSE: Duration = Duration::from_millis(1);
/// A program that ends its connections itself gets them when for so long none of them has been finished or parked: a busy one
/// pauses more often, and what never looks finished from outside (a WebSocket, a stream) is awaited in vain.
const STANDSTILL: Duration = Duration::from_secs(1);
const OWED_STATES: [u8; 3] = [state::ESTABLISHED, state::CLOSE_WAIT, state::SYN_RECV];

/// How far a drain is.
enum Progress {
    Over,
    /// What is left is the program's to end, as it says.
    LeftToProgram,
    GoesOn,
}

impl Connections {
    /// Waits until no connection of `generation` is owed an answer; then it is told.
    pub(crate) fn watch_owed(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        generation: Generation,
        out: &mut Out,
    ) {
        if view.options.overlap {
            self.list_owed(view, table, sockets, generation, out);
        } else {
            self.watch_queues(view, sockets, generation, true, out);
        }
    }

    /// The connections of a generation are those whose sockets its processes hold: its queues are empty by now, so what nobody
    /// holds waits in another generation's queue.
    pub(super) fn list_owed(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        generation: Generation,
        out: &mut Out,
    ) {
        let places = sockets.places(generation);
        if places.is_empty() {
            out.event(Event::Drained(generation));
            return;
        }
        let mut found = diag::tcp_sockets(&places, &OWED_STATES).unwrap_or_default();
        if !table.is_still_there(generation) {
            // What it has lost already is missing here. Its end will be heard of.
            return;
        }
        if let Some(own) = table.own_inodes(generation) {
            found.retain(|socket| own.contains(&socket.inode));
        }
        let mut ledger = new_ledger(view);
        ledger.restrict(found.iter().map(|socket| socket.cookie));
        self.open_lot(view, table, generation, &found);
        let peers = found.iter().map(|socket| (socket.cookie, socket.remote)).collect();
        let connections = found.iter().map(|socket| socket.identity).collect();
        let (next, fewest) = (clock::now(), (usize::MAX, clock::now()));
        self.owed_watches.push(OwedWatch { generation, next, connections, ledger, peers, fewest });
    }

    pub(super) fn advance_owed_watches(&mut self, view: &View<'_>, table: &dyn ProcessTable, out: &mut Out) {
        for mut watch in std::mem::take(&mut self.owed_watches) {
            // What came before in this turn may have taken its time.
            let began = clock::now();
            if began < watch.next {
                self.owed_watches.push(watch);
                continue;
            }
            let found = diag::look_up(watch.connections.iter().copied()).unwrap_or_default();
            if !table.is_still_there(watch.generation) {
                // What it has lost already is missing here. Its end will be heard of.
                watch.next = clock::now() + SAMPLE_PAUSE;
                self.owed_watches.extend(view.is_leaving(watch.generation).then_some(watch));
                continue;
            }
            let mut samples: Vec<Sample> = found.iter().map(diag::Socket::sample).collect();
            if let Some(lot) = self.lots.iter_mut().find(|lot| lot.generation == watch.generation) {
                let worked_on = lot.worked_on();
                samples.iter_mut().for_each(|sample| sample.worked_on = worked_on.contains(&sample.cookie));
            }
            watch.ledger.handle_samples(began, &samples);
            match self.progress(&mut watch) {
                Progress::Over => {
                    watch.tell_expired(view.options.drain_quiet, out);
                    out.event(Event::Drained(watch.generation));
                }
                Progress::LeftToProgram => {
                    let (generation, rest) = (watch.generation, watch.fewest.0);
                    out.note(format!(
                        "generation {generation}: ends the {rest} connections that are left itself, as it says"
                    ));
                    watch.tell_expired(view.options.drain_quiet, out);
                    out.event(Event::Drained(generation));
                }
                Progress::GoesOn if view.is_leaving(watch.generation) => {
                    let now = clock::now();
                    let pause = SAMPLE_PAUSE.max((now - began) * 3);
                    watch.next = watch.ledger.poll_timeout().unwrap_or(now).max(now + pause);
                    self.owed_watches.push(watch);
                }
                Progress::GoesOn => {}
            }
        }
    }

    /// Its drain is over, one way or the other: names what is cut off, and what was given up before.
    pub(crate) fn end_owed_watch(&mut self, view: &View<'_>, generation: Generation, out: &mut Out) {
        let Some(at) = self.owed_watches.iter().position(|watch| watch.generation == generation) else { return };
        let watch = self.owed_watches.swap_remove(at);
        let Counts { owed, unknown, .. } = watch.ledger.counts();
        if owed + unknown > 0 {
            let names = watch.names(watch.ledger.unsettled());
            out.note(format!(
                "generation {generation}: stopped while {owed} connections are owed an answer and {unknown} may be: {names}"
            ));
        }
        watch.tell_expired(view.options.drain_quiet, out);
    }

    /// The main process of `generation` has ended: nothing is owed by it any more.
    pub(crate) fn main_ended(&mut self, generation: Generation) {
        self.owed_watches.retain(|watch| watch.generation != generation);
    }

    fn progress(&self, watch: &mut OwedWatch) -> Progress {
        let lot = self.lots.iter().find(|lot| lot.generation == watch.generation);
        let (hands_off, parked) =
            (lot.is_some_and(Lot::hands_off), |cookie: u64| lot.is_some_and(|lot| lot.is_settled(cookie)));
        // Every connection that may be owed an answer is parked between two requests.
        let is_parked = || lot.is_some() && !hands_off && watch.ledger.unsettled().all(parked);
        if watch.ledger.is_drained() || is_parked() {
            return Progress::Over;
        }
        let (left, now) = (watch.ledger.unsettled().filter(|cookie| !parked(*cookie)).count(), clock::now());
        if left < watch.fewest.0 {
            watch.fewest = (left, now);
        }
        // It says that it ends them, and nothing more comes of waiting.
        let says = self.self_draining.contains(&watch.generation);
        if says && !hands_off && now.since(watch.fewest.1) >= STANDSTILL {
            Progress::LeftToProgram
        } else {
            Progress::GoesOn
        }
    }
}
