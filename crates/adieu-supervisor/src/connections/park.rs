//! Parking: the busy keep-alive connections of an old generation are taken over between two requests. The judgement is in
//! [`adieu_core::park`], the hands are in [`super::lot`].

use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::http1;
use adieu_core::outcome::Outcome;
use adieu_core::park::{Action, Found};
use adieu_core::switch::{Generation, Phase};
use adieu_linux::{clock, connections, diag};

use super::Connections;
use super::handoff::{Handed, Handoff, Lingering};
use super::lot::{Lot, peek};
use crate::options;
use crate::process_table::ProcessTable;
use crate::view::{Out, View};

const BUSY_EVERY: Duration = Duration::from_millis(1);
const IDLE_EVERY: Duration = Duration::from_millis(5);
/// Connections that stay silent are kept for so long after their program has gone.
const KEPT_AFTER_END: Duration = Duration::from_secs(30);

impl Connections {
    /// Begins to park these connections, where duplicating them is permitted.
    pub(super) fn open_lot(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        generation: Generation,
        all: &[diag::Socket],
    ) {
        let refused = table.may_duplicate() == Some(false) || view.options.sockets == options::Sockets::Off;
        if refused || all.is_empty() {
            return;
        }
        let members = table.members(generation);
        self.lots.push(Lot::new(generation, view.options.drain_quiet, &members, all, clock::now()));
    }

    pub(super) fn advance_lots(&mut self, view: &View<'_>, table: &dyn ProcessTable, out: &mut Out) {
        for mut lot in std::mem::take(&mut self.lots) {
            if view.now < lot.next {
                self.lots.push(lot);
                continue;
            }
            let outcome = table.outcome(lot.generation);
            match view.phase(lot.generation) {
                // It serves again: everything is its own.
                Some(Phase::Serving) => lot.give_back_all(),
                Some(_) => self.advance_lot(lot, view, outcome, out),
                None => {
                    let since = *lot.gone_since.get_or_insert(view.now);
                    if view.switch.is_stopping() || view.now - since >= KEPT_AFTER_END {
                        self.lingering.extend(lot.held.drain().map(|(_, fd)| Lingering::new(fd, view.now)));
                    } else {
                        self.advance_lot(lot, view, outcome, out);
                    }
                }
            }
        }
    }

    /// Goes on with a lot, whose program has ended like this, and keeps it if there is more to do.
    fn advance_lot(&mut self, mut lot: Lot, view: &View<'_>, outcome: Option<Outcome>, out: &mut Out) {
        let began = clock::thread_time();
        if let Some(outcome) = outcome.filter(|_| lot.ended.is_none()) {
            lot.program_ended(outcome);
        }
        let all = lot.look();
        lot.parking.handle_look(view.now, &all);
        self.perform_parking(&mut lot, view, out);
        self.handed.retain(|Handed { origin: (generation, cookie), answered }| {
            let mine = *generation == lot.generation;
            if mine {
                lot.parking.carried(*cookie);
                lot.answered += u64::from(*answered);
            }
            !mine
        });
        // By the processor time that it took: on a busy machine the time on the clock is mostly others'.
        let cost = clock::thread_time().saturating_sub(began);
        let pace = if lot.gone_since.is_some() { IDLE_EVERY } else { BUSY_EVERY };
        lot.next = view.now + pace.max(cost * 3);
        if !lot.descriptors.is_empty() || lot.hands_off() {
            self.lots.push(lot);
        } else if lot.answered > 0 {
            let (generation, answered) = (lot.generation, lot.answered);
            out.note_quietly(format!(
                "generation {generation}: {answered} requests on its open connections were answered by the next one"
            ));
        }
    }

    /// Does with the connections of a lot what was judged.
    fn perform_parking(&mut self, lot: &mut Lot, view: &View<'_>, out: &mut Out) {
        let now = view.now;
        while let Some(action) = lot.parking.poll_action() {
            match action {
                Action::Park(cookie) => {
                    let parked = lot.park(cookie);
                    lot.parking.parked(now, cookie, parked);
                }
                Action::GiveBack(cookie) => lot.give_back(cookie),
                Action::Pass(cookie) => {
                    let found = lot.pass(cookie);
                    lot.parking.passed(cookie, found);
                }
                Action::HoldBack(cookie) => lot.hold_back(cookie),
                Action::LetGo(cookie) => lot.let_go(cookie),
                Action::Look(cookie) => {
                    let deadline = clock::now() + view.options.grace;
                    let found = self.take_request(lot, cookie, deadline, out);
                    lot.parking.looked(now, cookie, found);
                }
                Action::Close(cookie) => self.lingering.extend(lot.close(cookie, now)),
            }
        }
    }

    /// Takes what is unread if it is a whole request, and begins to hand it to the generation that serves.
    fn take_request(&mut self, lot: &mut Lot, cookie: u64, deadline: Timestamp, out: &mut Out) -> Found {
        let (Some(fd), Some(of_program)) = (lot.held.get(&cookie), lot.descriptors.get(&cookie)) else {
            return Found::Other;
        };
        let (found, peeked) = peek(fd.as_fd());
        if !matches!(found, Found::Whole(_)) {
            return found;
        }
        let Ok(client) = fd.as_fd().try_clone_to_owned() else { return Found::Own };
        let request = http1::as_last(&peeked);
        let origin = (lot.generation, cookie);
        let Some(handoff) = Handoff::connect(origin, client, of_program.local, request, deadline) else {
            return Found::Own;
        };
        let mut taken = vec![0; peeked.len()];
        let got = connections::receive_now(fd.as_fd(), &mut taken, false);
        if got.as_ref().ok() != Some(&peeked.len()) || taken != peeked {
            // The program was faster: what we got, if anything, is missing there.
            if got.is_ok() {
                out.note(format!(
                    "generation {}: a request was read half by the program and half here",
                    lot.generation
                ));
            }
            return Found::Other;
        }
        lot.held.remove(&cookie);
        lot.descriptors.remove(&cookie);
        self.handoffs.push(handoff);
        found
    }

    /// Goes on with the requests under way, and closes what can be closed.
    pub(super) fn advance_handoffs(&mut self, view: &View<'_>, out: &mut Out) {
        let now = view.now;
        for mut handoff in std::mem::take(&mut self.handoffs) {
            let trouble = match handoff.advance() {
                Ok(true) if handoff.is_refused() => Some("it was closed without an answer".to_owned()),
                Ok(true) => None,
                Ok(false) if now < handoff.deadline => {
                    self.handoffs.push(handoff);
                    continue;
                }
                Ok(false) => Some("it took longer than the grace".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            let answered = trouble.is_none();
            if let Some(trouble) = trouble {
                out.note(format!("a request that was carried over was not answered whole: {trouble}"));
            }
            self.handed.push(Handed { origin: handoff.origin, answered });
            self.lingering.push(Lingering::new(handoff.client, now));
        }
        self.lingering.retain(|connection| !connection.is_over(now));
    }
}
