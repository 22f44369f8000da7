//! On a terminal: each of these runs twice, the program started by bash directly and behind `adieu run`, and what the user
//! sees is compared.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::{ADIEU, MODES, PYTHON, Scene, program, until};
use crate::harness::{PATIENCE, descendants};

pub(crate) const INTERRUPT: &str = "\x03";
const QUIT: &str = "\x1c";
const SUSPEND: &str = "\x1a";
const END: &str = "\x04";

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
    fn find(&self, line: &str) -> Pid {
        let mut found = None;
        until(&format!("{line} runs"), || {
            let all = descendants(Pid::from_child(&self.bash));
            found = all.into_iter().map(|(pid, _)| pid).find(|pid| super::command_line(*pid).trim_end() == line);
            found.is_some()
        });
        found.expect("just found")
    }

    /// Waits until a program with this command line is in front.
    fn in_front(&self, line: &str) {
        let pid = self.find(line);
        until(&format!("{line} is in front"), || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
            fields.len() > 5 && fields[2] == fields[5]
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

/// Calls the test with nothing in front of the program, and with `adieu run` in both modes.
fn compare(test: impl Fn(&mut Terminal, &str, &Scene)) {
    let mut ways = vec![String::new()];
    ways.extend(MODES.map(|mode| format!("{ADIEU} run --sockets {mode} --name x --grace 50s -- ")));
    for way in ways {
        let scene = Scene::new();
        let mut terminal = Terminal::open(&scene);
        test(&mut terminal, &way, &scene);
    }
}

#[test]
fn keys_end_a_program_as_if_bash_had_started_it() {
    compare(|terminal, way, _| {
        for (key, status) in [(INTERRUPT, 130), (QUIT, 131)] {
            terminal.enter(&format!("{way}sleep 1000"));
            terminal.in_front("sleep 1000");
            terminal.type_(key);
            terminal.see("> ");
            assert_eq!(terminal.status(), status, "{way:?}");
        }
        // A program that handles it decides for itself.
        terminal.enter(&format!("{way}bash -c 'trap \"exit 5\" INT; echo set; sleep 1000'"));
        terminal.see("set");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        assert_eq!(terminal.status(), 5, "{way:?}");
    });
}

#[test]
fn a_loop_of_bash_ends_with_the_program() {
    compare(|terminal, way, _| {
        terminal.enter(&format!("for i in 1 2 3; do echo turn $i; {way}sleep 1000; done"));
        terminal.see("turn 1");
        terminal.in_front("sleep 1000");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        assert!(!terminal.screen().contains("turn 2"), "{way:?}");
    });
}

#[test]
fn a_program_is_suspended_and_resumed() {
    compare(|terminal, way, _| {
        terminal.enter(&format!("{way}cat"));
        terminal.enter("one");
        terminal.see("one");
        for _ in 0..3 {
            terminal.in_front("cat");
            terminal.type_(SUSPEND);
            terminal.see("Stopped");
            terminal.see("> ");
            assert_eq!(terminal.status(), 148, "{way:?}");
            terminal.enter("fg");
            terminal.enter("again");
            terminal.see("again");
        }
        // In the background it may not read, so it stops again.
        terminal.in_front("cat");
        terminal.type_(SUSPEND);
        terminal.see("Stopped");
        terminal.enter("bg");
        terminal.see("> ");
        terminal.enter("sleep 0.3; jobs");
        terminal.see("Stopped");
        terminal.enter("fg");
        terminal.enter("more");
        terminal.see("more");
        terminal.type_(END);
        terminal.see("> ");
        assert_eq!(terminal.status(), 0, "{way:?}");
    });
}

#[test]
fn a_job_in_the_background_does_not_take_the_terminal() {
    compare(|terminal, way, scene| {
        terminal.enter(&format!("{way}sh -c 'echo up > up; exec sleep 1000' &"));
        scene.wait_for("up", 1);
        terminal.enter("read line");
        terminal.enter("hello");
        terminal.enter("echo got $line.");
        terminal.see("got hello.");
        terminal.enter("fg");
        terminal.find("sleep 1000");
        terminal.see("sleep 1000");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        assert_eq!(terminal.status(), 130, "{way:?}");
        // One that wants to read waits until it may.
        terminal.enter(&format!("{way}cat &"));
        terminal.find("cat");
        terminal.enter("sleep 0.3; jobs");
        terminal.see("Stopped");
        terminal.enter("fg");
        terminal.enter("typed");
        terminal.see("typed");
        terminal.type_(END);
        terminal.see("> ");
        assert_eq!(terminal.status(), 0, "{way:?}");
    });
}

#[test]
fn an_interactive_shell_has_its_job_control() {
    compare(|terminal, way, _| {
        terminal.enter(&format!("PS1='inner# ' {way}bash --norc --noprofile --noediting -i"));
        terminal.see("inner# ");
        assert!(!terminal.screen().contains("no job control"), "{way:?}");
        terminal.enter("sleep 1000");
        terminal.in_front("sleep 1000");
        terminal.type_(SUSPEND);
        terminal.see("Stopped");
        terminal.see("inner# ");
        terminal.enter("fg");
        terminal.in_front("sleep 1000");
        terminal.type_(INTERRUPT);
        terminal.see("inner# ");
        assert_eq!(terminal.status(), 130, "{way:?}");
        terminal.enter("suspend");
        terminal.see("Stopped");
        terminal.see("> ");
        terminal.enter("fg");
        terminal.enter("echo back again");
        terminal.see("back again");
        terminal.see("inner# ");
        terminal.enter("exit 3");
        terminal.see("> ");
        assert_eq!(terminal.status(), 3, "{way:?}");
        terminal.enter("read line");
        terminal.enter("still here");
        terminal.enter("echo got $line.");
        terminal.see("got still here.");
    });
}

#[test]
fn the_other_commands_of_a_pipeline_and_a_script_keep_the_terminal() {
    compare(|terminal, way, scene| {
        terminal.enter(&format!(
            "{way}sh -c 'echo up; exec sleep 1000' | (read word; read line < /dev/tty; echo got $line.)"
        ));
        terminal.in_front("sleep 1000");
        terminal.enter("from the keyboard");
        terminal.see("got from the keyboard.");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        let script = scene.write("script", &format!("{way}sleep 1000\necho not reached\n"));
        terminal.enter(&format!("sh {script}"));
        terminal.in_front("sleep 1000");
        terminal.type_(SUSPEND);
        terminal.see("Stopped");
        terminal.enter("fg");
        terminal.in_front("sleep 1000");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        assert_eq!(terminal.status(), 130, "{way:?}");
        assert!(!terminal.screen().contains("not reached"), "{way:?}");
    });
}

#[test]
fn a_key_reaches_the_program_once_and_starts_nothing_again() {
    for mode in MODES {
        let scene = Scene::new();
        let mut terminal = Terminal::open(&scene);
        let options = format!("{ADIEU} run --sockets {mode} --restart always --name x");
        // As a job of its own, and as a part of something larger.
        for larger in ["", " | cat"] {
            let heard = format!("heard{}", larger.len());
            terminal.enter(&format!("{options} -- {PYTHON} {} {heard} stubborn{larger}", program("hears.py")));
            scene.wait_for(&heard, 1);
            terminal.type_(INTERRUPT);
            scene.wait_for(&heard, 2);
            terminal.type_(QUIT);
            scene.wait_for(&heard, 3);
            // Not from the terminal: this one is ours to pass on.
            let status = scene.adieu(&["send", "x", "USR1"]);
            assert!(status.status.success(), "{status:?}");
            scene.wait_for(&heard, 4);
            assert_eq!(scene.read(&heard), "ready\n2\n3\n10\n", "{mode}{larger}");
            assert!(scene.adieu(&["send", "x", "KILL"]).status.success());
            scene.wait_for(&heard, 5);
            assert!(scene.adieu(&["send", "x", "USR2"]).status.success());
            scene.wait_for(&heard, 6);
            let pid = terminal.find(&format!("{PYTHON} {} {heard} stubborn", program("hears.py")));
            terminal.enter("");
            let stop = thread::spawn({
                let mut command = scene.command(&[ADIEU, "stop", "x"]);
                move || command.output().expect("adieu can be started")
            });
            scene.wait_for(&heard, 7);
            assert!(scene.adieu(&["send", "x", "KILL"]).status.success());
            assert!(stop.join().expect("joined").status.success());
            assert!(!super::lives(pid));
            terminal.see("> ");
        }
        terminal.enter(&format!("{options} -- sleep 1000"));
        terminal.in_front("sleep 1000");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        assert_eq!(terminal.status(), 130, "{mode}: a restart policy does not hold against the keyboard");
    }
}
