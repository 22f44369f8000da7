//! Socket calls of programs: each is received, decided as a value, and answered in one place.
//!
//! Invariant: every call is answered, whatever happens. [`Call`] cannot be copied, and [`Sockets::answer`] consumes it: the
//! only way to keep one is [`Answer::Later`]. A call that cannot be understood goes on as it was made.

use std::os::fd::AsFd;
use std::rc::Rc;

use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::errno;
use adieu_linux::seccomp::{Call, CallKind, Notifier};

use super::Sockets;
use super::answer::{Answer, Caller, Ours, Replacement, Then};
use super::watched::WaitingListen;
use crate::process_table::ProcessTable;
use crate::view::{Out, View};

impl Sockets {
    /// Receives, decides and answers the next call of `generation`. True when it was a `listen`: the generation may be ready.
    pub(crate) fn on_call(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        generation: Generation,
        out: &mut Out,
    ) -> bool {
        let Some(notifier) = self.watched.get(&generation).and_then(|watched| watched.notifier.clone()) else {
            return false;
        };
        // ENOENT: the caller was killed before we looked.
        let Ok(call) = notifier.receive() else { return false };
        let listens = call.kind == CallKind::Listen;
        let still_waits = |call: &Call| notifier.is_valid(call);
        let caller = Caller { generation, table, still_waits: &still_waits };
        let answer = self.decide(view, &caller, &call, out);
        self.answer(&notifier, generation, call, answer, out);
        listens
    }

    /// What the call is answered with. Nothing has been answered yet.
    pub(super) fn decide(&mut self, view: &View<'_>, caller: &Caller<'_>, call: &Call, out: &mut Out) -> Answer {
        match call.kind {
            CallKind::Bind => self.decide_bind(view, caller, call, out),
            CallKind::Listen => self.decide_listen(view, caller, call, out),
            CallKind::Connect => self.decide_connect(view, caller, call),
            CallKind::SetOption => {
                self.remember_option(caller, call);
                Answer::Continue
            }
            CallKind::OwnListener => {
                out.note_once(format!(
                    "the program (pid {}) wants a seccomp listener of its own and gets EBUSY: start it with --sockets pass or off",
                    call.tid
                ));
                Answer::Continue
            }
        }
    }

    /// The only place where a call is answered. A caller that was killed meanwhile needs no answer: errors are dropped.
    fn answer(&mut self, notifier: &Rc<Notifier>, generation: Generation, call: Call, answer: Answer, out: &mut Out) {
        let (replacement, returns) = match answer {
            Answer::Continue => return drop(notifier.proceed(call)),
            Answer::Return(result) => return drop(notifier.reply(call, result)),
            Answer::Later { socket, backlog } => {
                if let Some(watched) = self.watched.get_mut(&generation) {
                    watched.waiting_listens.push(WaitingListen { call, socket, backlog });
                }
                return;
            }
            Answer::Replace(replacement) => (replacement, false),
            Answer::ReplaceAndReturn(replacement) => (replacement, true),
        };
        let replaced = self.put_in_place(notifier, generation, &call, replacement, out);
        drop(if returns && replaced { notifier.reply(call, Ok(())) } else { notifier.proceed(call) });
    }

    /// Puts a socket of ours in the place of the program's; false when it could not be, and the program goes on with its own.
    fn put_in_place(
        &mut self,
        notifier: &Notifier,
        generation: Generation,
        call: &Call,
        replacement: Replacement,
        out: &mut Out,
    ) -> bool {
        let Replacement { with, process, fd, close_on_exec, then } = replacement;
        let socket = match &with {
            Ours::Held(id) => self.groups.get(*id).map(|socket| socket.fd.as_fd()),
            Ours::New(socket) => Some(socket.as_fd()),
        };
        let Some(socket) = socket else { return false };
        if let Err(error) = notifier.replace(call, socket, fd, close_on_exec) {
            if matches!(then, Then::Keep(_) | Then::KeepPath { .. }) {
                out.note_once(format!(
                    "cannot replace a socket of pid {process} ({error}): its reloads are not seamless"
                ));
            }
            return false;
        }
        self.is_in_place(generation, (process, fd), with, then, out);
        true
    }

    /// The program has the socket: what is true now.
    fn is_in_place(&mut self, generation: Generation, has: (Pid, i32), with: Ours, then: Then, out: &mut Out) {
        match (then, with) {
            (Then::HandOver(id), _) => {
                self.groups.hand_over(id, generation);
                self.set_holder(id, has);
            }
            (Then::Keep(address), Ours::New(socket)) => self.keep(generation, has, socket, address),
            (Then::KeepPath { name, beside, fleeting }, Ours::New(socket)) => {
                self.paths.keep(generation, socket, name, beside, fleeting);
            }
            (Then::GivePath(name), Ours::New(socket)) => self.path_given(generation, name, socket, out),
            // Held sockets are only handed over.
            (Then::Keep(_) | Then::KeepPath { .. } | Then::GivePath(_), Ours::Held(_)) => {}
        }
    }

    /// Answers the calls of `generation` that were kept for [`Answer::Later`].
    pub(super) fn answer_waiting_listens(&mut self, view: &View<'_>, generation: Generation, out: &mut Out) {
        for WaitingListen { call, socket, backlog } in self.take_waiting_listens(generation) {
            let result = self.listen(view, generation, socket, backlog, out);
            self.reply(generation, call, result);
        }
    }

    /// Refuses the calls of `generation` that were kept: a handler of the stop signal could not run before they return.
    pub(crate) fn refuse_waiting_listens(&mut self, generation: Generation) {
        for waiting in self.take_waiting_listens(generation) {
            self.reply(generation, waiting.call, Err(errno::EADDRINUSE));
        }
    }

    fn take_waiting_listens(&mut self, generation: Generation) -> Vec<WaitingListen> {
        let watched = self.watched.get_mut(&generation);
        watched.map(|watched| std::mem::take(&mut watched.waiting_listens)).unwrap_or_default()
    }

    fn reply(&self, generation: Generation, call: Call, result: Result<(), i32>) {
        if let Some(notifier) = self.watched.get(&generation).and_then(|watched| watched.notifier.as_ref()) {
            // As in `answer`.
            drop(notifier.reply(call, result));
        }
    }
}
