//! Waiting for the accept queues of an old generation, and for the handshakes that were under way at the switch.

use std::time::Duration;

use adieu_core::switch::{Event, Generation, Phase};
use adieu_linux::diag::{self, Identity, state};

use super::Connections;
use super::watches::QueueWatch;
use crate::process_table::ProcessTable;
use crate::sockets::Sockets;
use crate::view::{Out, View};

const QUEUE_EVERY: Duration = Duration::from_millis(2);

impl Connections {
    /// Waits until nothing is left in the queues of `generation`: then it is told, or, where it `drains`, what its
    /// connections are owed is waited for.
    pub(crate) fn watch_queues(
        &mut self,
        view: &View<'_>,
        sockets: &Sockets,
        generation: Generation,
        drains: bool,
        out: &mut Out,
    ) {
        let serving = view.switch.serving().unwrap_or_default();
        let visible = sockets.still_visible(serving, generation);
        let hide_at = visible.first().filter(|_| !drains).map(|endpoint| {
            out.note(format!(
                "without CAP_NET_RAW new connections to {endpoint} go to generation {generation} until it has settled"
            ));
            view.now + view.options.settle
        });
        let handshakes = handshakes(sockets, generation);
        let next = hide_at.unwrap_or(view.now);
        self.queue_watches.push(QueueWatch { generation, next, handshakes, drains, hide_at });
    }

    /// The generations that have settled and still get new connections: they are to be hidden now, and then
    /// [`Self::are_hidden`].
    pub(crate) fn due_to_hide(&mut self, view: &View<'_>) -> Vec<Generation> {
        let due = |watch: &mut QueueWatch| {
            let due = view.now >= watch.next && watch.hide_at.take().is_some();
            (due && view.phase(watch.generation) == Some(Phase::Settling)).then_some(watch.generation)
        };
        self.queue_watches.iter_mut().filter_map(due).collect()
    }

    /// The listeners of `generation` get no new connections any more: what is under way now is the rest.
    pub(crate) fn are_hidden(&mut self, sockets: &Sockets, generation: Generation) {
        for watch in self.queue_watches.iter_mut().filter(|watch| watch.generation == generation) {
            watch.handshakes = handshakes(sockets, generation);
        }
    }

    pub(super) fn advance_queue_watches(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        out: &mut Out,
    ) {
        for mut watch in std::mem::take(&mut self.queue_watches) {
            // One that is still to be hidden is looked at after that.
            if view.now < watch.next || watch.hide_at.is_some() {
                self.queue_watches.push(watch);
                continue;
            }
            let mut open = diag::look_up(watch.handshakes.drain(..)).unwrap_or_default();
            open.retain(|socket| socket.state == state::SYN_RECV);
            watch.handshakes.extend(open.iter().map(|socket| socket.identity));
            // In this order: a handshake that has just ended is in the queue by now.
            if watch.handshakes.is_empty() && sockets.queues_are_empty(watch.generation) {
                if watch.drains {
                    self.list_owed(view, table, sockets, watch.generation, out);
                } else {
                    out.event(Event::QueuesEmpty(watch.generation));
                }
            } else if table.started(watch.generation).is_some() {
                watch.next = view.now + QUEUE_EVERY;
                self.queue_watches.push(watch);
            }
        }
    }
}

fn handshakes(sockets: &Sockets, generation: Generation) -> Vec<Identity> {
    let handshakes = diag::tcp_sockets(&sockets.places(generation), &[state::SYN_RECV]).unwrap_or_default();
    handshakes.iter().map(|socket| socket.identity).collect()
}
