//! A program that listens, closes and listens again.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use std::io::Read;

use super::{listens, serving, serving_generation};
use crate::harness::{Load, Place, Port, the_machine};

#[test]
fn a_program_that_tries_its_own_port_loses_nothing_under_load() {
    let _alone = the_machine();
    let place = Place::new();
    let port = place.port().to_string();
    let adieu = serving(place, &[], "probes_ports.py", &["20", &port]);
    let load = Load { path: "/", reloads: 3, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)), [format!("127.0.0.1:{port}")], "{status:#?}");
    assert_eq!(status.generations.len(), 1, "{status:#?}");
    adieu.stop();
}

#[test]
fn ports_that_were_only_tried_are_not_wanted_of_the_next_generation() {
    let (place, first, second) = (Place::new(), Port::claim(), Port::claim());
    let port = place.port();
    let tried = [first.number().to_string(), second.number().to_string()];
    let adieu = serving(place, &[], "probes_ports.py", &["3", &tried[0]]);
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)), [format!("127.0.0.1:{port}")], "{status:#?}");

    // The next one tries another port.
    let command: Vec<String> = [&super::python("probes_ports.py")[..], &["3".to_owned(), tried[1].clone()]].concat();
    let reload = adieu.client(&[&["reload", "it", "--wait", "drained", "--"][..], &super::words(&command)].concat());
    assert!(reload.status.success(), "{}\n{}", super::said(&reload), adieu.timeline());
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)), [format!("127.0.0.1:{port}")], "{status:#?}");
    adieu.stop();
}

#[test]
fn a_client_of_a_port_that_was_only_tried_does_not_hang() {
    let (place, tried) = (Place::new(), Port::claim());
    let adieu = serving(place, &[], "probes_ports.py", &["1", &tried.number().to_string()]);
    let address = SocketAddr::from(([127, 0, 0, 1], tried.number()));
    // Our duplicate may still listen there: then the connection must be ended soon, and the next ones refused.
    if let Ok(mut client) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let got = client.read(&mut [0; 1]);
        assert!(
            got.as_ref().is_ok_and(|got| *got == 0)
                || got.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err());
    adieu.stop();
}
