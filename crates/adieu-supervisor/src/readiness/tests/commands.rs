//! Probes that are commands.

use std::path::Path;

use adieu_core::ids::Pid;
use adieu_linux::process;

use super::*;

/// A generation that starts, and the command that asks it.
fn scene(world: World, command: &str) -> Scene {
    Scene::new(world, ReadyWhen::Exec(command.to_owned()))
}

/// The pid of the command under way.
fn pid(scene: &Scene) -> Pid {
    scene.readiness.probe.as_ref().and_then(super::super::probe::Probe::command).expect("it runs")
}

/// It has ended, as the kernel has it; nobody has to have reaped it.
fn has_ended(pid: Pid) -> bool {
    process::stat(pid).map_or(true, |stat| stat.state == 'Z' || stat.exiting)
}

fn until_ended(pid: Pid) {
    eventually("the command ends", || has_ended(pid).then_some(()));
}

fn command_ended(scene: &mut Scene, pid: Pid, success: bool) -> Option<Need> {
    let mut out = Out::default();
    let need = scene.readiness.command_ended(pid, success, scene.world.now, &mut out);
    scene.hear(out);
    need
}

/// What the command has written; once it has ended, it is whole.
fn written(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it was written")
}

#[test]
fn it_is_ready_when_its_command_ends_well() {
    let mut scene = scene(World::starting(), "exit 0");
    scene.begin_probing(OLD);
    scene.probe();
    let pid = pid(&scene);
    until_ended(pid);
    assert!(matches!(scene.advance(), Need::Nothing), "its end has not been heard of");
    assert!(command_ended(&mut scene, Pid::new(pid.number() + 1), true).is_none(), "another one has ended");
    assert!(matches!(command_ended(&mut scene, pid, true), Some(Need::Release)));
    assert_eq!(scene.events, [Event::Ready(OLD)]);
    assert!(scene.readiness.probe.is_none());
    assert!(command_ended(&mut scene, pid, true).is_none());
}

#[test]
fn it_is_asked_again_when_its_command_ends_badly() {
    let mut scene = scene(World::starting(), "exit 1");
    scene.begin_probing(OLD);
    scene.probe();
    let pid = pid(&scene);
    until_ended(pid);
    assert!(matches!(command_ended(&mut scene, pid, false), Some(Need::Release)));
    assert_eq!((scene.events.len(), scene.failure()), (0, Some("the command ended with an error")));
    assert_eq!((scene.is_pausing(), scene.next()), (true, Some(EVERY)));
}

#[test]
fn its_command_is_told_the_port_that_is_steered() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("port");
    let mut scene = scene(World::starting(), &format!("echo \"port $ADIEU_PROBE_PORT\" > {}", file.display()));
    scene.begin_probing(OLD);
    let start = scene.due();
    let (port, generation) = start.steering().expect("it gets one");
    assert_eq!(generation, OLD);
    scene.make(start, Ok(()));
    until_ended(pid(&scene));
    assert_eq!(written(&file), format!("port {port}\n"));
}

#[test]
fn its_command_is_told_of_no_port_that_is_not_steered() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("port");
    let mut scene = scene(World::starting(), &format!("echo \"port ${{ADIEU_PROBE_PORT-none}}\" > {}", file.display()));
    scene.begin_probing(OLD);
    let start = scene.due();
    scene.make(start, Err(std::io::Error::other("not permitted here")));
    until_ended(pid(&scene));
    assert_eq!((written(&file).as_str(), scene.failure()), ("port none\n", None));
}

#[test]
fn a_command_that_takes_too_long_is_killed() {
    let mut scene = scene(World::starting(), "sleep 1000; exit 0");
    scene.begin_probing(OLD);
    scene.probe();
    let pid = pid(&scene);
    scene.pass(PROBE_TIME - Duration::from_millis(1));
    assert!(matches!(scene.advance(), Need::Nothing));
    assert!(!has_ended(pid), "it has its time");
    assert_eq!(scene.next(), Some(EVERY / 10));
    scene.pass(Duration::from_millis(1));
    assert!(matches!(scene.advance(), Need::Nothing), "its end will be heard of");
    until_ended(pid);
    assert!(matches!(command_ended(&mut scene, pid, false), Some(Need::Release)));
    assert_eq!(scene.failure(), Some("the command ended with an error"));
}

#[test]
fn a_command_is_killed_when_its_generation_does_not_start_any_more() {
    let mut scene = scene(World::starting(), "sleep 1000; exit 0");
    scene.begin_probing(OLD);
    scene.probe();
    let pid = pid(&scene);
    assert!(matches!(scene.advance(), Need::Nothing));
    assert!(!has_ended(pid));
    scene.world.tell(Event::Ready(OLD));
    assert!(matches!(scene.advance(), Need::Release));
    until_ended(pid);
    assert!(command_ended(&mut scene, pid, true).is_none(), "it would ask another one");
    assert_eq!(scene.events, []);
}

#[test]
fn nobody_is_asked_before_it_listens() {
    let mut scene = scene(World::reloading(), "exit 0");
    let old = scene.listens(OLD, "127.0.0.1:0");
    scene.begin_probing(NEW);
    assert!(matches!(scene.advance(), Need::Nothing), "all that it asks reaches the one before");
    assert_eq!(scene.failure(), None);
    let address = old.local_addr().expect("it is bound").to_string();
    let _new = scene.listens(NEW, &address);
    scene.pass(EVERY);
    assert_eq!(scene.due().generation(), NEW);
}

#[test]
fn a_command_that_cannot_be_started_is_told_of() {
    let mut scene = scene(World::starting(), "exit 0\0");
    scene.begin_probing(OLD);
    let start = scene.due();
    scene.make(start, Ok(()));
    assert!(scene.is_pausing());
    assert!(scene.failure().is_some(), "a command with a NUL cannot be run");
}
