//! A third ACK that is lost: the client believes it is connected, the server has a handshake that is not over.

use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{it_in, python, python_with, serving_generation};
use crate::harness::network::{HOST, Network};
use crate::harness::{NEVER, NEVER_AND_MORE, Process, Scene, tool, until};

const CLIENTS: usize = 50;

/// Without the kernel's own help against this (`net.ipv4.tcp_migrate_req`), which not everybody may switch on.
const WITHOUT_HELP: [&str; 6] =
    ["unshare", "--mount", "sh", "-c", "mount -o bind,ro /proc/sys /proc/sys && exec \"$0\" \"$@\"", "env"];

fn clients(network: &Network, scene: &Scene) -> Process {
    let program = python_with("clients.py", &[HOST, &scene.port().to_string(), &CLIENTS.to_string()]);
    let command = scene.command(&[&network.client().map(str::to_owned)[..], &program].concat());
    let process = Process::start("clients", &command, scene.directory());
    until("all clients believe that they are connected", || process.output().contains("connected"));
    process
}

#[test]
fn handshakes_of_before_the_switch_end_well() {
    let (network, scene) = (Network::new(), Scene::new());
    let port = scene.port();
    let front = [&network.server()[..], &WITHOUT_HELP].concat();
    let options = ["--settle", "100ms", "--drain-timeout", NEVER, "--grace", NEVER_AND_MORE];
    let adieu = it_in(&scene).front(&front).options(&options).env("HOST", HOST).program(&python("plain.py"));
    let mut adieu = adieu.start();
    until("it serves", || adieu.output().contains("serves"));
    network.lose_all_but_syn(port);
    let mut clients = clients(&network, &scene);
    let help =
        tool(Command::new("ip").args(&network.server()[1..]).args(["cat", "/proc/sys/net/ipv4/tcp_migrate_req"]));
    assert_eq!(help, "0\n", "the kernel would help");

    adieu.must_reload(&["--wait", "switched"]);
    assert_eq!(serving_generation(&adieu.status()).generation.number(), 2);
    // Many times the settle time: the old one must be kept for the handshakes alone.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(adieu.status().generations.len(), 2, "{}", adieu.timeline());

    network.lose_nothing(port);
    adieu.scene.write("go", "");
    clients.wait();
    let expected = format!("ends {{'generation 1': {CLIENTS}}}");
    assert!(clients.output().contains(&expected), "{}\n{}", clients.output(), adieu.timeline());
    until("the old one is gone", || adieu.status().generations.len() == 1);
    adieu.signal(Signal::TERM);
    adieu.wait();
}

/// The control: what happens to them otherwise.
#[test]
fn a_listener_that_is_closed_resets_its_handshakes() {
    let (network, scene) = (Network::new(), Scene::new());
    let port = scene.port();
    let words = [network.server().map(str::to_owned).as_slice(), &python("closes_shared.py")].concat();
    let mut command = scene.command(&words);
    command.env("HOST", HOST).env("PORT", port.to_string());
    let server = Process::start("server", &command, scene.directory());
    until("it serves", || server.output().contains("serves"));
    network.lose_all_but_syn(port);
    let mut clients = clients(&network, &scene);
    scene.write("close", "");
    until("the first listener is closed", || server.output().contains("closed"));
    network.lose_nothing(port);
    scene.write("go", "");
    clients.wait();
    let expected = format!("ends {{'ConnectionResetError': {CLIENTS}}}");
    assert!(clients.output().contains(&expected), "{}", clients.output());
}
