//! Shell commands that run beside a generation: hooks and probes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_core::switch::Generation;
use adieu_linux::spawn::Program;

use super::Processes;
use super::launch::{self, Spec};
use crate::view::View;

/// Runs commands beside one generation, with its environment.
#[derive(Debug)]
pub(crate) struct Shell<'a> {
    processes: &'a mut Processes,
    environment: BTreeMap<OsString, Option<OsString>>,
    facts: Vec<(OsString, OsString)>,
}

impl Processes {
    /// Lends what a part needs to run commands beside `generation`.
    pub(crate) fn shell(&mut self, view: &View<'_>, generation: Generation) -> Shell<'_> {
        let environment = self.trees.get(&generation).map(|tree| tree.spec.environment.clone());
        Shell { facts: self.facts(view, generation), environment: environment.unwrap_or_default(), processes: self }
    }
}

impl Shell<'_> {
    /// Starts `command` in a process group of its own, with `facts` in its environment and `input` as its standard input;
    /// returns its pid. Its end is heard of as [`Role::Command`](super::Role::Command).
    pub(crate) fn run(&mut self, command: &str, facts: &[(&str, String)], input: Option<&str>) -> io::Result<Pid> {
        let mut extra = self.facts.clone();
        extra.extend(facts.iter().map(|(key, value)| (OsString::from(key), OsString::from(value))));
        let spec = Spec {
            command: ["/bin/sh", "-c", command].map(OsString::from).to_vec(),
            environment: self.environment.clone(),
        };
        let directory = self.processes.directory.as_deref();
        let resolved = launch::resolve(&spec, directory, &extra).map_err(io::Error::other)?;
        // What a command reads is short: it fits the pipe, so writing it does not wait.
        let (reader, writer) = io::pipe()?;
        let mut writer = std::fs::File::from(OwnedFd::from(writer));
        writer.write_all(input.unwrap_or_default().as_bytes())?;
        drop(writer);
        let program = Program {
            path: resolved.path,
            arguments: resolved.arguments,
            environment: resolved.environment,
            directory: None,
            own_group: true,
            terminal: None,
            keep_ignoring: None,
            death_signal: Some(Signal::KILL),
            watch: None,
            input: Some(reader.into()),
            output: None,
            error_output: None,
            pass: Vec::new(),
            reports: None,
        };
        let (pid, _failure) = program.spawn()?;
        self.processes.childless = false;
        self.processes.commands.insert(pid);
        Ok(pid)
    }
}
