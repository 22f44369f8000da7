//! Connections that are read without O_NONBLOCK: parked only where their reader can be kept from them and woken again.

use std::os::fd::AsRawFd;

use adieu_core::park::Parked;
use adieu_linux::blocked;

use super::*;

impl Scene {
    /// As [`Scene::connect`], read without O_NONBLOCK.
    fn connect_blocking(&self) -> (TcpStream, TcpStream) {
        let (client, program) = self.connect();
        program.set_nonblocking(false).expect("ours");
        (client, program)
    }
}

fn waits_to_read(fd: i32) -> bool {
    blocked::threads_of(own_pid()).expect("our own threads").readers.contains_key(&fd)
}

#[test]
fn one_that_nobody_waits_for_is_not_parked_and_is_worked_on() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect_blocking();
    let (_other, non_blocking) = scene.connect();
    let mut lot = scene.lot();
    lot.look();
    assert_eq!(lot.park(cookie(&program)), Parked::Blocking);
    assert_eq!((low_water(&program), lot.held.len()), (1, 0));
    assert_eq!(lot.worked_on(), [cookie(&program)].into());
    drop(non_blocking);
}

#[test]
fn one_that_a_thread_reads_from_already_is_parked_and_given_back() {
    let scene = Scene::new(World::draining());
    let (mut client, mut program) = scene.connect_blocking();
    let (fd, own) = (program.as_raw_fd(), cookie(&program));
    let reader = std::thread::spawn(move || {
        let mut byte = [0; 1];
        program.read_exact(&mut byte).expect("it comes");
        byte
    });
    let mut lot = scene.lot();
    eventually("it is read from", || waits_to_read(fd).then_some(()));
    eventually("it is parked", || {
        lot.look();
        (lot.park(own) == Parked::Done).then_some(())
    });
    assert_eq!(lot.worked_on(), [].into(), "its thread waits");
    client.write_all(b"x").expect("it is open");
    eventually("it has come", || (super::super::lot::peek(lot.held[&own].as_fd()).1 == b"x").then_some(()));
    assert!(waits_to_read(fd), "its thread is not woken");
    lot.give_back(own);
    assert_eq!(reader.join().expect("no panic"), *b"x");
}

#[test]
fn one_that_a_thread_polls_is_parked() {
    let scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect_blocking();
    let own = cookie(&program);
    let reader = std::thread::spawn(move || {
        drop(adieu_linux::poll::poll(&[(program.as_fd(), adieu_linux::poll::Readiness::READ)], None));
        take(&program, 1)
    });
    let mut lot = scene.lot();
    eventually("it is parked", || {
        lot.look();
        (lot.park(own) == Parked::Done).then_some(())
    });
    assert_eq!(lot.worked_on(), [].into(), "its thread waits");
    lot.give_back(own);
    client.write_all(b"x").expect("it is open");
    assert_eq!(reader.join().expect("no panic"), b"x");
}

#[test]
fn the_end_of_an_answer_is_held_back_until_its_reader_is_there() {
    let mut scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect_blocking();
    let own = cookie(&program);
    // Answered as far as can be told, or not: it was asked and answered within one tick of the clock.
    eventually("it is not known whether it is answered", || {
        ask(&client, &program);
        answer(&client, &program);
        let seen = scene.lot().look()[0];
        (seen.sent_ago_ms == seen.received_ago_ms).then_some(())
    });
    scene.watch_owed();
    scene.turn();
    let lot = &scene.connections.lots[0];
    assert!(lot.held.is_empty(), "nobody waits to read from it");
    let held_back = connections::is_corked(program.as_fd());
    assert_eq!(low_water(&program), 1);
    let fd = program.as_raw_fd();
    let reader = std::thread::spawn(move || {
        let request = take(&program, REQUEST.len());
        (program, request)
    });
    scene.until("its reader is seen", |scene| waits_to_read(fd) && scene.connections.lots[0].held.contains_key(&own));
    assert!(held_back || scene.connections.lots[0].is_settled(own), "it was known to be answered");
    scene.roll_back();
    scene.until("it is given back", |scene| scene.connections.lots.is_empty());
    client.write_all(REQUEST).expect("it is open");
    let (program, request) = reader.join().expect("no panic");
    assert_eq!(request, REQUEST);
    assert!(!connections::is_corked(program.as_fd()));
}
