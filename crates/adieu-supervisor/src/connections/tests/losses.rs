//! What a generation that died unasked took with it.

use adieu_linux::reuseport;

use super::super::Losses;
use super::*;
use crate::view::View;

impl Scene {
    /// It has died; of its sockets its other processes hold these.
    fn losses(&mut self, held: &[u64]) -> Losses {
        self.entry(OLD).inodes = Some(Some(held.iter().copied().collect()));
        self.connections.losses_of(&self.world.view(), &self.table, &self.sockets, OLD)
    }
}

fn told(losses: &Losses, view: &View<'_>) -> Vec<String> {
    let mut out = Out::default();
    losses.tell(view, OLD, &mut out);
    out.texts().into_iter().map(str::to_owned).collect()
}

/// The text with the time since the last look, in milliseconds, replaced by a word.
fn timeless(note: &str) -> String {
    let (before, after) = note.split_once("(as seen ").expect("it says when");
    let (millis, after) = after.split_once(" ms before)").expect("it says when");
    assert!(millis.parse::<u64>().is_ok(), "{millis:?}");
    format!("{before}(as seen N ms before){after}")
}

#[test]
fn one_that_owed_nothing_has_cost_nothing() {
    let mut scene = Scene::new(World::serving());
    scene.turn();
    let losses = scene.losses(&[]);
    assert_eq!(told(&losses, &scene.world.view()), [""; 0]);
}

#[test]
fn what_was_owed_and_what_waited_is_told() {
    let mut scene = Scene::new(World::serving());
    let all = [scene.unanswered(), scene.unanswered(), scene.unanswered()];
    let _waiting = [0, 1].map(|_| TcpStream::connect(scene.address).expect("it listens"));
    scene.turn();
    let losses = scene.losses(&[]);
    let told = told(&losses, &scene.world.view());
    assert_eq!(told.len(), 1);
    assert_eq!(
        timeless(&told[0]),
        "generation 1 has died: 3 connections were owed an answer and 0 may have been, lost by the program (as seen N ms before); \
         2 connections waited in its accept queues and wait for the next generation"
    );
    drop(all);
}

#[test]
fn what_may_have_been_owed_is_told_apart() {
    let mut scene = Scene::new(World::serving());
    let (client, mut program) = scene.unanswered();
    // An answer that goes on: it is not known to have ended.
    scene.turn();
    scene.until("it is not known", |scene| {
        program.write_all(b"x").expect("there is room");
        scene.connections.looks.next = None;
        scene.connections.looks.ledgers[&OLD].counts().unknown == 1
    });
    let losses = scene.losses(&[]);
    let told = told(&losses, &scene.world.view());
    assert!(told[0].contains(": 0 connections were owed an answer and 1 may have been"), "{told:?}");
    drop(client);
}

#[test]
fn nothing_is_lost_of_one_that_was_asked_to_end() {
    let mut scene = Scene::new(World::draining());
    let (_client, _program) = scene.unanswered();
    let _waiting = TcpStream::connect(scene.address).expect("it listens");
    scene.turn();
    let losses = scene.losses(&[]);
    assert_eq!(told(&losses, &scene.world.view()).len(), 1, "so far it was not asked");
    scene.world.tell(Event::Drained(OLD));
    let losses = scene.losses(&[]);
    assert_eq!(told(&losses, &scene.world.view()), [""; 0]);
}

#[test]
fn nothing_is_lost_in_a_stop() {
    let mut scene = Scene::new(World::settling());
    let (_client, _program) = scene.unanswered();
    scene.turn();
    scene.world.tell(Event::Stop);
    let losses = scene.losses(&[]);
    assert_eq!(told(&losses, &scene.world.view()), [""; 0]);
}

#[test]
fn what_other_processes_of_it_hold_may_be_answered_yet() {
    let mut scene = Scene::new(World::serving());
    let (_lost, _closed) = scene.unanswered();
    let (_kept, program) = scene.unanswered();
    let _waiting = TcpStream::connect(scene.address).expect("it listens");
    scene.turn();
    let inode = |fd: std::os::fd::BorrowedFd<'_>| calls::inode_and_owner(fd).expect("ours").0;
    let (kept, listener) = (inode(program.as_fd()), inode(scene.listener.as_fd()));
    let losses = scene.losses(&[kept]);
    let of_one = told(&losses, &scene.world.view());
    assert!(of_one[0].contains("1 connections were owed an answer and 0 may"), "{of_one:?}");
    assert!(of_one[0].contains("; 1 connections waited"), "{of_one:?}");
    let losses = scene.losses(&[kept, listener]);
    assert!(!told(&losses, &scene.world.view())[0].contains("waited"), "its queue is emptied by another process");
}

#[test]
fn before_the_first_look_only_its_queues_are_known() {
    let mut scene = Scene::new(World::serving());
    let (_client, _program) = scene.unanswered();
    let _waiting = TcpStream::connect(scene.address).expect("it listens");
    let losses = scene.losses(&[]);
    let note = "generation 1 has died: 1 connections waited in its accept queues and wait for the next generation";
    assert_eq!(told(&losses, &scene.world.view()), [note]);
}

#[test]
fn where_it_drains_its_drain_knows_best() {
    let mut scene = Scene::new(World::draining());
    scene.table.may_duplicate = Some(false);
    scene.turn();
    let (_client, _program) = scene.unanswered();
    scene.connections.looks.next = Some(scene.world.now + Duration::from_secs(3600));
    scene.watch_owed();
    scene.turn();
    assert_eq!(scene.connections.looks.ledgers[&OLD].counts().owed, 0);
    let losses = scene.losses(&[]);
    assert!(told(&losses, &scene.world.view())[0].contains(": 1 connections were owed an answer"));
}

#[test]
fn what_waited_goes_to_whoever_serves_as_far_as_the_kernel_lets_it() {
    let mut scene = Scene::new(World::settling());
    let _waiting = TcpStream::connect(scene.address).expect("it listens");
    let losses = scene.losses(&[]);
    let fate = if reuseport::may_migrate() { "go to generation 2" } else { "are lost (net.ipv4.tcp_migrate_req is 0)" };
    let note = format!("generation 1 has died: 1 connections waited in its accept queues and {fate}");
    assert_eq!(told(&losses, &scene.world.view()), [note]);
}

#[test]
fn what_waited_is_lost_when_everything_ends() {
    let mut scene = Scene::new(World::settling());
    let _waiting = TcpStream::connect(scene.address).expect("it listens");
    let losses = scene.losses(&[]);
    scene.world.tell(Event::Stop);
    let note = "generation 1 has died: 1 connections waited in its accept queues and are lost";
    assert_eq!(told(&losses, &scene.world.view()), [note]);
}
