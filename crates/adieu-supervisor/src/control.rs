//! The control socket: one JSON line per request, answered when it is done.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use adieu_core::outcome::code;
use adieu_core::switch::{self, Event, Failure, Step};
use adieu_core::wire::{self, Reply, Request, Wait};
use adieu_linux::poll::Readiness;
use adieu_linux::{clock, connections, process};

use crate::launch::{Change, Spec};
use crate::relay;
use crate::supervisor::Supervisor;

const MOST_CLIENTS: usize = 64;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The reload it waits for.
    reload: Option<(switch::Request, Wait)>,
    /// Its reload has failed and nobody serves: it is answered when the command before does again.
    failed: Option<(String, Vec<String>)>,
    /// It waits for the end of everything.
    pub(crate) waits_for_end: bool,
    served: bool,
    closing: bool,
}

impl Client {
    pub(crate) fn interest(&self) -> (BorrowedFd<'_>, Readiness) {
        (
            self.stream.as_fd(),
            if self.output.is_empty() {
                Readiness::READ
            } else {
                Readiness { readable: true, writable: true, hung_up: false }
            },
        )
    }

    fn say(&mut self, reply: &Reply) {
        self.output.extend(wire::line(reply));
        self.flush();
    }

    pub(crate) fn done(&mut self, code: i32, message: Option<String>, output: Vec<String>) {
        self.say(&Reply::Done { code, message, output });
        self.closing = true;
    }

    fn flush(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => break,
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Gone: nobody to answer.
                    self.output.clear();
                    self.closing = true;
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.closing && self.output.is_empty()
    }
}

impl Supervisor {
    pub(crate) fn accept_clients(&mut self) {
        while let Some((stream, _)) = self.place.as_ref().and_then(|place| place.listener.accept().ok()) {
            let user = connections::peer_user(stream.as_fd()).unwrap_or(u32::MAX);
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut client = Client {
                stream,
                input: Vec::new(),
                output: Vec::new(),
                reload: None,
                failed: None,
                waits_for_end: false,
                served: false,
                closing: false,
            };
            if user != 0 && user != process::own_user() {
                client.done(code::NOT_PERMITTED, Some("this instance belongs to another user".to_owned()), Vec::new());
            } else if self.clients.len() >= MOST_CLIENTS {
                client.done(code::FINDING, Some("too many clients at once: try again".to_owned()), Vec::new());
            }
            if !client.is_over() {
                self.clients.push(client);
            }
        }
    }

    pub(crate) fn advance_clients(&mut self) {
        for at in 0..self.clients.len() {
            let Some(client) = self.clients.get_mut(at) else { continue };
            client.flush();
            let mut buffer = [0; 4096];
            loop {
                match client.stream.read(&mut buffer) {
                    Ok(0) => {
                        // A client that has gone away does not stop what it has asked for.
                        client.closing = true;
                        client.output.clear();
                        break;
                    }
                    Ok(length) if !client.served => {
                        client.input.extend_from_slice(buffer.get(..length).unwrap_or_default())
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
                if client.input.len() > wire::LONGEST_REQUEST {
                    break;
                }
            }
            self.serve(at);
        }
    }

    /// Closes the connections of those that have their answer.
    pub(crate) fn let_clients_go(&mut self) {
        self.clients.retain(|client| !client.is_over());
    }

    fn serve(&mut self, at: usize) {
        let Some(client) = self.clients.get_mut(at).filter(|client| !client.served) else { return };
        let end = client.input.iter().position(|b| *b == b'\n');
        if end.is_none() && client.input.len() <= wire::LONGEST_REQUEST {
            return;
        }
        client.served = true;
        let line = std::mem::take(&mut client.input);
        let line = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
        match Request::parse(line) {
            Ok(request) => self.answer(at, request),
            Err(error) => client.done(code::USAGE, Some(error.to_string()), Vec::new()),
        }
    }

    fn answer(&mut self, at: usize, request: Request) {
        let reply = match request {
            Request::Status {} => Some(Reply::Status(self.status())),
            Request::Timeline {} => {
                let epoch = clock::wall().as_secs_f64() - clock::now().since_origin().as_secs_f64();
                Some(Reply::Timeline {
                    entries: self.timeline.entries().cloned().collect(),
                    dropped: self.timeline.dropped(),
                    epoch,
                })
            }
            Request::Reload { .. } | Request::Stop {} | Request::Send { .. } => None,
        };
        let Some(client) = self.clients.get_mut(at) else { return };
        if let Some(reply) = reply {
            client.say(&reply);
            client.done(code::DONE, None, Vec::new());
            return;
        }
        match request {
            Request::Reload { wait, set, unset, command } => {
                let id = self.next_request;
                client.reload = Some((id, wait));
                let set = set.into_iter().map(|(key, value)| (key, Some(value)));
                let unset = unset.into_iter().map(|key| (key, None));
                self.ask_reload(Change { environment: set.chain(unset).collect(), command });
            }
            Request::Stop {} => {
                client.waits_for_end = true;
                self.stop(self.options.stop_signal.unwrap_or(adieu_core::signal::Signal::TERM));
            }
            Request::Send { signal } => {
                let sent = self
                    .switch
                    .serving()
                    .and_then(|serving| self.running.get(&serving))
                    .map(|running| running.signal_main(signal));
                let Some(client) = self.clients.get_mut(at) else { return };
                match sent {
                    Some(Ok(())) => client.done(code::DONE, None, Vec::new()),
                    Some(Err(error)) => {
                        client.done(code::NOT_PERMITTED, Some(format!("cannot send {signal}: {error}")), Vec::new())
                    }
                    None => client.done(code::NO_TARGET, Some("no generation serves now".to_owned()), Vec::new()),
                }
            }
            Request::Status {} | Request::Timeline {} => {}
        }
    }

    /// A reload, from a client or a signal.
    pub(crate) fn ask_reload(&mut self, change: Change) {
        let id = self.next_request;
        self.next_request += 1;
        self.asked.insert(id, change);
        self.compare_serving();
        self.upstream.reloading(clock::now());
        self.tell(Event::Reload(id));
    }

    /// Tells the client of a reload how far it is, and answers it when its time has come.
    pub(crate) fn progress(&mut self, request: switch::Request, step: Step) {
        let mut text = step.text();
        let mut output = Vec::new();
        if let Step::Failed(failure) = step {
            (text, output) = self.explain(failure);
            self.asked.remove(&request);
            self.upstream.ready();
        }
        if let Step::Switched(_) = step {
            self.asked.remove(&request);
        }
        let stopping = self.switch.is_stopping();
        let still_served = self.switch.serving().is_some();
        for client in &mut self.clients {
            let Some((_, wait)) = client.reload.filter(|(id, _)| *id == request) else { continue };
            let reached = match step {
                Step::Failed(_) if !still_served && !stopping => {
                    client.reload = None;
                    client.failed = Some((text.clone(), output.clone()));
                    client.say(&Reply::Progress { step, text: format!("{text}; the command before it comes back") });
                    continue;
                }
                Step::Failed(_) => {
                    let failed = if stopping { code::FINDING } else { code::RELOAD_FAILED };
                    client.done(failed, Some(text.clone()), output.clone());
                    continue;
                }
                Step::Queued | Step::Starting(_) => None,
                Step::Switched(_) => Some(Wait::Switched),
                Step::Settled(_) => Some(Wait::Settled),
                Step::Drained(_) => Some(Wait::Drained),
            };
            client.say(&Reply::Progress { step, text: text.clone() });
            if reached.is_some_and(|reached| reached >= wait) && !client.closing {
                client.done(code::DONE, None, Vec::new());
            }
        }
        if let Step::Failed(failure) = step {
            let failed = format!("reload failed: {text}");
            // The timeline has it already, unless there is more to say.
            if text == failure.text() { self.log.say(clock::now(), &failed) } else { self.note(failed) }
        }
    }

    /// Answers those whose reload has failed when nobody served: now the command before does again, or never will.
    pub(crate) fn answer_failed(&mut self, serves_again: bool) {
        let code = if serves_again { code::RELOAD_FAILED } else { code::FINDING };
        for client in &mut self.clients {
            if let Some((text, output)) = client.failed.take() {
                client.done(code, Some(text), output);
            }
        }
    }

    /// Why a reload failed, as exactly as is known, with the end of the program's output.
    fn explain(&self, failure: Failure) -> (String, Vec<String>) {
        let mut text = failure.text();
        let generation = match failure {
            Failure::Exited(generation, _) | Failure::NotReady(generation) => generation,
            Failure::NotSwitched(generation) | Failure::DiedSettling(generation, _) | Failure::Died(generation, _) => {
                generation
            }
            Failure::Stopping | Failure::TooMany => return (text, Vec::new()),
        };
        let Some(running) = self.running.get(&generation) else {
            let why = self.launch_failure.clone();
            return (why.map_or(text.clone(), |why| format!("{text}: {why}")), Vec::new());
        };
        if let Some(why) = &running.not_executed {
            text = format!("{text}: {why}");
        }
        if let Failure::NotReady(_) = failure {
            text = format!("{text}: {}", self.why_unready(generation));
        }
        let lines = running.tail.lines();
        let at_start = matches!(failure, Failure::Exited(..) | Failure::NotReady(_));
        if at_start && self.options.overlap && lines.iter().any(|line| relay::tells_of_another(line)) {
            text = format!(
                "{text}; it seems to mind the one before it: give each generation a pid file or lock of its own \
                 ($ADIEU_GENERATION), or use --overlap no"
            );
        }
        (text, lines)
    }

    /// What a new generation runs: the command that is in force now, changed as the reload says.
    pub(crate) fn spec_for(&self, request: Option<switch::Request>) -> Spec {
        let change = request.and_then(|request| self.asked.get(&request));
        change.map_or_else(|| self.spec.clone(), |change| self.spec.changed(change))
    }
}
