//! When a generation counts as ready by what is known of it.

use super::*;
use crate::options;

/// Its socket calls are seen.
fn watch(scene: &mut Scene, generation: Generation) {
    let notifier = OwnedFd::from(stranger().0);
    scene.sockets.watch(generation, Some(notifier));
}

/// Its socket calls cannot be seen, and of all listeners of the test these are its own.
fn unseen(scene: &mut Scene, generation: Generation, own: &[&TcpListener]) {
    let mut out = Out::default();
    scene.sockets.watch_refused(generation, 1, scene.world.now, &mut out);
    assert_eq!(out.events(), []);
    scene.entry(generation).inodes = Some(Some(own.iter().map(|listener| inode(listener)).collect()));
}

/// A listener beside the one that is there.
fn beside(address: SocketAddr) -> TcpListener {
    let socket = calls::tcp_socket(calls::AF_INET).expect("a socket");
    calls::share_port(socket.as_fd()).expect("of TCP");
    calls::bind(socket.as_fd(), address).expect("it is shared");
    calls::listen(socket.as_fd(), 1).expect("it is bound");
    socket.into()
}

#[test]
fn only_one_that_starts_becomes_ready() {
    let mut scene = Scene::new(World::serving(), ReadyWhen::Notify);
    scene.says_ready(OLD);
    assert!(!scene.is_ready(OLD), "it is ready already");
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Notify);
    scene.says_ready(OLD);
    scene.says_ready(NEW);
    assert!(scene.is_ready(NEW) && !scene.is_ready(OLD));
}

#[test]
fn notify_is_ready_when_it_says_so() {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Notify);
    assert!(!scene.is_ready(OLD));
    scene.says_ready(NEW);
    assert!(!scene.is_ready(OLD), "another one said so");
    scene.says_ready(OLD);
    assert!(scene.is_ready(OLD));
}

#[test]
fn one_that_is_probed_is_never_ready_by_itself() {
    for ready in ["http://127.0.0.1:1/", "tcp:127.0.0.1:1", "exec:true"] {
        let mut scene = Scene::new(World::starting(), ready.parse().expect("a way to get ready"));
        scene.world.options.sockets = options::Sockets::Off;
        scene.says_ready(OLD);
        assert!(!scene.is_ready(OLD), "{ready}");
    }
}

#[test]
fn a_plain_init_is_ready_while_it_is_alive() {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    scene.world.options.sockets = options::Sockets::Off;
    assert!(scene.is_ready(OLD));
    scene.entry(OLD).outcome = Some(adieu_core::outcome::Outcome::Exited(0));
    assert!(!scene.is_ready(OLD));
}

#[test]
fn one_with_our_listeners_has_to_say_so() {
    for mode in [options::Sockets::Pass, options::Sockets::Auto] {
        let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
        scene.world.options.sockets = mode;
        let _listener = scene.listens(OLD, "127.0.0.1:0");
        watch(&mut scene, OLD);
        assert!(!scene.is_ready(OLD), "they listen from the start");
        scene.says_ready(OLD);
        assert!(scene.is_ready(OLD));
    }
}

#[test]
fn one_whose_sockets_are_not_watched_is_ready_without_listeners() {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    scene.world.options.sockets = options::Sockets::Pass;
    assert!(scene.is_ready(OLD));
}

#[test]
fn the_first_one_is_ready_when_it_listens_or_says_so() {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    watch(&mut scene, OLD);
    assert!(!scene.is_ready(OLD), "it listens nowhere");
    scene.says_ready(OLD);
    assert!(scene.is_ready(OLD));

    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    let (listener, _) = stranger();
    unseen(&mut scene, OLD, &[]);
    assert!(!scene.is_ready(OLD), "that one is not its own");
    unseen(&mut scene, OLD, &[&listener]);
    assert!(scene.is_ready(OLD));
}

#[test]
fn nothing_is_known_before_it_is_known_whether_its_calls_are_seen() {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    scene.says_ready(OLD);
    assert!(!scene.is_ready(OLD));
    watch(&mut scene, OLD);
    assert!(scene.is_ready(OLD));
}

#[test]
fn a_newcomer_is_ready_when_it_listens_where_the_one_before_does() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    let old = scene.listens(OLD, "127.0.0.1:0");
    let (elsewhere, _) = stranger();
    unseen(&mut scene, NEW, &[&elsewhere]);
    scene.says_ready(NEW);
    assert!(!scene.is_ready(NEW), "it listens elsewhere");
    let new = beside(old.local_addr().expect("it is bound"));
    unseen(&mut scene, NEW, &[&elsewhere, &new]);
    assert!(scene.is_ready(NEW));
}

#[test]
fn the_same_command_is_waited_for_to_say_so_again() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    scene.world.options.sockets = options::Sockets::Off;
    assert!(scene.is_ready(NEW));
    scene.says_ready(OLD);
    assert!(!scene.is_ready(NEW), "it runs the same command");
    scene.entry(NEW).command = vec!["another".into()];
    assert!(scene.is_ready(NEW), "that one may be of those that never say so");
    scene.entry(NEW).command = vec!["program".into()];
    scene.says_ready(NEW);
    assert!(scene.is_ready(NEW));
}

#[test]
fn one_that_is_held_at_its_listen_cannot_say_so() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    scene.world.options.sockets = options::Sockets::Pass;
    scene.says_ready(OLD);
    assert!(!scene.is_ready(NEW));
    scene.sockets.keep_waiting(NEW);
    assert!(scene.is_ready(NEW));
}

#[test]
fn without_a_command_nothing_is_concluded() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Auto);
    scene.world.options.sockets = options::Sockets::Off;
    scene.readiness.said_ready(OLD, None);
    assert_eq!(scene.readiness.says_ready, None);
    scene.readiness.said_ready(Generation::new(9), Some(&["program".into()]));
    assert_eq!(scene.readiness.says_ready, None, "nobody knows that one");
    scene.table.entries.remove(&OLD);
    assert!(scene.is_ready(NEW));
    scene.says_ready(NEW);
    assert_eq!(scene.readiness.says_ready, Some(vec!["program".into()]));
}
