//! What a generation says of itself over its notify socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::*;
use crate::interests::{Interests, Source};
use crate::options;
use crate::testing::Closing;

/// Sends a datagram to what NOTIFY_SOCKET says.
fn send(value: &str, datagram: &[u8]) -> std::io::Result<usize> {
    let name = value.strip_prefix('@').expect("an abstract name");
    let address = SocketAddr::from_abstract_name(name).expect("a name");
    UnixDatagram::unbound()?.send_to_addr(datagram, &address)
}

/// A scene whose generation of this number, which no other test has, has a notify socket.
fn begun(generation: Generation) -> (Scene, String) {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    let (key, value) = scene.readiness.begin(&scene.world.view(), generation).expect("it gets one");
    assert_eq!(key, "NOTIFY_SOCKET");
    (scene, value.into_string().expect("a name"))
}

#[test]
fn each_generation_has_a_socket_of_its_own() {
    let generation = Generation::new(1001);
    let (_scene, value) = begun(generation);
    assert_eq!(value, format!("@adieu-notify/{}/1001", adieu_linux::process::own_pid()));
}

#[test]
fn a_message_is_heard_once() {
    let generation = Generation::new(1002);
    let (scene, value) = begun(generation);
    assert_eq!(scene.readiness.hear(generation), None);
    send(&value, b"READY=1\nSTATUS=here").expect("it is there");
    let message = scene.readiness.hear(generation).expect("it was sent");
    assert_eq!(Some(message), adieu_core::notify::parse(b"READY=1\nSTATUS=here").ok());
    assert_eq!(scene.readiness.hear(generation), None);
}

#[test]
fn what_is_no_message_is_passed_over() {
    let generation = Generation::new(1003);
    let (scene, value) = begun(generation);
    send(&value, b"READY=1\0READY=1").expect("it is there");
    send(&value, &[b'x'; adieu_core::notify::LONGEST + 1]).expect("it is there");
    send(&value, b"STOPPING=1").expect("it is there");
    let message = scene.readiness.hear(generation).expect("the last one");
    assert_eq!(Some(message), adieu_core::notify::parse(b"STOPPING=1").ok());
    assert_eq!(scene.readiness.hear(generation), None);
}

#[test]
fn others_hear_nothing_of_it() {
    let (mut scene, first) = begun(Generation::new(1004));
    let second = scene.readiness.begin(&scene.world.view(), Generation::new(1005)).expect("it gets one").1;
    assert_ne!(Some(first.as_str()), second.to_str());
    send(&first, b"READY=1").expect("it is there");
    assert_eq!(scene.readiness.hear(Generation::new(1005)), None);
    assert_eq!(scene.readiness.hear(Generation::new(999)), None, "nobody knows that one");
    assert!(scene.readiness.hear(Generation::new(1004)).is_some());
}

#[test]
fn one_that_is_gone_is_not_heard() {
    let (generation, _closing) = (Generation::new(1006), Closing::new());
    let (mut scene, value) = begun(generation);
    scene.readiness.forget(Generation::new(999));
    send(&value, b"READY=1").expect("it is there");
    scene.readiness.forget(generation);
    assert_eq!(scene.readiness.hear(generation), None);
    assert_eq!(send(&value, b"READY=1").expect_err("closed").kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn without_a_free_name_there_is_none() {
    let generation = Generation::new(1007);
    let (_first, _value) = begun(generation);
    let mut second = Scene::new(World::starting(), ReadyWhen::Auto);
    assert_eq!(second.readiness.begin(&second.world.view(), generation), None);
    assert_eq!(second.readiness.hear(generation), None);
}

#[test]
fn a_plain_init_listens_only_where_it_is_to_be_told() {
    let generation = Generation::new(1008);
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    scene.world.options.sockets = options::Sockets::Off;
    assert_eq!(scene.readiness.begin(&scene.world.view(), generation), None);
    scene.world.options.ready = ReadyWhen::Notify;
    assert!(scene.readiness.begin(&scene.world.view(), generation).is_some());
    let generation = Generation::new(1009);
    scene.world.options.sockets = options::Sockets::Pass;
    scene.world.options.ready = ReadyWhen::Auto;
    assert!(scene.readiness.begin(&scene.world.view(), generation).is_some());
}

#[test]
fn its_socket_is_waited_for() {
    let generation = Generation::new(1010);
    let (scene, value) = begun(generation);
    let mut interests = Interests::default();
    scene.readiness.interests(&mut interests);
    send(&value, b"READY=1").expect("it is there");
    let ready = adieu_linux::poll::poll(interests.descriptors(), None).expect("they are open");
    assert!(ready[0].readable);
    assert_eq!(interests.into_sources(), [Source::Notify(generation)]);
}
