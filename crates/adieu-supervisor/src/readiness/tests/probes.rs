//! When a probe is made, and what it needs of others.

use super::*;
use crate::interests::{Interests, Source};

fn scene(ready: &str) -> Scene {
    Scene::new(World::starting(), ready.parse().expect("a way to get ready"))
}

#[test]
fn it_is_probed_where_the_options_ask_for_it() {
    for ready in ["http://127.0.0.1:1/", "tcp:127.0.0.1:1", "exec:true"] {
        let mut scene = scene(ready);
        scene.begin_probing(OLD);
        assert_eq!(scene.next(), Some(Duration::ZERO), "{ready}: at once");
    }
    for ready in ["auto", "notify"] {
        let mut scene = scene(ready);
        scene.begin_probing(OLD);
        assert!(scene.readiness.probe.is_none(), "{ready}");
        assert!(matches!(scene.advance(), Need::Nothing));
    }
}

#[test]
fn one_with_our_listeners_is_probed_unless_it_has_to_say_so() {
    let mut by_accept = scene("auto");
    let _listener = by_accept.listens(OLD, "127.0.0.1:0");
    by_accept.begin_probing(OLD);
    assert!(by_accept.readiness.probe.is_some());
    let mut by_notify = scene("notify");
    let _listener = by_notify.listens(OLD, "127.0.0.1:0");
    by_notify.begin_probing(OLD);
    assert!(by_notify.readiness.probe.is_none());
}

#[test]
fn a_probe_of_our_own_socket_comes_from_a_port_that_is_steered() {
    let mut scene = scene("auto");
    let _listener = scene.listens(OLD, "127.0.0.1:0");
    scene.begin_probing(OLD);
    let start = scene.due();
    assert_eq!(start.generation(), OLD);
    let (port, generation) = start.steering().expect("it is our own");
    assert_eq!((generation, port > 1023), (OLD, true));
    assert_eq!(scene.next(), Some(EVERY), "it is asked again unless it is made");
}

#[test]
fn a_probe_of_anything_else_is_not_steered() {
    let (_listener, address) = stranger();
    let mut scene = scene(&format!("tcp:{address}"));
    scene.begin_probing(OLD);
    let start = scene.due();
    assert_eq!((start.generation(), start.steering()), (OLD, None));
}

#[test]
fn a_probe_reaches_the_one_that_is_asked_or_nobody() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    let old = scene.listens(OLD, "127.0.0.1:0").local_addr().expect("it is bound");
    scene.world.options.ready = ReadyWhen::Tcp(old);
    scene.begin_probing(NEW);
    assert!(matches!(scene.advance(), Need::Nothing));
    assert_eq!(scene.failure(), Some(format!("only the one before it can be reached there ({old})").as_str()));
    scene.sockets.keep_waiting(NEW);
    scene.pass(EVERY);
    assert!(matches!(scene.advance(), Need::Nothing));
    let why = "it does not listen before it is ready, as that would take the traffic at once";
    assert_eq!(scene.failure(), Some(why));
}

#[test]
fn what_covers_an_address_is_asked_for_it() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    let wide = scene.listens(NEW, "0.0.0.0:0").local_addr().expect("it is bound");
    scene.world.options.ready = ReadyWhen::Tcp(SocketAddr::from(([127, 0, 0, 9], wide.port())));
    scene.begin_probing(NEW);
    assert!(scene.due().steering().is_some());
}

#[test]
fn a_wildcard_is_asked_beside_a_narrower_one_of_the_one_before() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    let narrow = scene.listens(OLD, "127.0.0.1:0");
    let port = narrow.local_addr().expect("it is bound").port();
    let wide = scene.listens(NEW, &format!("0.0.0.0:{port}"));
    scene.world.options.ready = ReadyWhen::Tcp(wide.local_addr().expect("it is bound"));
    scene.begin_probing(NEW);
    scene.probe();
    let (_, peer) = wide.accept().expect("it comes to the wildcard");
    assert!(peer.ip().is_loopback());
    scene.until_concluded();
    assert_eq!(scene.events, [Event::Ready(NEW)]);
}

#[test]
fn nothing_is_asked_between_two_probes() {
    let mut scene = scene("tcp:127.0.0.1:1");
    scene.begin_probing(OLD);
    let _start = scene.due();
    assert!(matches!(scene.advance(), Need::Nothing));
    scene.pass(EVERY / 2);
    assert!(matches!(scene.advance(), Need::Nothing));
    assert_eq!(scene.next(), Some(EVERY / 2));
    scene.pass(EVERY / 2);
    let _start = scene.due();
}

#[test]
fn a_probe_ends_with_the_start_of_its_generation() {
    let mut scene = scene("tcp:127.0.0.1:1");
    scene.begin_probing(OLD);
    scene.world.tell(Event::Ready(OLD));
    assert!(matches!(scene.advance(), Need::Release), "its port is not needed any more");
    assert!(scene.readiness.probe.is_none());
    assert!(matches!(scene.advance(), Need::Nothing));
}

#[test]
fn a_probe_of_another_one_is_not_made() {
    let mut scene = scene("tcp:127.0.0.1:1");
    scene.begin_probing(OLD);
    let start = scene.due();
    scene.begin_probing(NEW);
    scene.make(start, Ok(()));
    assert!(scene.is_pausing());
    assert_eq!(scene.failure(), None);
}

#[test]
fn a_probe_whose_port_cannot_be_steered_is_not_made() {
    for ready in ["http", "tcp"] {
        let mut scene = scene("auto");
        let address = scene.listens(OLD, "127.0.0.1:0").local_addr().expect("it is bound");
        let text = if ready == "http" { format!("http://{address}/") } else { format!("tcp:{address}") };
        scene.world.options.ready = text.parse().expect("a way to get ready");
        scene.begin_probing(OLD);
        let start = scene.due();
        scene.make(start, Err(std::io::Error::other("not permitted here")));
        assert!(scene.is_pausing());
        assert_eq!(scene.failure(), Some("not permitted here"));
    }
}

#[test]
fn a_probe_is_waited_for_by_its_descriptor() {
    let interests = |scene: &Scene| {
        let mut interests = Interests::default();
        scene.readiness.interests(&mut interests);
        interests.into_sources()
    };
    let (_listener, address) = stranger();
    let mut scene = scene(&format!("http://{address}/"));
    assert_eq!(interests(&scene), []);
    scene.begin_probing(OLD);
    assert_eq!(interests(&scene), [], "it pauses");
    scene.probe();
    assert_eq!(interests(&scene), [Source::Other]);
    assert_eq!(scene.next(), Some(EVERY / 10), "and looked at often");
    assert!(matches!(scene.advance(), Need::Nothing));
    assert_eq!(scene.next(), Some(EVERY / 10));
}
