//! A generation that nobody can go back from may take as long as it wants, but not in silence.

use super::*;

const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The first generation starts, and has taken nearly too long.
fn late() -> Scene {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Notify);
    scene.entry(OLD).started = scene.world.now;
    scene.pass(READY_TIMEOUT - Duration::from_millis(1));
    scene
}

fn says(scene: &mut Scene) -> usize {
    scene.pass(Duration::from_millis(1));
    assert!(matches!(scene.advance(), Need::Nothing));
    scene.say_unready();
    scene.notes.len()
}

#[test]
fn it_is_said_when_it_takes_long_and_once() {
    let mut scene = late();
    assert_eq!(scene.next(), Some(Duration::from_millis(1)));
    assert!(matches!(scene.advance(), Need::Nothing));
    scene.say_unready();
    assert_eq!(scene.notes, [""; 0], "not yet");
    assert_eq!(says(&mut scene), 1);
    assert_eq!(scene.notes, ["generation 1 is not ready after 1m, and goes on: it did not send READY=1"]);
    assert_eq!((says(&mut scene), scene.next()), (1, None));
}

#[test]
fn nothing_is_said_of_one_that_is_ready() {
    let mut scene = late();
    scene.world.tell(Event::Ready(OLD));
    assert_eq!((scene.next(), says(&mut scene)), (None, 0));
}

#[test]
fn nothing_is_said_of_a_newcomer() {
    let mut scene = Scene::new(World::reloading(), ReadyWhen::Notify);
    scene.entry(NEW).started = scene.world.now;
    scene.pass(READY_TIMEOUT);
    assert_eq!((scene.next(), says(&mut scene)), (None, 0));
}

#[test]
fn nothing_is_said_where_nobody_expects_it_to_be_ready() {
    let mut scene = late();
    scene.world.options.ready = ReadyWhen::Auto;
    assert_eq!((scene.next(), says(&mut scene)), (None, 0));
}

#[test]
fn nothing_is_said_of_one_that_has_ended() {
    let mut scene = late();
    scene.entry(OLD).outcome = Some(adieu_core::outcome::Outcome::Exited(0));
    assert_eq!((scene.next(), says(&mut scene)), (None, 0));
}

#[test]
fn nothing_is_said_in_a_stop() {
    let mut scene = late();
    scene.world.tell(Event::Stop);
    assert_eq!((scene.next(), says(&mut scene)), (None, 0));
}

#[test]
fn nothing_is_said_of_one_that_was_forgotten() {
    let mut scene = late();
    scene.readiness.forget(OLD);
    assert_eq!((scene.next(), says(&mut scene)), (None, 0));
}
