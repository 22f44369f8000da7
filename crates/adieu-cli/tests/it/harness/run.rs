//! How `adieu run` is started.

use rustix::process::Signal;

use super::scene::AS_PID_1;
use super::{ADIEU, Instance, Scene, Server, until};

/// `FRONT adieu run --name NAME OPTIONS -- PROGRAM`, with `PORT` in its environment, the scene's.
#[derive(Debug, Clone)]
#[must_use = "nothing runs before it is started"]
pub(crate) struct Run {
    scene: Scene,
    front: Vec<String>,
    name: Option<String>,
    options: Vec<[String; 2]>,
    environment: Vec<(String, String)>,
    program: Vec<String>,
}

impl Run {
    pub(super) fn new(scene: Scene) -> Self {
        Self { scene, front: vec![], name: None, options: vec![], environment: vec![], program: vec![] }
    }

    /// What stands before `adieu` on the command line: `setpriv` and its like.
    pub(crate) fn front<W: AsRef<str>>(mut self, words: &[W]) -> Self {
        self.front = owned(words);
        self
    }

    /// The name of the instance. Who wants to ask it something has to give it one.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Options, each with its value. An option may be given once: one that an earlier call has set is set anew.
    pub(crate) fn options<W: AsRef<str>>(mut self, words: &[W]) -> Self {
        let owned = owned(words);
        let (new, rest) = owned.as_chunks();
        assert!(rest.is_empty(), "{rest:?} has no value");
        self.options.retain(|[name, _]| new.iter().all(|[again, _]| again != name));
        self.options.extend_from_slice(new);
        self
    }

    /// A variable for adieu and its program.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The program and its arguments, instead of those before.
    pub(crate) fn program<W: AsRef<str>>(mut self, words: &[W]) -> Self {
        self.program = owned(words);
        self
    }

    /// More arguments for the program.
    pub(crate) fn arguments<W: AsRef<str>>(mut self, words: &[W]) -> Self {
        self.program.extend(owned(words));
        self
    }

    /// One of the ordinary servers, ended as its documentation asks for, and the instance named as it is.
    pub(crate) fn server(self, server: Server) -> Self {
        let words = server.words(self.scene.port(), self.scene.directory());
        let quits: &[&str] = if server.graceful == Signal::QUIT { &["--stop-signal", "QUIT"] } else { &[] };
        self.name(server.name).options(quits).program(&words)
    }

    /// The whole command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let name = self.name.iter().flat_map(|name| ["--name", name]);
        let adieu = [ADIEU, "run"].into_iter().chain(name).map(str::to_owned);
        let front = self.front.iter().cloned().chain(adieu).chain(self.options.iter().flatten().cloned());
        front.chain(["--".to_owned()]).chain(self.program.iter().cloned()).collect()
    }

    /// Starts it and waits for nothing.
    pub(crate) fn start(self) -> Instance {
        let mut command = self.scene.command(&self.words());
        command.env("PORT", self.scene.port().to_string());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.scene.begin("adieu", &command, self.name.clone())
    }

    /// Starts it as PID 1 of a namespace of its own.
    pub(crate) fn start_as_pid1(mut self) -> Instance {
        self.front.splice(0..0, AS_PID_1.map(str::to_owned));
        self.start().in_namespace()
    }

    /// Starts it and waits until it can be asked.
    pub(crate) fn up(self) -> Instance {
        let instance = self.start();
        until("it can be asked", || instance.status_if_up().is_some());
        instance
    }

    /// Starts it and waits until its program answers.
    pub(crate) fn serving(self) -> Instance {
        self.serving_at("/")
    }

    /// As [`Self::serving`], asked for this path.
    pub(crate) fn serving_at(self, path: &str) -> Instance {
        let mut instance = self.start();
        instance.wait_until_it_answers(path);
        instance
    }
}

fn owned<W: AsRef<str>>(words: &[W]) -> Vec<String> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}
