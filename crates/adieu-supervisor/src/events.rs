//! One turn of the poll loop: wait, then take what has come. Socket calls of programs come first, as they wait for us.

use std::cmp::Reverse;
use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::group::SocketId;
use adieu_core::notify;
use adieu_core::signal::Signal;
use adieu_core::switch::{Event, Generation};
use adieu_linux::clock;
use adieu_linux::poll::{Readiness, poll};
use adieu_linux::signals::Received;

use crate::hooks::HookKind;
use crate::options::Sockets;
use crate::running::ESRCH;
use crate::supervisor::Supervisor;

/// How often sockets and memory cgroups are looked at without any other reason.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where something is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Call(Generation),
    Signals,
    /// The newest first: whoever serves is the last that can take over, so its death comes before that of an older one.
    Keeper(Reverse<Generation>),
    Notify(Generation),
    Relay(Generation, usize),
    /// The end of a process that has bound a socket.
    Holder(SocketId),
    Accept,
    Clients,
    /// Exchanges that are advanced at every turn anyway.
    Other,
}

impl Supervisor {
    pub(crate) fn wait_and_dispatch(&mut self) {
        let ready = self.wait();
        for source in ready {
            match source {
                Source::Call(generation) => self.on_call(generation),
                Source::Signals => self.on_signals(),
                Source::Keeper(Reverse(generation)) => self.hear_keeper(generation),
                Source::Notify(generation) => self.hear_notify(generation),
                Source::Relay(generation, at) => self.relay(generation, at),
                Source::Holder(socket) => self.holder_ended(socket),
                Source::Accept => self.accept_clients(),
                Source::Clients => self.advance_clients(),
                Source::Other => {}
            }
        }
    }

    /// Waits for the next thing to happen; what is ready comes in the order of [`Source`].
    fn wait(&mut self) -> Vec<Source> {
        let mut interests = vec![(self.signals.as_fd(), Readiness::READ)];
        let mut sources = vec![Source::Signals];
        for running in self.running.values() {
            let generation = running.generation;
            if let Some(listener) = &running.listener {
                interests.push((listener.as_fd(), Readiness::READ));
                sources.push(Source::Call(generation));
            }
            if let Some(channel) = &running.channel {
                interests.push((channel.as_fd(), Readiness::READ));
                sources.push(Source::Keeper(Reverse(generation)));
            }
            if let Some(socket) = &running.notify {
                interests.push((socket.as_fd(), Readiness::READ));
                sources.push(Source::Notify(generation));
            }
            for (at, relay) in running.relays.iter().enumerate() {
                if let Some(interest) = relay.interest() {
                    interests.push(interest);
                    sources.push(Source::Relay(generation, at));
                }
            }
        }
        for (id, socket) in self.groups.all() {
            if let Some(holder) = &socket.holder {
                interests.push((holder.pidfd.as_fd(), Readiness::READ));
                sources.push(Source::Holder(id));
            }
        }
        if let Some(watch) = &self.paths.watch {
            interests.push((watch.as_fd(), Readiness::READ));
            sources.push(Source::Other);
        }
        if let Some(place) = &self.place {
            interests.push((place.listener.as_fd(), Readiness::READ));
            sources.push(Source::Accept);
        }
        for client in &self.clients {
            interests.push(client.interest());
            sources.push(Source::Clients);
        }
        if let Some(interest) = self.probe.as_ref().and_then(crate::probe::Probe::interest) {
            interests.push(interest);
            sources.push(Source::Other);
        }
        for interest in self.carries.iter().flat_map(crate::carry::Carry::interests) {
            interests.push(interest);
            sources.push(Source::Other);
        }
        for hook in &self.hooks {
            if let HookKind::Http(exchange) = &hook.kind {
                interests.push((exchange.as_fd(), exchange.interest()));
                sources.push(Source::Other);
            }
        }
        let ready = match poll(&interests, self.timeout()) {
            Ok(ready) => ready,
            Err(error) => {
                // Out of memory or descriptors: a pause, so that it does not become a busy loop.
                self.note_once(format!("cannot wait for events: {error}"));
                drop(poll(&[], Some(Duration::from_millis(10))));
                return vec![Source::Signals];
            }
        };
        let mut found: Vec<Source> = Vec::new();
        let mut gone = Vec::new();
        for (source, ready) in sources.into_iter().zip(ready) {
            if let Source::Call(generation) = source
                && ready.hung_up
                && !ready.readable
            {
                gone.push(generation);
            } else if ready.readable || ready.writable || ready.hung_up {
                found.push(source);
            }
        }
        for generation in gone {
            // Every process under this filter has ended.
            if let Some(running) = self.running.get_mut(&generation) {
                running.listener = None;
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn timeout(&self) -> Option<Duration> {
        let now = clock::now();
        let hooks = self.hooks.iter().map(|hook| hook.deadline);
        let queues = self.queue_watches.iter().map(|watch| watch.next);
        let owed = self.owed_watches.iter().map(|watch| watch.next);
        let probe = self.probe.as_ref().map(|probe| probe.next);
        let lots = self.lots.iter().map(|lot| lot.next);
        let carries = (!self.lingering.is_empty() || !self.carries.is_empty()).then(|| now + Duration::from_millis(20));
        let unserved = self.unserved_until.filter(|_| self.groups.of(crate::groups::HELD).next().is_some());
        let look = self.needs_looks().then_some(self.next_look);
        let next = self
            .switch
            .poll_timeout()
            .into_iter()
            .chain(hooks)
            .chain(queues)
            .chain(owed)
            .chain(lots)
            .chain(carries)
            .chain(probe)
            .chain(self.looks.next())
            .chain(unserved)
            .chain(look)
            .chain(self.next_comparison())
            .chain(self.next_path_look())
            .chain(self.next_unready())
            .chain(self.next_rest())
            .min();
        // Rounded up to a millisecond: waking just before the moment would only turn the loop.
        next.map(|at| if at <= now { Duration::ZERO } else { (at - now).max(Duration::from_micros(200)) })
    }

    fn needs_looks(&self) -> bool {
        // A plain init has nothing to look after but the cause of an end, for a hook that wants to know it.
        (self.options.sockets != Sockets::Off || self.options.post_stop.is_some())
            && self.running.values().any(crate::running::Running::is_alive)
    }

    /// Now and then: duplicates that nobody holds any more, and the memory cgroup that a program may have moved to.
    pub(crate) fn look_around(&mut self) {
        let now = clock::now();
        if now < self.next_look || !self.needs_looks() {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        let generations: Vec<Generation> =
            self.running.values().filter(|r| r.is_alive()).map(|r| r.generation).collect();
        for generation in generations {
            if self.groups.waiting(generation) > 0 || self.paths.is_waited_for(generation) {
                self.look_for_unheld(generation);
            }
            if let Some(running) = self.running.get_mut(&generation) {
                running.look_at_memory();
            }
        }
    }

    fn relay(&mut self, generation: Generation, at: usize) {
        let Some(running) = self.running.get_mut(&generation) else { return };
        if let Some(relay) = running.relays.get_mut(at) {
            relay.advance(&mut running.tail);
        }
        if running.relays.iter().all(|relay| !relay.is_open()) {
            running.relays.clear();
        }
    }

    fn on_signals(&mut self) {
        let mut children = false;
        while let Ok(Some(received)) = self.signals.read() {
            if received.signal == Signal::CHLD {
                children = true;
            } else {
                self.on_signal(received);
            }
        }
        if children {
            self.reap();
        }
    }

    fn on_signal(&mut self, Received { signal: received, from_kernel }: Received) {
        let main =
            self.switch.serving().and_then(|serving| self.running.get(&serving)).map_or(0, |running| running.main);
        if let Some(terminal) = &self.terminal {
            let typed = [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH].contains(&received);
            if from_kernel && typed {
                if !terminal.is_shared() {
                    terminal.pass_on(main, received);
                }
                return;
            }
            if received == Signal::CONT && !terminal.is_shared() {
                terminal.continued(main);
                return;
            }
        }
        let rewritten = self.options.rewrite.iter().find(|(from, _)| *from == received).map(|(_, to)| *to);
        let signal = rewritten.unwrap_or(received);
        // The signal that stops the program stops us too: an image's STOPSIGNAL is sent to PID 1.
        let stop_signal = self.options.stop_signal;
        let asks = |signal: Signal| [Signal::TERM, Signal::INT].contains(&signal) || stop_signal == Some(signal);
        if asks(received) || asks(signal) {
            self.stop(stop_signal.unwrap_or(signal));
        } else if signal == Signal::HUP && self.reloads_at_hangup() {
            self.ask_reload(crate::launch::Change::default());
        } else if ![Signal::PIPE, Signal::TTIN, Signal::TTOU].contains(&signal) {
            self.forward(signal);
        }
    }

    /// A terminal's end and a plain init's SIGHUP are the program's affair.
    fn reloads_at_hangup(&self) -> bool {
        self.terminal.is_none() && self.options.sockets != Sockets::Off
    }

    fn forward(&mut self, signal: Signal) {
        let target = self.switch.serving().and_then(|serving| self.running.get(&serving));
        let failed = target.and_then(|running| running.signal_main(signal).err());
        // One that has just ended misses nothing.
        if let Some(error) = failed.filter(|error| error.raw_os_error() != Some(ESRCH)) {
            self.note(format!("cannot forward {signal}: {error}"));
        }
    }

    fn hear_notify(&mut self, generation: Generation) {
        let mut buffer = vec![0; notify::LONGEST + 1];
        loop {
            let Some(socket) = self.running.get(&generation).and_then(|running| running.notify.as_ref()) else {
                return;
            };
            let Ok(length) = socket.recv(&mut buffer) else { return };
            let Ok(message) = notify::parse(buffer.get(..length).unwrap_or_default()) else { continue };
            self.take_notice(generation, &message);
        }
    }

    fn take_notice(&mut self, generation: Generation, message: &notify::Message) {
        if message.ready() {
            if let Some(running) = self.running.get_mut(&generation) {
                running.said_ready = true;
                running.drains_itself = message.drains_itself();
                self.says_ready = Some(running.spec.command.clone());
            }
            self.check_ready(generation);
        }
        if self.switch.serving() == Some(generation) {
            for line in message.lines_to_pass_on() {
                self.upstream.pass_on(&line);
            }
        }
    }

    /// Lets the machine know that time has passed, if it wants to.
    pub(crate) fn keep_time(&mut self) {
        if self.switch.poll_timeout().is_some_and(|at| clock::now() >= at) {
            self.tell(Event::Timeout);
        }
    }
}
