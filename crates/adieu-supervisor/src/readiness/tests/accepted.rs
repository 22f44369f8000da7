//! Probes that wait for the program to accept a connection.

use super::super::probe::State;
use super::*;
use crate::interests::{Interests, Source};

/// The first generation listens, and is asked to accept.
fn asked() -> (Scene, TcpListener) {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    let listener = scene.listens(OLD, "127.0.0.1:0");
    scene.begin_probing(OLD);
    scene.probe();
    (scene, listener)
}

/// The connection is in the queue of the program.
fn arrives(scene: &Scene) {
    eventually("it waits to be accepted", || (scene.sockets.waiting(OLD) == 1).then_some(()));
}

#[test]
fn it_is_ready_when_its_program_has_accepted() {
    let (mut scene, listener) = asked();
    arrives(&scene);
    assert!(matches!(scene.advance(), Need::Nothing), "the kernel has connected it, and nobody has accepted it");
    assert_eq!((scene.events.len(), scene.next()), (0, Some(EVERY / 10)));
    let _program = listener.accept().expect("it waits");
    scene.until_concluded();
    assert_eq!(scene.events, [Event::Ready(OLD)]);
    assert!(scene.readiness.probe.is_none());
}

#[test]
fn it_comes_from_the_port_that_is_steered() {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    let listener = scene.listens(OLD, "127.0.0.1:0");
    scene.begin_probing(OLD);
    let start = scene.due();
    let (port, _) = start.steering().expect("it is our own");
    scene.make(start, Ok(()));
    let (_, peer) = listener.accept().expect("it comes");
    assert_eq!(peer.port(), port);
}

#[test]
fn a_newcomer_is_asked_although_the_one_before_gets_the_connections() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    let old = scene.listens(OLD, "127.0.0.1:0");
    let address = old.local_addr().expect("it is bound");
    let new = scene.listens(NEW, &address.to_string());
    scene.world.options.ready = ReadyWhen::Tcp(address);
    scene.begin_probing(NEW);
    scene.probe();
    let _program = new.accept().expect("it comes to the newcomer");
    scene.until_concluded();
    assert_eq!(scene.events, [Event::Ready(NEW)]);
}

#[test]
fn one_that_does_not_accept_in_time_is_asked_again() {
    let (mut scene, _listener) = asked();
    arrives(&scene);
    scene.pass(PROBE_TIME - Duration::from_millis(1));
    assert!(matches!(scene.advance(), Need::Nothing));
    scene.pass(Duration::from_millis(1));
    assert!(matches!(scene.advance(), Need::Release));
    assert_eq!((scene.events.len(), scene.failure()), (0, Some("the program has not accepted it")));
    assert_eq!((scene.is_pausing(), scene.next()), (true, Some(EVERY)));
}

#[test]
fn one_where_nobody_listens_is_asked_again() {
    let (_bound, address) = nobody();
    let mut scene = Scene::new(World::starting(), ReadyWhen::Tcp(address));
    scene.begin_probing(OLD);
    scene.probe();
    if !scene.is_pausing() {
        scene.until_concluded();
    }
    assert_eq!(scene.failure(), Some("Connection refused (os error 111)"));
    assert_eq!(scene.events, []);
}

#[test]
fn it_is_waited_for_until_it_is_connected() {
    let interests = |scene: &Scene| {
        let mut interests = Interests::default();
        scene.readiness.interests(&mut interests);
        interests.into_sources()
    };
    let (mut scene, _listener) = asked();
    let set = |scene: &mut Scene, to: bool| {
        let probe = scene.readiness.probe.as_mut().expect("it is probed");
        let State::Accepting { connected, .. } = &mut probe.state else { panic!("{probe:?}") };
        *connected = to;
    };
    set(&mut scene, false);
    assert_eq!(interests(&scene), [Source::Other]);
    arrives(&scene);
    assert!(matches!(scene.advance(), Need::Nothing));
    assert_eq!(interests(&scene), [], "only its program can do something now");
}
