//! What is traffic, and what is not.

use super::{HOST, LOAD, SLOW, Wire, program, within};
use crate::harness::{ADIEU, PYTHON, Port, Process, the_machine, until};

const SHORT: [&str; 4] = ["--quiet-for", "1s", "--min", "1s"];
/// For a wait that ends before it, and for one that does not.
const BUDGET: [&str; 2] = ["--budget", "50s"];
const SPENT: [&str; 2] = ["--budget", "6s"];

/// Everything that can be seen is, without a privilege: an answer that is owed holds the wait up.
#[test]
fn a_request_in_flight_is_waited_for() {
    let _alone = the_machine();
    let wire = Wire::new();
    let asked = wire.clients("slow-answer", HOST, LOAD[0], "ask", "/4");
    until("it has asked", || asked.output().contains("request"));
    let waited = wire.prestop(&super::UNPRIVILEGED, &[&SHORT[..], &BUDGET].concat());
    assert!(asked.output().contains("200 OK"), "it was answered before: {waited:#?}");
    assert_eq!(waited.code, 0, "{waited:#?}");
    // One that takes too long is left to the server's own stop.
    let asked = wire.clients("slow-answer", HOST, LOAD[0], "ask", "/600");
    until("it has asked", || asked.output().contains("request"));
    let waited = wire.prestop(&[], &[&SHORT[..], &BUDGET, &["--answer-within", "2s"]].concat());
    assert!(!asked.output().contains("200 OK") && waited.code == 0, "{waited:#?}");
    assert_eq!(waited.summary()["given_up"], 1, "{waited:#?}");
}

#[test]
fn the_ignored_are_no_traffic() {
    let _alone = the_machine();
    let wire = Wire::new();
    let loopback = within(
        &wire.network.server(),
        &[PYTHON, &program("clients.py"), "127.0.0.1", &wire.scene.port().to_string(), "127.0.0.1", "load", "600"],
    );
    let _load = Process::start("loopback", &loopback, wire.scene.directory());
    until("there is load", || wire.file("loopback.log").metadata().is_ok_and(|log| log.len() > 0));
    let ignored = wire.prestop(&[], &[&SHORT[..], &BUDGET].concat());
    assert_eq!(ignored.code, 0, "{ignored:#?}");
    // A short budget and nothing else is no mistake.
    let short = wire.prestop(&[], &["--budget", "3s"]);
    assert!(short.code == 0 && short.at() >= 2.4, "{short:#?}");
    // Behind a mesh it is the traffic.
    let meant = wire.prestop(&[], &[&SHORT[..], &SPENT, &["--ignore", "nobody"]].concat());
    assert!(meant.is_spent() && meant.saw_traffic_of("127.0.0.1"), "{meant:#?}");
    // v4 in a socket of v6, named as v4.
    let _slow = wire.clients("slow", HOST, SLOW, "probe", "0.3");
    let ignore = ["--ignore", "10.211.55.4/32,loopback"];
    let named = wire.prestop(&[], &[&SHORT[..], &BUDGET, &ignore].concat());
    assert!(named.code == 0 && !named.saw_traffic_of(SLOW), "{named:#?}");
    let unnamed = wire.prestop(&[], &[&SHORT[..], &SPENT].concat());
    assert!(unnamed.is_spent() && unnamed.saw_traffic_of(SLOW), "{unnamed:#?}");
}

#[test]
fn nothing_that_can_be_seen_is_waited_out_and_said() {
    let wire = Wire::new();
    let hidden = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /proc && exec \"$0\" \"$@\"",
        PYTHON,
        &program("without_netlink.py"),
    ];
    let waited = wire.prestop(&hidden, &["--quiet-for", "1s", "--min", "1s", "--budget", "2s"]);
    assert_eq!((waited.sight(), waited.code), ("nothing", 5), "{waited:#?}");
    assert!(waited.at() >= 2.0, "{waited:#?}");
}

#[test]
fn a_server_that_has_closed_its_listener_still_has_traffic() {
    const CLOSES: &str = "import socket, sys, time
listener = socket.create_server(('', int(sys.argv[1])))
print('listens', flush=True)
connection, _ = listener.accept()
listener.close()
print('closed', flush=True)
while connection.recv(100): pass
";
    const SENDS: &str = "import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for _ in range(30):
    connection.sendall(b'x')
    time.sleep(0.1)
print('sent', flush=True)
time.sleep(1000)
";
    let wire = Wire::new();
    let other = Port::claim();
    let port = other.number().to_string();
    let start = |name: &str, command: &std::process::Command| Process::start(name, command, wire.scene.directory());
    let server = start("closes", &within(&wire.network.server(), &[PYTHON, "-c", CLOSES, &port]));
    until("it listens", || server.output().contains("listens"));
    let client = start("sends", &within(&wire.network.client(), &[PYTHON, "-c", SENDS, HOST, &port]));
    until("it has closed", || server.output().contains("closed"));
    let options = [ADIEU, "prestop", "--port", &port, "--quiet-for", "500ms", "--min", "0"];
    let output = within(&wire.network.server(), &options).output().expect("adieu can be started");
    assert!(client.output().contains("sent"), "{output:?}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
