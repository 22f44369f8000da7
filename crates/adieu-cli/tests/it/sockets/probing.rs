//! A program that listens, closes and listens again.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use super::{it_in, listens, python_with, serving_generation};
use crate::harness::{Instance, Load, PATIENCE, Port, Scene, the_machine};

/// A program that tries this port so many times before it serves on the scene's.
fn tries(scene: &Scene, times: &str, port: u16) -> Instance {
    it_in(scene).program(&python_with("probes_ports.py", &[times, &port.to_string()])).serving()
}

#[test]
fn a_program_that_tries_its_own_port_loses_nothing_under_load() {
    let _alone = the_machine();
    let scene = Scene::new();
    let port = scene.port();
    let adieu = tries(&scene, "20", port);
    let load = Load { path: "/", reloads: 3, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)), [format!("127.0.0.1:{port}")], "{status:#?}");
    assert_eq!(status.generations.len(), 1, "{status:#?}");
    adieu.end();
}

#[test]
fn ports_that_were_only_tried_are_not_wanted_of_the_next_generation() {
    let (scene, first, second) = (Scene::new(), Port::claim(), Port::claim());
    let port = scene.port();
    let adieu = tries(&scene, "3", first.number());
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)), [format!("127.0.0.1:{port}")], "{status:#?}");

    // The next one tries another port.
    adieu.replace_by(&python_with("probes_ports.py", &["3", &second.number().to_string()]));
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)), [format!("127.0.0.1:{port}")], "{status:#?}");
    adieu.end();
}

#[test]
fn a_client_of_a_port_that_was_only_tried_does_not_hang() {
    let (scene, tried) = (Scene::new(), Port::claim());
    let adieu = tries(&scene, "1", tried.number());
    let address = SocketAddr::from(([127, 0, 0, 1], tried.number()));
    // Our duplicate may still listen there: then the connection must be ended soon, and the next ones refused.
    if let Ok(mut client) = TcpStream::connect_timeout(&address, PATIENCE) {
        client.set_read_timeout(Some(PATIENCE)).expect("a time");
        let got = client.read(&mut [0; 1]);
        assert!(
            got.as_ref().is_ok_and(|got| *got == 0)
                || got.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    assert!(TcpStream::connect_timeout(&address, PATIENCE).is_err());
    adieu.end();
}
