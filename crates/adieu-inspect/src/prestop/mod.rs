//! Waiting until the traffic of a server in this network namespace has gone; the judgement is [`adieu_core::prestop`].

mod kernel;
mod table;

use std::fmt;
use std::io;

use adieu_core::Timestamp;
use adieu_core::prestop::{Action, Config, Event, Look, Observation, Prestop, Summary};
use adieu_linux::clock;
use serde::Serialize;

use self::kernel::Kernel;
use self::table::Table;

/// Nobody listens on any of the ports, and nobody is connected to one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nobody listens on port {}", list(.0))]
pub struct Nobody(Vec<u16>);

/// By what the traffic is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// The kernel lists connections with what each has received, and tells when one ends.
    Netlink,
    /// It lists them, but does not tell when one ends: short ones are only counted, of all ports together.
    NetlinkWithoutEnds,
    /// Netlink is refused: tables without counters. Any segment that comes in keeps open connections in use.
    Tables,
    /// Nothing can be seen: the budget is waited for.
    Nothing,
}

/// What can be seen, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// By what.
    pub sight: Sight,
    /// Why it is not netlink with ends.
    pub why: Option<String>,
    /// Ports that nobody listens on, beside others.
    pub unused: Vec<u16>,
}

/// Waits until the traffic of the servers on these ports has gone, or the budget is spent. `look_out` is told at the beginning
/// what can be seen, `tell` what is seen.
///
/// Blocks for `config.budget` at most, and some milliseconds.
///
/// # Errors
/// [`Nobody`], at once.
pub fn wait(
    ports: &[u16],
    config: Config,
    look_out: impl FnOnce(&Outlook),
    mut tell: impl FnMut(&Observation),
) -> Result<Summary, Nobody> {
    let (mut view, outlook) = View::open(ports);
    if outlook.unused.len() == ports.len() {
        return Err(Nobody(outlook.unused));
    }
    look_out(&outlook);
    let mut machine = Prestop::new(clock::now(), config);
    loop {
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Tell(observation) => tell(&observation),
                Action::Return(summary) => return Ok(*summary),
                Action::Look { complete } => {
                    let event = view.look(complete).map_or(Event::Blind, Event::Looked);
                    machine.handle(clock::now(), event);
                }
            }
        }
        if let Some(next) = machine.poll_timeout() {
            view.wait(next);
        }
        machine.handle_timeout(clock::now());
    }
}

enum View {
    Kernel(Box<Kernel>),
    Table(Table),
    Nothing,
}

impl View {
    fn open(ports: &[u16]) -> (Self, Outlook) {
        let refused = match Kernel::open(ports) {
            Ok((kernel, unused)) => {
                let why = kernel.no_ends().map(|error| format!("the ends of connections are not told: {error}"));
                let sight = if why.is_some() { Sight::NetlinkWithoutEnds } else { Sight::Netlink };
                return (Self::Kernel(Box::new(kernel)), Outlook { sight, why, unused });
            }
            Err(error) => format!("netlink is refused: {error}"),
        };
        match Table::open(ports) {
            Ok((table, unused)) => (Self::Table(table), Outlook { sight: Sight::Tables, why: Some(refused), unused }),
            Err(error) => {
                let why = Some(format!("{refused}; /proc/net/tcp cannot be read: {error}"));
                (Self::Nothing, Outlook { sight: Sight::Nothing, why, unused: Vec::new() })
            }
        }
    }

    fn look(&mut self, complete: bool) -> io::Result<Look> {
        match self {
            Self::Kernel(kernel) => kernel.look(complete),
            Self::Table(table) => table.look(),
            Self::Nothing => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Returns when it is time, or somewhat before.
    fn wait(&mut self, until: Timestamp) {
        match self {
            Self::Kernel(kernel) => kernel.wait(until),
            Self::Table(_) | Self::Nothing => std::thread::sleep(kernel::left(until)),
        }
    }
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.sight {
            Sight::Netlink => "every connection is seen",
            Sight::NetlinkWithoutEnds => "short connections are counted, but not seen",
            Sight::Tables => "connections are seen, but not what is received on them: any segment counts as traffic",
            Sight::Nothing => "nothing can be seen: waiting for the budget",
        };
        write!(f, "{how}")?;
        if let Some(why) = &self.why {
            write!(f, " ({why})")?;
        }
        if !self.unused.is_empty() {
            write!(f, "; nobody listens on port {}", list(&self.unused))?;
        }
        Ok(())
    }
}
