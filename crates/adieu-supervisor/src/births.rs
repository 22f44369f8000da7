//! Starting a generation, and hearing what becomes of it.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;
use adieu_core::switch::{self, Event, Generation};
use adieu_core::wire;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::seccomp::{Listener, Watch};
use adieu_linux::spawn::{Program, Report};
use adieu_linux::wait::Change;
use adieu_linux::{clock, fdpass, process, tty};

use crate::keeper::{self, Message};
use crate::launch::{self, LaunchError};
use crate::options::Sockets;
use crate::relay::{self, Relay, Tail};
use crate::running::{Reach, Root, Running};
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Starts a generation. What fails is told as the end of its main process.
    pub(crate) fn spawn(&mut self, generation: Generation, request: Option<switch::Request>) {
        self.launch_failure = None;
        self.childless = false;
        match self.try_spawn(generation, request) {
            Ok(()) => {}
            Err(error) => {
                let code = error.exit_code();
                self.note(format!("generation {generation} cannot start: {error}"));
                self.launch_failure = Some(error.to_string());
                if generation == 1 {
                    self.launch_code = Some(code);
                }
                self.tell(Event::MainExited(generation, Outcome::Exited(code)));
                self.tell(Event::TreeGone(generation));
            }
        }
    }

    fn try_spawn(&mut self, generation: Generation, request: Option<switch::Request>) -> Result<(), StartError> {
        let spec = self.spec_for(request);
        let direct = self.options.sockets == Sockets::Off;
        // Asked first, as the program is told.
        let may_duplicate = !direct && self.may_duplicate();
        let mut extra = self.facts(generation);
        let notify = self.notify_socket(generation, &mut extra);
        let (pass, variables) = self.passed(generation).map_err(StartError::Listen)?;
        extra.extend(variables);
        let resolved = launch::resolve(&spec, self.directory.as_deref(), &extra)?;
        let directory = self
            .directory
            .as_ref()
            .and_then(|path| std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).ok());
        // Only what a reload starts is relayed: its last words explain a failure.
        let (outputs, relays) = if request.is_some() { self.relays()? } else { Default::default() };
        let [output, error_output] = outputs;
        let (channel, reports) = if direct { (None, None) } else { fdpass::pair().map(|(a, b)| (Some(a), Some(b)))? };
        let watch = Watch { options: !may_duplicate, connects: self.alone_at_paths };
        let watch = (self.options.sockets == Sockets::Auto).then_some(watch);
        let program = Program {
            path: resolved.path,
            arguments: resolved.arguments,
            environment: resolved.environment,
            directory,
            own_group: !self.terminal.as_ref().is_some_and(crate::terminal::Terminal::is_shared),
            terminal: self
                .terminal
                .as_ref()
                .filter(|_| self.switch.serving() == Some(generation))
                .and_then(crate::terminal::Terminal::duplicate),
            keep_ignoring: self.ignored_hangup.then_some(Signal::HUP),
            death_signal: direct.then_some(Signal::KILL),
            watch,
            input: None,
            output,
            error_output,
            pass,
            reports,
        };
        let mut running = Running {
            generation,
            request,
            starts_again: false,
            spec,
            root: Root::Direct,
            channel,
            main: 0,
            reach: Reach::NotYet,
            keeps_stops: direct && self.terminal.is_none(),
            outcome: None,
            started: clock::now(),
            listener: None,
            unseen: false,
            loose: std::collections::HashSet::new(),
            next_comparison: clock::now() + std::time::Duration::from_secs(1),
            notify,
            said_ready: false,
            said_unready: false,
            drains_itself: false,
            relays,
            tail: Tail::default(),
            options: std::collections::HashMap::new(),
            waiting_listens: Vec::new(),
            // Its own cgroup is looked at while it lives; until then it is ours. Under a plain init, where only a line of
            // the log depends on it, not before it has lived for a moment: reading costs as much as starting it.
            oom: if direct && self.options.post_stop.is_none() { None } else { process::oom_kills(process::own_pid()) },
            not_executed: None,
            early: std::cell::RefCell::default(),
        };
        let mut failure = None;
        if direct {
            let main;
            (main, failure) = program.spawn()?;
            (running.main, running.reach) = (main, Reach::Child);
            if let Some(terminal) = &self.terminal {
                terminal.started(main);
            }
        } else {
            running.root = Root::Keeper(keeper::start(
                &program,
                self.options.stop_signal.unwrap_or(Signal::TERM),
                self.options.grace,
            )?);
        }
        self.running.insert(generation, running);
        self.rest_soon();
        self.begin_probing(generation);
        if direct {
            // What went wrong on the way is known by now; its end must not be heard first.
            if let Some(report) = failure {
                self.child_reported(generation, report, None);
            }
            self.check_ready(generation);
        }
        Ok(())
    }

    /// What every process that we start for a generation is told.
    pub(crate) fn facts(&self, generation: Generation) -> Vec<(OsString, OsString)> {
        let grace = self.options.grace.as_millis();
        let parks = if self.may_duplicate == Some(true) { "yes" } else { "no" };
        [
            ("ADIEU_NAME", self.name.clone()),
            ("ADIEU_GENERATION", generation.to_string()),
            ("ADIEU_GRACE", format!("{grace}ms")),
            (wire::PARKS, parks.to_owned()),
        ]
        .map(|(key, value)| (OsString::from(key), OsString::from(value)))
        .to_vec()
    }

    fn notify_socket(&self, generation: Generation, extra: &mut Vec<(OsString, OsString)>) -> Option<UnixDatagram> {
        use std::os::linux::net::SocketAddrExt;
        if self.options.sockets == Sockets::Off && self.options.ready != crate::options::ReadyWhen::Notify {
            return None;
        }
        let name = format!("adieu-notify/{}/{generation}", process::own_pid());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).ok()?;
        let socket = UnixDatagram::bind_addr(&address).ok()?;
        socket.set_nonblocking(true).ok()?;
        extra.push(("NOTIFY_SOCKET".into(), format!("@{name}").into()));
        Some(socket)
    }

    fn relays(&self) -> std::io::Result<([Option<std::os::fd::OwnedFd>; 2], Vec<Relay>)> {
        let mut outputs = [None, None];
        let mut relays = Vec::new();
        let standard =
            [(tty::is_terminal(std::io::stdout().as_fd()), false), (tty::is_terminal(std::io::stderr().as_fd()), true)];
        for (output, (is_terminal, is_error)) in outputs.iter_mut().zip(standard) {
            if !is_terminal {
                let (reader, writer) = relay::pipe()?;
                relays.push(Relay::new(reader, is_error)?);
                *output = Some(writer);
            }
        }
        Ok((outputs, relays))
    }

    /// Whether `pidfd_getfd` works on our own children here: a default container refuses it.
    fn may_duplicate(&mut self) -> bool {
        *self.may_duplicate.get_or_insert_with(|| {
            // A child that does nothing but wait is enough to ask for.
            let Ok((ours, theirs)) = fdpass::pair() else { return false };
            match adieu_linux::spawn::fork() {
                Ok(adieu_linux::spawn::Fork::Child) => {
                    drop(ours);
                    drop(adieu_linux::poll::poll(&[(theirs.as_fd(), adieu_linux::poll::Readiness::READ)], None));
                    adieu_linux::spawn::exit_now(0)
                }
                Ok(adieu_linux::spawn::Fork::Parent(child)) => {
                    Pidfd::open(child).and_then(|child| child.get_fd(2)).is_ok()
                }
                Err(_) => false,
            }
        })
    }

    /// Reads what keepers and starting programs say.
    pub(crate) fn hear_keeper(&mut self, generation: Generation) {
        loop {
            let Some(channel) = self.running.get(&generation).and_then(|running| running.channel.as_ref()) else {
                return;
            };
            let Some((message, descriptor)) = keeper::receive(channel.as_fd()) else { return };
            match message {
                Message::Started(main) => self.main_started(generation, main),
                Message::NotStarted(errno) => {
                    self.note(format!(
                        "generation {generation} cannot start: {}",
                        std::io::Error::from_raw_os_error(errno)
                    ));
                    self.main_changed(generation, Change::Exited(125));
                }
                Message::Child(report) => self.child_reported(generation, report, descriptor),
                Message::Main(change) => self.main_changed(generation, change),
                Message::Empty => {
                    self.stop_listening_to(generation);
                    self.tree_gone(generation);
                    return;
                }
                Message::Gone => {
                    self.stop_listening_to(generation);
                    if self.running.get(&generation).is_some_and(|running| running.root != Root::Direct) {
                        self.keeper_lost(generation);
                    }
                    return;
                }
            }
        }
    }

    fn stop_listening_to(&mut self, generation: Generation) {
        if let Some(running) = self.running.get_mut(&generation) {
            running.channel = None;
        }
    }

    fn main_started(&mut self, generation: Generation, main: i32) {
        if let Some(running) = self.running.get_mut(&generation) {
            running.main = main;
            running.reach = Pidfd::open(main).map_or(Reach::NotYet, Reach::Pidfd);
            running.send_early();
            running.look_at_memory();
        }
        if let Some(terminal) = &self.terminal {
            terminal.started(main);
        }
        self.check_ready(generation);
    }

    /// Somebody killed the keeper: its generation's processes are our own children now.
    pub(crate) fn keeper_lost(&mut self, generation: Generation) {
        let Some(running) = self.running.get_mut(&generation) else { return };
        let Root::Keeper(_) = running.root else { return self.check_tree(generation) };
        running.root = Root::Direct;
        let unknown = running.main == 0;
        self.note(format!("the keeper of generation {generation} was killed; its processes are looked after directly"));
        // It may not have had the time to say which process it has started: the first one, whose parent we are now.
        let own = process::own_pid();
        let ours = |pid: &i32| process::stat(*pid).ok().filter(|stat| stat.ppid == own);
        let first = self.members(generation).iter().filter_map(ours).min_by_key(|stat| stat.start_time);
        if let Some(first) = first.filter(|_| unknown) {
            self.main_started(generation, first.pid);
        }
        self.check_tree(generation);
    }

    fn child_reported(&mut self, generation: Generation, report: Report, descriptor: Option<std::os::fd::OwnedFd>) {
        let Some(running) = self.running.get_mut(&generation) else { return };
        match report {
            Report::Watching(no_new_privs) => {
                running.listener = descriptor.map(Listener::new);
                if no_new_privs {
                    self.quiet_note_once(
                        "no_new_privs is set, as adieu lacks CAP_SYS_ADMIN: setuid programs and file capabilities do not work \
                         below it (--sockets pass or off avoids it)",
                    );
                }
            }
            Report::WatchRefused(errno) => {
                running.unseen = true;
                running.next_comparison = clock::now();
                let error = std::io::Error::from_raw_os_error(errno);
                let why = match error.raw_os_error() {
                    Some(16) => "another seccomp listener is there already, as under an outer `adieu run`".to_owned(),
                    _ => error.to_string(),
                };
                self.note_once(format!(
                    "cannot watch the program's sockets ({why}): reloads are not seamless unless it takes its sockets from --listen"
                ));
                self.check_ready(generation);
            }
            Report::ExecFailed(errno) | Report::DirectoryFailed(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                let why = match report {
                    Report::DirectoryFailed(_) => format!("the working directory cannot be entered: {error}"),
                    _ => format!("it cannot be executed: {error}"),
                };
                running.not_executed = Some(why.clone());
                self.note(format!("generation {generation}: {why}"));
            }
        }
    }
}

/// Why a generation cannot be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("cannot listen: {0}")]
    Listen(std::io::Error),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    fn exit_code(&self) -> i32 {
        match self {
            Self::Launch(error) => error.exit_code(),
            Self::Listen(_) | Self::System(_) => adieu_core::outcome::code::RUN_FAILED,
        }
    }
}
