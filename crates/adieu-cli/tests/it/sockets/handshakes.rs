//! A third ACK that is lost: the client believes it is connected, the server has a handshake that is not over.

use std::process::Command;
use std::thread;
use std::time::Duration;

use super::network::{HOST, Network};
use super::{python, serving_generation, words};
use crate::harness::build::tool;
use crate::harness::{Place, Process, Setup};
use crate::init::until;

const CLIENTS: usize = 50;

/// Without the kernel's own help against this (`net.ipv4.tcp_migrate_req`), which not everybody may switch on.
const WITHOUT_HELP: [&str; 6] =
    ["unshare", "--mount", "sh", "-c", "mount -o bind,ro /proc/sys /proc/sys && exec \"$0\" \"$@\"", "env"];

fn clients(network: &Network, place: &Place, port: u16) -> Process {
    let program = python("clients.py");
    let (port, number) = (port.to_string(), CLIENTS.to_string());
    let all = [&network.client()[..], &words(&program), &[HOST, &port, &number]].concat();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).current_dir(place.directory());
    let process = Process::start("clients", &command, place.directory());
    until("all clients believe that they are connected", || process.output().contains("connected"));
    process
}

#[test]
fn handshakes_of_before_the_switch_end_well() {
    let (network, place) = (Network::new(), Place::new());
    let port = place.port();
    let command = python("plain.py");
    let mut adieu = place.run(Setup {
        name: "it",
        front: &[&network.server()[..], &WITHOUT_HELP].concat(),
        options: &["--settle", "100ms", "--drain-timeout", "25s", "--grace", "50s"],
        environment: &[("HOST", HOST)],
        program: &words(&command),
    });
    until("it serves", || adieu.output().contains("serves"));
    network.lose_all_but_syn(port);
    let mut clients = clients(&network, adieu.place(), port);
    let help =
        tool(Command::new("ip").args(&network.server()[1..]).args(["cat", "/proc/sys/net/ipv4/tcp_migrate_req"]));
    assert_eq!(help, "0\n", "the kernel would help");

    let reload = adieu.client(&["reload", "it", "--wait", "switched"]);
    assert!(reload.status.success(), "{}\n{}", super::said(&reload), adieu.timeline());
    assert_eq!(serving_generation(&adieu.status()).generation, 2);
    // Many times the settle time: the old one must be kept for the handshakes alone.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(adieu.status().generations.len(), 2, "{}", adieu.timeline());

    network.lose_nothing(port);
    adieu.place().write("go", "");
    clients.wait();
    let expected = format!("ends {{'generation 1': {CLIENTS}}}");
    assert!(clients.output().contains(&expected), "{}\n{}", clients.output(), adieu.timeline());
    until("the old one is gone", || adieu.status().generations.len() == 1);
    adieu.signal(rustix::process::Signal::TERM);
    adieu.wait();
}

/// The control: what happens to them otherwise.
#[test]
fn a_listener_that_is_closed_resets_its_handshakes() {
    let (network, place) = (Network::new(), Place::new());
    let port = place.port();
    let program = python("closes_shared.py");
    let all = [&network.server()[..], &words(&program)].concat();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).current_dir(place.directory()).env("HOST", HOST).env("PORT", port.to_string());
    let server = Process::start("server", &command, place.directory());
    until("it serves", || server.output().contains("serves"));
    network.lose_all_but_syn(port);
    let mut clients = clients(&network, &place, port);
    place.write("close", "");
    until("the first listener is closed", || server.output().contains("closed"));
    network.lose_nothing(port);
    place.write("go", "");
    clients.wait();
    let expected = format!("ends {{'ConnectionResetError': {CLIENTS}}}");
    assert!(clients.output().contains(&expected), "{}", clients.output());
}
