//! On a terminal: the bar, and Ctrl-C, which reaches all that runs in front.

use std::time::Duration;

use super::Victim;
use super::demo::{nothing_is_left, scene_for_a_demo, started};
use crate::harness::terminal::{INTERRUPT, Terminal};
use crate::harness::{ADIEU, until};

/// A command line for bash.
fn line(victim: &Victim, restart: &str, more: &str) -> String {
    let words = victim.words(restart, &[]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("TERM=xterm {ADIEU} {} {more}", quoted.join(" "))
}

#[test]
fn a_bar_shows_how_far_it_is_and_goes_away() {
    let victim = Victim::start();
    let mut terminal = Terminal::open(&victim.scene);
    terminal.enter(&line(&victim, "sleep 0.3", "--pause 600ms"));
    terminal.see("0/2 restarts, ");
    terminal.see("1/2 restarts, ");
    let before = terminal.see("http://127.0.0.1:");
    // The bar's line is wiped (erase in line) before the report begins.
    assert!(before.rfind("\u{1b}[2K") > before.rfind("restarts,"), "{before:?}");
    terminal.see("2 restarts: 0 lost");
    terminal.see("> ");
    assert_eq!(terminal.status(), 0);
    // What goes elsewhere is not written into.
    terminal.enter(&line(&victim, "true", "--pause 300ms --json >report"));
    terminal.see("restarts, ");
    terminal.see("> ");
    let report: serde_json::Value = serde_json::from_str(&victim.scene.read("report")).expect("it is JSON");
    assert_eq!(report["total"]["lost"], 0);
}

/// The restart command dies of it too: that is no failure.
#[test]
fn ctrl_c_ends_a_drill_and_its_restart_command() {
    let victim = Victim::start();
    let mut terminal = Terminal::open(&victim.scene);
    terminal.enter(&line(&victim, "echo >>n; sleep 60", ""));
    victim.scene.wait_for("n", 1);
    // Its own echo of the key would stand where the bar is.
    std::thread::sleep(Duration::from_millis(200));
    terminal.type_(INTERRUPT);
    terminal.see("1 restarts: 0 lost");
    terminal.see("interrupted");
    terminal.see("> ");
    assert_eq!(terminal.status(), 130);
    assert!(!terminal.screen().contains("was ended by"), "{}", terminal.screen());
}

#[test]
fn ctrl_c_ends_a_demo_and_leaves_nothing_and_a_terminal_that_works() {
    for act in ["1. kill -9", "3. adieu run"] {
        let scene = scene_for_a_demo();
        let mut terminal = Terminal::open(&scene);
        terminal.enter(&format!("TERM=xterm TMPDIR={} {ADIEU} demo", scene.path("tmp").display()));
        terminal.see(act);
        until("its server runs", || started(&scene).len() > 1);
        terminal.see("requests, ");
        terminal.type_(INTERRUPT);
        terminal.see("> ");
        assert_eq!(terminal.status(), 130, "{act}");
        nothing_is_left(&scene);
        terminal.enter("read line");
        terminal.enter("hello");
        terminal.enter("echo got $line.");
        terminal.see("got hello.");
    }
}
