//! The commands that talk to an instance, and what it answers.

use std::io;
use std::process::Command;

use adieu_core::wire::Status;
use rustix::process::Pid;
use serde_json::Value;

use super::crowd::generation;
use super::{ADIEU, Begun, Instance, Told, get, until};

impl Instance {
    /// The name that it was given.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().expect("who is to be asked has a name")
    }

    /// The body of an answer of its program.
    pub(crate) fn get(&self, path: &str) -> io::Result<String> {
        get(self.port(), path)
    }

    /// The generation that answers a fresh connection.
    pub(crate) fn answers(&self) -> u64 {
        let answer = self.get("/").unwrap_or_else(|error| panic!("{error}\n{}", self.account()));
        generation(&answer).unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// `adieu WORDS`.
    pub(crate) fn command<W: AsRef<str>>(&self, words: &[W]) -> Command {
        let mut command = self.scene.command(&[ADIEU]);
        command.args(words.iter().map(AsRef::as_ref));
        command
    }

    /// Starts `adieu WORDS`.
    pub(crate) fn begin<W: AsRef<str>>(&self, words: &[W]) -> Begun {
        Begun::new(&mut self.command(words))
    }

    /// Starts `adieu reload NAME WORDS`.
    pub(crate) fn begin_reload(&self, words: &[&str]) -> Begun {
        self.begin(&[&["reload", self.name()], words].concat())
    }

    /// Runs `adieu reload NAME WORDS` to its end.
    pub(crate) fn reload(&self, words: &[&str]) -> Told {
        self.begin_reload(words).end()
    }

    /// A reload that must go well.
    pub(crate) fn must_reload(&self, words: &[&str]) -> Told {
        let told = self.reload(words);
        assert!(told.is_fine(), "{told:?}\n{}", self.account());
        told
    }

    /// Replaces the program and waits until the old one is gone.
    pub(crate) fn replace(&self) {
        self.must_reload(&["--wait", "drained"]);
    }

    /// As [`Self::replace`], by another program.
    pub(crate) fn replace_by<W: AsRef<str>>(&self, program: &[W]) {
        let words = ["--wait", "drained", "--"].into_iter().chain(program.iter().map(AsRef::as_ref));
        self.must_reload(&words.collect::<Vec<_>>());
    }

    /// Asks for a reload that must fail and leave the old generation serving.
    pub(crate) fn fails_to_reload(&self, words: &[&str]) -> Told {
        let told = self.reload(words);
        assert_eq!(told.code, 7, "{told:?}\n{}", self.account());
        told
    }

    /// Runs `adieu stop NAME` to its end.
    pub(crate) fn stop(&self) -> Told {
        self.begin(&["stop", self.name()]).end()
    }

    /// Stops it as a user does, who is told that it went well; nothing is left of it then.
    pub(crate) fn end(mut self) {
        let told = self.stop();
        assert!(told.is_fine(), "{told:?}\n{}", self.output());
        self.wait();
        self.scene.nobody_is_left();
    }

    /// What `adieu status` says.
    pub(crate) fn status(&self) -> Status {
        self.status_if_up().unwrap_or_else(|| panic!("no status:\n{}", self.output()))
    }

    /// `None` as long as there is nobody to ask.
    pub(crate) fn status_if_up(&self) -> Option<Status> {
        serde_json::from_value(self.ask_status()?).ok()
    }

    /// The same as its users read it.
    pub(crate) fn status_json(&self) -> Value {
        self.ask_status().unwrap_or_else(|| panic!("no status:\n{}", self.output()))
    }

    fn ask_status(&self) -> Option<Value> {
        let told = self.begin(&["status", self.name(), "--json"]).end();
        told.is_fine().then(|| told.json())
    }

    /// What `adieu status --json` shows of one generation.
    pub(crate) fn generation(&self, number: u64) -> Option<Value> {
        let all = self.ask_status()?["generations"].as_array().expect("a list").clone();
        all.into_iter().find(|generation| generation["generation"] == number)
    }

    /// Whether a generation is there and this holds for it.
    pub(crate) fn shows(&self, number: u64, holds: impl FnOnce(&Value) -> bool) -> bool {
        self.generation(number).is_some_and(|generation| holds(&generation))
    }

    /// Waits until that generation is in that phase.
    pub(crate) fn wait_for_phase(&self, number: u64, phase: &str) {
        until(&format!("generation {number} is {phase}"), || self.shows(number, |it| it["phase"] == phase));
    }

    /// The pid of a generation's main process.
    pub(crate) fn main(&self, number: u64) -> Pid {
        let generation =
            self.generation(number).unwrap_or_else(|| panic!("no generation {number}\n{}", self.account()));
        let pid = generation["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.unwrap_or_else(|| panic!("{generation}"))
    }

    /// What happened, one entry per line.
    pub(crate) fn timeline(&self) -> String {
        self.begin(&["timeline", self.name()]).end().said()
    }

    /// Everything that explains a failure.
    pub(crate) fn account(&self) -> String {
        format!("--- timeline ---\n{}--- output ---\n{}", self.timeline(), self.output())
    }
}
