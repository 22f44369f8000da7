//! Programs that go into the background by themselves: an init ends with its program, and says what that left behind.

use std::fs;

use crate::harness::{Port, Scene, build};

#[test]
fn a_daemon_is_named() {
    let (scene, port) = (Scene::new(), Port::claim());
    let configuration = fs::read_to_string(build::sources().join("nginx/nginx.conf")).expect("it is there");
    let foreground = configuration.replace("listen LISTEN;", &format!("listen 127.0.0.1:{};", port.number()));
    let background = foreground.replace("daemon off;", "daemon on;");
    assert_ne!(foreground, background);
    let configuration = scene.write("nginx.conf", &background);
    let directory = scene.directory().display().to_string();
    let nginx = ["/usr/sbin/nginx", "-p", &directory, "-c", &configuration];
    let output = scene.adieu(&[&["run", "--"], &nginx[..]].concat());
    let said = output.error;
    assert_eq!(output.code, 0, "{said}");
    assert!(said.contains("(nginx) in the background, to be stopped") && said.contains("daemon off"), "{said}");
    assert!(!scene.path("nginx.pid").exists(), "it has been stopped: {said}");
}

#[test]
fn one_that_leaves_nothing_is_not_mentioned() {
    let scene = Scene::new();
    // The second has failed: nobody takes what it leaves for the server.
    for (words, code) in [(&["sh", "-c", "true & wait"][..], 0), (&["sh", "-c", "sleep 60 & exit 3"], 3)] {
        let output = scene.adieu(&[&["run", "--"], words].concat());
        assert_eq!((output.code, output.error.as_str()), (code, ""));
    }
}
