//! A service on the library under `adieu run`, reloaded under mixed traffic: HTTP/1.1 kept and not, slow answers, slow
//! request bodies, HTTP/2 streams, WebSockets, server-sent events. The clients, and what they call lost, are those of
//! `bench/restarts`.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;

use crate::harness::{ADIEU, Instance, Scene, build, count, the_machine};

/// What the clients say.
#[derive(Debug, Deserialize)]
struct Account {
    restarts: usize,
    kinds: BTreeMap<String, Ends>,
    /// Connections that were reset with nothing under way.
    resets: usize,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Ends {
    ok: usize,
    lost: usize,
    race: usize,
}

const KINDS: [&str; 7] = ["fresh", "h2", "kept", "slow", "sse", "upload", "websocket"];

/// Runs the server that ends in `way` and reloads it so often under load.
fn reload_under_load(way: &str, options: &[&str], restarts: usize) -> (Account, Instance) {
    let (program, scene) = (build::mixed().display().to_string(), Scene::new());
    let port = scene.port().to_string();
    let adieu = scene.run().name("mixed").options(options).program(&[&program, "serve", way, &port]);
    let adieu = adieu.serving_at("/quick");
    let reload = format!("{ADIEU} reload mixed --wait drained");
    let mut load = Command::new(&program);
    load.args(["load", &port, &restarts.to_string(), "all", &reload]);
    let load = load.env("ADIEU_RUNTIME_DIR", adieu.scene.directory()).output().expect("it is built");
    assert!(load.status.success(), "{load:?}\n{}", adieu.timeline());
    let account: Account = serde_json::from_slice(&load.stdout).expect("an account");
    println!("{account:?}");
    assert_eq!(account.restarts, restarts);
    (account, adieu)
}

#[test]
fn a_service_on_the_library_loses_nothing_and_resets_nobody_under_load() {
    let _alone = the_machine();
    // The drain from outside could take 40 s: what it cannot see the end of is the service's own to end.
    let options = ["--settle", "300ms", "--grace", "60s"];
    let restarts = count(3, 100);
    let (account, adieu) = reload_under_load("adieu", &options, restarts);
    let timeline = adieu.timeline();
    for kind in KINDS {
        let ends = account.kinds.get(kind).unwrap_or_else(|| panic!("no {kind}: {account:#?}"));
        let fine = ends.ok > restarts && ends.lost == 0 && ends.race == 0;
        assert!(fine, "{kind}: {account:#?}\n--- timeline ---\n{timeline}");
    }
    assert_eq!(account.resets, 0, "{:#?}", account.notes);
    assert!(!timeline.contains("killing"), "it ends by itself:\n{timeline}");
    assert!(timeline.contains("that are left itself, as it says"), "nobody waits for a WebSocket's end:\n{timeline}");
    assert!(!timeline.contains("stopped while"), "nor to the end of the drain's time:\n{timeline}");
    adieu.end();
}

/// The control: the clients see what a server loses that has no code for a stop, and is replaced by a start after its end.
#[test]
fn a_service_without_code_for_a_stop_loses_something_of_every_kind_under_load() {
    let _alone = the_machine();
    let (account, adieu) = reload_under_load("default", &["--sockets", "off"], 5);
    for kind in KINDS {
        let lost = account.kinds.get(kind).is_some_and(|ends| ends.lost + ends.race > 0);
        assert!(lost, "{kind}: {account:#?}");
    }
    adieu.end();
}
