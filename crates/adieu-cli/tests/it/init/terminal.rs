//! On a terminal: each of these runs twice, the program started by bash directly and behind `adieu run`, and what the user
//! sees is compared.

use super::{MODES, program};
use crate::harness::proc::lives;
use crate::harness::terminal::{INTERRUPT, Terminal};
use crate::harness::{ADIEU, Begun, PYTHON, Scene};

const QUIT: &str = "\x1c";
const SUSPEND: &str = "\x1a";
const END: &str = "\x04";
/// For bash: what it says of a job that wants to read in the background, however long it takes to get there.
const UNTIL_STOPPED: &str = "until jobs | grep -q Stopped; do sleep 0.1; done; jobs";

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
        terminal.enter(UNTIL_STOPPED);
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
        terminal.enter(UNTIL_STOPPED);
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
            let told = scene.adieu(&["send", "x", "USR1"]);
            assert!(told.is_fine(), "{told:?}");
            scene.wait_for(&heard, 4);
            assert_eq!(scene.read(&heard), "ready\n2\n3\n10\n", "{mode}{larger}");
            assert!(scene.adieu(&["send", "x", "KILL"]).is_fine());
            scene.wait_for(&heard, 5);
            assert!(scene.adieu(&["send", "x", "USR2"]).is_fine());
            scene.wait_for(&heard, 6);
            let pid = terminal.find(&format!("{PYTHON} {} {heard} stubborn", program("hears.py")));
            terminal.enter("");
            let stop = Begun::new(&mut scene.command(&[ADIEU, "stop", "x"]));
            scene.wait_for(&heard, 7);
            assert!(scene.adieu(&["send", "x", "KILL"]).is_fine());
            assert!(stop.end().is_fine());
            assert!(!lives(pid));
            terminal.see("> ");
        }
        terminal.enter(&format!("{options} -- sleep 1000"));
        terminal.in_front("sleep 1000");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        assert_eq!(terminal.status(), 130, "{mode}: a restart policy does not hold against the keyboard");
    }
}
