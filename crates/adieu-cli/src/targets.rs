//! What `adieu stop` and `adieu doctor` can be told to look at, and what they say when it is not there.

use std::path::PathBuf;

use adieu_core::ids::Pid;
use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_inspect::select::{SelectError, Selection};
use clap::Args;

use crate::out::complain;
use crate::{ask, instance};

/// What `adieu stop` and `adieu doctor` can be told to look at.
#[derive(Debug, Clone, Args)]
pub(crate) struct Targets {
    /// A pid, or the name of an `adieu run` instance: NAME or @NAME (repeatable)
    #[arg(value_name = "TARGET")]
    target: Vec<String>,
    /// The process that listens on this TCP port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Processes that run this program
    #[arg(long, value_name = "NAME")]
    exe: Option<String>,
    /// Processes with this text in their arguments
    #[arg(long = "match", value_name = "TEXT")]
    text: Option<String>,
    /// Processes in this cgroup
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
}

impl Targets {
    /// The instances among the targets.
    pub(crate) fn instances(&self) -> Vec<String> {
        let named = self.target.iter().filter(|text| !is_pid(text));
        named
            .map(|text| match instance::name(text) {
                Ok(name) => name,
            })
            .collect()
    }

    /// Everything else; `None` when there is nothing else.
    pub(crate) fn outside(&self) -> Result<Option<Selection>, String> {
        let pid = |text: &String| text.parse::<Pid>().map_err(|_| format!("{text} is no pid"));
        let pids = self.target.iter().filter(|text| is_pid(text)).map(pid).collect::<Result<Vec<Pid>, String>>()?;
        let selection = Selection {
            pids,
            port: self.port,
            exe: self.exe.clone(),
            text: self.text.clone(),
            cgroup: self.cgroup.clone(),
        };
        Ok((selection.searches() || !selection.pids.is_empty()).then_some(selection))
    }

    /// All of it; instances by the pid of their program.
    pub(crate) fn selection(&self) -> Result<Selection, i32> {
        let usage = |message: String| {
            complain(&message);
            code::USAGE
        };
        let mut selection = self.outside().map_err(usage)?.unwrap_or_default();
        for name in self.instances() {
            selection.pids.push(ask::main_pid(&name)?);
        }
        if selection.pids.is_empty() && !selection.searches() {
            return Err(nothing_named());
        }
        Ok(selection)
    }
}

fn is_pid(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Says that a target is missing.
pub(crate) fn nothing_named() -> i32 {
    complain(&"name a target: a pid, an instance, --port, --exe, --match or --cgroup");
    code::USAGE
}

/// A signal by name or number.
pub(crate) fn parse_signal(text: &str) -> Result<Signal, String> {
    text.parse::<Signal>().map_err(|error| error.to_string())
}

/// The exit code for a selection that failed.
pub(crate) fn failed(error: &SelectError) -> i32 {
    complain(error);
    match error {
        SelectError::PortHidden(..) => code::NOT_PERMITTED,
        SelectError::System(_) => code::FINDING,
        SelectError::NoTarget(_) | SelectError::PortFree(_) | SelectError::NoCgroup(..) | SelectError::Nothing => {
            code::NO_TARGET
        }
    }
}
