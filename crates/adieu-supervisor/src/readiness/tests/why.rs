//! What a generation that is not ready has failed to do.

use super::*;

fn scene(ready: &str) -> Scene {
    Scene::new(World::reloading(), ready.parse().expect("a way to get ready"))
}

#[test]
fn it_did_not_do_what_the_options_ask() {
    for (ready, why) in [
        ("auto", "it did not accept a connection"),
        ("notify", "it did not send READY=1"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x was not answered with a status from 200 to 399"),
        ("tcp:127.0.0.1:1", "it accepted no connection at 127.0.0.1:1"),
        ("exec:false", "the command \"false\" did not end with 0"),
    ] {
        assert_eq!(scene(ready).why_unready(NEW), why);
    }
}

#[test]
fn the_last_probe_says_more() {
    let mut scene = scene("exec:false");
    scene.begin_probing(NEW);
    assert_eq!(scene.why_unready(NEW), "the command \"false\" did not end with 0");
    scene.readiness.probe.as_mut().expect("it is probed").failed("it was late".to_owned());
    assert_eq!(scene.why_unready(NEW), "the command \"false\" did not end with 0 (it was late)");
}

#[test]
fn it_does_not_listen_where_the_one_before_does() {
    let mut scene = scene("auto");
    let old = scene.listens(OLD, "127.0.0.1:0").local_addr().expect("it is bound");
    assert_eq!(scene.why_unready(NEW), format!("it listens nowhere, the one before it on {old}"));
    scene.world.options.ready = ReadyWhen::Notify;
    assert_eq!(scene.why_unready(NEW), "it did not send READY=1", "nothing else is asked");
}

#[test]
fn the_same_command_has_said_so_before() {
    let mut scene = scene("auto");
    scene.says_ready(OLD);
    assert_eq!(scene.why_unready(NEW), "it did not send READY=1, as the same command did before");
    scene.world.options.ready = "exec:false".parse().expect("a command");
    assert_eq!(scene.why_unready(NEW), "the command \"false\" did not end with 0", "it is not asked to");
}
