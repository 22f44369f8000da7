//! Whole-program reloads of every server under load: nobody is refused, reset or cut off.
//!
//! Half of the clients keep their connection and are never idle for longer than it takes to ask again; the other half
//! takes a fresh one for each request. That goes for the programs that handle no signal at all, too.

use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::harness::servers::{JAVA, NODE_PLAIN, PYTHON_PLAIN};
use crate::harness::{Load, Process, Scene, Server, count, for_each_server, the_machine};

/// Short, so that a reload is over soon; the defaults only wait longer for the same.
pub(crate) const OPTIONS: &[&str] = &["--settle", "500ms", "--drain-timeout", "3s", "--drain-quiet", "1s"];

fn reloads_without_loss(server: Server) {
    let _alone = the_machine();
    reload(server);
}

fn reload(server: Server) {
    let adieu = Scene::new().run().options(OPTIONS).server(server).serving();
    let first = adieu.get("/").expect("the first generation answers");
    let load = Load { path: "/", reloads: count(5, 20), kept: 16 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let last = adieu.get("/").expect("the last generation answers");
    assert_ne!(first, last, "another process answers after a reload");
    adieu.end();
}

for_each_server!(reloads_without_loss);

/// Somebody else's work: twice as many busy loops as processors, killed when dropped.
struct Busy(Vec<Process>);

impl Busy {
    fn start(directory: &Path) -> Self {
        let processors = thread::available_parallelism().map_or(2, NonZero::get);
        let one = |number| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "while :; do :; done"]);
            Process::start(&format!("busy-{number}"), &command, directory)
        };
        Self((0..2 * processors).map(one).collect())
    }
}

/// The supervisor gets to look at the connections seldom then, and programs read and write in between.
fn reloads_without_loss_on_a_busy_machine(server: Server) {
    let _alone = the_machine();
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let busy = Busy::start(directory.path());
    reload(server);
    assert!(!busy.0.is_empty());
}

#[test]
fn node_on_a_busy_machine() {
    reloads_without_loss_on_a_busy_machine(NODE_PLAIN);
}

/// It blocks on its connections while it works.
#[test]
fn java_on_a_busy_machine() {
    reloads_without_loss_on_a_busy_machine(JAVA);
}

/// A thread of it blocks on each connection all the time.
#[test]
fn python_on_a_busy_machine() {
    reloads_without_loss_on_a_busy_machine(PYTHON_PLAIN);
}
