//! A terminal with a shell on it, and somebody at the keyboard.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::proc::{command_line, descendants, stat};
use super::{PATIENCE, Scene, come, until};

pub(crate) const INTERRUPT: &str = "\x03";

/// An interactive bash on a terminal of its own.
pub(crate) struct Terminal {
    bash: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// How much of the screen has been read.
    seen: usize,
}

impl Terminal {
    pub(crate) fn open(scene: &Scene) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("there are terminals");
        grantpt(&master).expect("a fresh terminal is ours");
        unlockpt(&master).expect("a fresh terminal can be opened");
        let name = ptsname(&master, Vec::new()).expect("a terminal has a name");
        let side =
            File::options().read(true).write(true).open(name.to_str().expect("ASCII")).expect("it can be opened");
        let copy = || side.try_clone().expect("a descriptor can be duplicated");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "setsid", "--ctty", "bash", "--norc", "--noprofile", "--noediting", "-i"]);
        command.env("ADIEU_RUNTIME_DIR", scene.directory()).env("PS1", "> ").current_dir(scene.directory());
        command.env_remove("PROMPT_COMMAND").env("HOME", scene.directory());
        let bash = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().expect("bash can be started");
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().expect("a descriptor can be duplicated");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                shown.lock().expect("nobody panics with it").push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        let mut terminal = Self { bash, keyboard, screen, seen: 0 };
        terminal.see("> ");
        terminal
    }

    pub(crate) fn type_(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    pub(crate) fn screen(&self) -> String {
        self.screen.lock().expect("nobody panics with it").clone()
    }

    /// Waits until the screen shows this, after what was seen before; returns what came until then.
    pub(crate) fn see(&mut self, text: &str) -> String {
        let began = std::time::Instant::now();
        loop {
            let screen = self.screen();
            if let Some(at) = screen[self.seen..].find(text) {
                let before = screen[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return before;
            }
            assert!(began.elapsed() < PATIENCE, "never seen: {text:?}; the screen:\n{screen}");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Enters a command line that runs until something is typed.
    pub(crate) fn enter(&mut self, line: &str) {
        self.type_(&format!("{line}\n"));
        // As the terminal echoes it.
        self.see(&format!("{line}\r\n"));
    }

    /// The exit status that bash saw.
    pub(crate) fn status(&mut self) -> i32 {
        self.enter("echo status''=$?=");
        self.see("status=");
        self.see("=").parse().expect("a number")
    }

    /// The pid of a process below this bash with that command line.
    pub(crate) fn find(&self, line: &str) -> Pid {
        let is_it = |pid: &Pid| command_line(*pid).trim_end() == line;
        come(&format!("{line} runs"), || {
            descendants(Pid::from_child(&self.bash)).into_iter().map(|(pid, _)| pid).find(is_it)
        })
    }

    /// Waits until a program with this command line is in front.
    pub(crate) fn in_front(&self, line: &str) {
        let pid = self.find(line);
        until(&format!("{line} is in front"), || {
            // Its process group, and the one in front.
            stat(pid).is_some_and(|fields| fields[2] == fields[5])
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- screen ---\n{}", self.screen());
        }
        let root = Pid::from_child(&self.bash);
        let below = descendants(root);
        if let Ok(bash) = pidfd_open(root, PidfdFlags::empty()) {
            let _ended = pidfd_send_signal(&bash, Signal::KILL);
        }
        for (_, process) in below {
            let _ended = pidfd_send_signal(&process, Signal::KILL);
        }
        drop(self.bash.wait());
    }
}
