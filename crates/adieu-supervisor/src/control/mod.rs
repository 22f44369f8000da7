//! Control: the socket of this instance, its clients, and the reloads that were asked for.
//!
//! Invariant: every request is answered once, when it is done or cannot be done any more; a client that has gone does not
//! stop what it has asked for.

mod client;
mod instance;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use adieu_core::outcome::code;
use adieu_core::switch::{RequestId, Step};
use adieu_core::wire::{Reply, Request, Wait};
use adieu_linux::{connections, process};

use self::client::Client;
pub(crate) use self::instance::Instance;
pub use self::instance::{InstanceError, connect, names};
use crate::interests::{Interests, Source};
use crate::processes::Change;
use crate::view::View;

const MOST_CLIENTS: usize = 64;

/// Who has asked for something, by position; as long as this turn of the loop lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId(usize);

/// The control socket and what has come over it.
#[derive(Debug)]
pub(crate) struct Control {
    instance: Option<Instance>,
    clients: Vec<Client>,
    /// What reloads shall change, until they have succeeded or failed.
    asked: HashMap<RequestId, Change>,
    last_request: RequestId,
}

impl Control {
    pub(crate) fn new(instance: Option<Instance>) -> Self {
        Self { instance, clients: Vec::new(), asked: HashMap::new(), last_request: RequestId::default() }
    }

    pub(crate) fn interests<'a>(&'a self, interests: &mut Interests<'a>) {
        if let Some(instance) = &self.instance {
            interests.read(Source::Accept, instance.listener.as_fd());
        }
        for client in &self.clients {
            let (fd, readiness) = client.interest();
            interests.add(Source::Clients, fd, readiness);
        }
    }

    /// The name of the instance, for its clients.
    pub(crate) fn name(&self) -> &str {
        self.instance.as_ref().map(Instance::name).unwrap_or_default()
    }

    /// Frees the name: another instance may have it.
    pub(crate) fn close(&mut self) {
        self.instance = None;
    }

    pub(crate) fn accept(&mut self) {
        while let Some((stream, _)) = self.instance.as_ref().and_then(|instance| instance.listener.accept().ok()) {
            self.admit(stream);
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        let user = connections::peer_user(stream.as_fd()).unwrap_or(u32::MAX);
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut client = Client::new(stream);
        if user != 0 && user != process::own_user() {
            client.done(code::NOT_PERMITTED, Some("this instance belongs to another user".to_owned()), Vec::new());
        } else if self.clients.len() >= MOST_CLIENTS {
            client.done(code::FINDING, Some("too many clients at once: try again".to_owned()), Vec::new());
        }
        if !client.is_over() {
            self.clients.push(client);
        }
    }

    /// All clients: each is to be [read](Self::read).
    pub(crate) fn clients(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len()).map(ClientId)
    }

    /// Reads what a client has sent; its request, once that is whole.
    pub(crate) fn read(&mut self, client: ClientId) -> Option<Request> {
        self.clients.get_mut(client.0)?.advance()
    }

    /// Closes the connections of those that have their answer.
    pub(crate) fn advance(&mut self) {
        self.clients.retain(|client| !client.is_over());
    }

    /// A part of the answer.
    pub(crate) fn say(&mut self, client: ClientId, reply: &Reply) {
        if let Some(client) = self.clients.get_mut(client.0) {
            client.say(reply);
        }
    }

    /// The end of the answer.
    pub(crate) fn done(&mut self, client: ClientId, code: i32, message: Option<String>) {
        if let Some(client) = self.clients.get_mut(client.0) {
            client.done(code, message, Vec::new());
        }
    }

    /// Notes that a reload is asked for, by a client or by a signal; its number.
    pub(crate) fn ask_reload(&mut self, from: Option<(ClientId, Wait)>, change: Change) -> RequestId {
        self.last_request = self.last_request.next();
        self.asked.insert(self.last_request, change);
        if let Some((id, wait)) = from
            && let Some(client) = self.clients.get_mut(id.0)
        {
            client.reload = Some((self.last_request, wait));
        }
        self.last_request
    }

    /// What a reload shall change.
    pub(crate) fn change(&self, request: Option<RequestId>) -> Option<&Change> {
        request.and_then(|request| self.asked.get(&request))
    }

    /// The client is answered at the end of everything.
    pub(crate) fn wait_for_end(&mut self, client: ClientId) {
        if let Some(client) = self.clients.get_mut(client.0) {
            client.waits_for_end = true;
        }
    }

    /// Tells the clients of a reload how far it is, and answers those whose time has come.
    pub(crate) fn progress(&mut self, view: &View<'_>, request: RequestId, step: Step, text: &str, output: &[String]) {
        if matches!(step, Step::Failed(_) | Step::Switched(_)) {
            self.asked.remove(&request);
        }
        for client in &mut self.clients {
            let Some((_, wait)) = client.reload.filter(|(id, _)| *id == request) else { continue };
            let reached = match step {
                Step::Failed(_) => {
                    fail(view, client, step, text, output);
                    continue;
                }
                Step::Queued | Step::Starting(_) => None,
                Step::Switched(_) => Some(Wait::Switched),
                Step::Settled(_) => Some(Wait::Settled),
                Step::Drained(_) => Some(Wait::Drained),
            };
            client.say(&Reply::Progress { step, text: text.to_owned() });
            if reached.is_some_and(|reached| reached >= wait) && !client.is_answered() {
                client.done(code::DONE, None, Vec::new());
            }
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

    /// Answers all that wait for the end of everything.
    pub(crate) fn answer_at_end(&mut self, forced: bool, exit: i32) {
        self.answer_failed(false);
        let (answer, how) = if forced { (code::FORCED, "ended by force") } else { (code::DONE, "stopped") };
        for client in self.clients.iter_mut().filter(|client| client.waits_for_end) {
            client.done(answer, Some(format!("{how}, exit code {exit}")), Vec::new());
        }
    }
}

/// Tells a client that its reload has failed. Where nobody serves meanwhile, that is not its last answer.
fn fail(view: &View<'_>, client: &mut Client, step: Step, text: &str, output: &[String]) {
    let stopping = view.switch.is_stopping();
    if view.switch.serving().is_none() && !stopping {
        client.reload = None;
        client.failed = Some((text.to_owned(), output.to_vec()));
        client.say(&Reply::Progress { step, text: format!("{text}; the command before it comes back") });
    } else {
        let code = if stopping { code::FINDING } else { code::RELOAD_FAILED };
        client.done(code, Some(text.to_owned()), output.to_vec());
    }
}
