//! Generations with several sockets: several ports, and several sockets for one port.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal};

use super::{it, it_in, listens, python, serving_generation};
use crate::harness::proc::kill;
use crate::harness::servers::NGINX_REUSEPORT;
use crate::harness::{Instance, Load, Port, Scene, the_machine, until};

fn on(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn several_ports_are_switched_together_under_load() {
    let _alone = the_machine();
    let scene = Scene::new();
    let more = [Port::claim(), Port::claim()];
    let ports = [scene.port(), more[0].number(), more[1].number()];
    let texts: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let adieu = it_in(&scene).program(&python("many.py")).arguments(&texts).serving();
    let load = Load { path: "/", reloads: 3, kept: 8 };
    let mut second = None;
    let first = load.during(on(ports[0]), |more| {
        second = Some(load.during(on(ports[2]), |_| {
            for _ in 1..=3 {
                adieu.replace();
                more();
            }
        }));
    });
    first.assert_nothing_lost(&adieu);
    second.expect("it ran").assert_nothing_lost(&adieu);
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)).len(), 3, "{status:#?}");
    adieu.end();
}

/// nginx makes a socket for each worker.
#[test]
fn nginx_with_another_number_of_workers_under_load() {
    let _alone = the_machine();
    let adieu = it().server(NGINX_REUSEPORT).serving();
    let configuration = adieu.scene.read("nginx.conf");
    assert!(configuration.contains("worker_processes 2;"), "{configuration}");
    let steps = [1, 2, 3, 1, 1];
    let load = Load { path: "/", reloads: steps.len(), kept: 8 };
    let ends = load.during(on(adieu.port()), |more| {
        for workers in steps {
            let changed = configuration.replace("worker_processes 2;", &format!("worker_processes {workers};"));
            adieu.scene.write("nginx.conf", &changed);
            adieu.replace();
            let status = adieu.status();
            assert_eq!(listens(serving_generation(&status)).len(), workers, "{status:#?}");
            more();
        }
    });
    ends.assert_nothing_lost(&adieu);
    adieu.end();
}

fn sharing(workers: &str) -> Instance {
    let scene = Scene::new();
    scene.write("workers", workers);
    let adieu = it_in(&scene).program(&python("shares.py")).serving();
    let all: usize = workers.parse().expect("a number");
    until("all workers listen", || listens(serving_generation(&adieu.status())).len() == all);
    adieu
}

#[test]
fn workers_that_share_a_port_by_themselves_under_load() {
    let _alone = the_machine();
    let adieu = sharing("3");
    let steps = ["1", "2", "3", "3"];
    let load = Load { path: "/", reloads: steps.len(), kept: 8 };
    let ends = load.during(on(adieu.port()), |more| {
        for workers in steps {
            adieu.scene.write("workers", workers);
            adieu.replace();
            more();
        }
    });
    ends.assert_nothing_lost(&adieu);
    adieu.end();
}

/// What a killed worker has accepted is lost, with adieu or without; but what comes later goes to the others.
#[test]
fn a_worker_that_dies_gets_nothing_any_more_under_load() {
    let _alone = the_machine();
    let adieu = sharing("3");
    let load = Load { path: "/", reloads: 0, kept: 0 };
    let ends = load.during(on(adieu.port()), |more| {
        let status = adieu.status();
        let master = serving_generation(&status).pid;
        let worker =
            serving_generation(&status).pids.iter().find(|pid| Some(**pid) != master).expect("there are workers");
        let worker = Pid::from_raw(worker.number()).expect("a pid");
        kill(worker, Signal::KILL);
        until("its socket is gone", || listens(serving_generation(&adieu.status())).len() == 2);
        more();
    });
    assert!(!ends.hung(), "{ends:#?}");
    load.during(on(adieu.port()), |more| more()).assert_nothing_lost(&adieu);
    adieu.replace();
    adieu.end();
}
