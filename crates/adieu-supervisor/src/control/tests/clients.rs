//! Who is let in, and how long a connection lasts.

use adieu_core::switch::Generation;

use super::*;
use crate::testing::{alone, alone_with};

#[test]
fn so_many_clients_are_let_in_and_the_next_is_told_to_try_again() {
    drop(alone(|| {
        let mut control = control();
        let mut clients: Vec<_> = (0..MOST_CLIENTS).map(|_| client(&mut control).0).collect();
        assert_eq!(control.clients().count(), MOST_CLIENTS);
        assert!(clients.iter().all(|client| answers(client) == (Vec::new(), false)), "they are waited for");
        let (refused, _) = client(&mut control);
        assert_eq!(dones(&refused), [(code::FINDING, "too many clients at once: try again".to_owned())]);
        assert_eq!(control.clients().count(), MOST_CLIENTS, "a refused one is not kept");
        assert!(answers(&refused).1, "and not waited for");
        // One has gone: there is room.
        drop(clients.pop());
        let last = ClientId(MOST_CLIENTS - 1);
        assert_eq!(control.read(last), None);
        control.advance();
        let (next, id) = client(&mut control);
        assert_eq!((answers(&next), id), ((Vec::new(), false), last));
    }));
}

#[test]
fn a_connection_ends_with_its_last_answer() {
    drop(alone(|| {
        let mut control = control();
        let (stream, id) = client(&mut control);
        control.say(id, &Reply::Progress { step: Step::Queued, text: "one".to_owned() });
        control.advance();
        assert_eq!(answers(&stream), (vec![Reply::Progress { step: Step::Queued, text: "one".to_owned() }], false));
        control.done(id, 3, Some("over".to_owned()));
        assert_eq!(dones(&stream), [(3, "over".to_owned())]);
        assert!(!answers(&stream).1);
        control.advance();
        assert!(answers(&stream).1);
        assert_eq!(control.clients().count(), 0);
        // Whoever is gone is told nothing.
        control.say(id, &Reply::Progress { step: Step::Queued, text: "late".to_owned() });
        control.done(id, 0, None);
        control.wait_for_end(id);
        assert_eq!(control.read(id), None);
    }));
}

#[test]
fn what_does_not_fit_is_written_when_there_is_room() {
    let mut control = control();
    let (stream, id) = client(&mut control);
    assert_eq!(sources(&control), [(Source::Clients, false)]);
    let text = "x".repeat(4 << 20);
    control.say(id, &Reply::Progress { step: Step::Queued, text: text.clone() });
    control.done(id, 0, None);
    control.advance();
    assert_eq!(sources(&control), [(Source::Clients, true)], "it has its last answer and not all of it");
    let reader = std::thread::spawn(move || {
        stream.set_nonblocking(false).expect("ours");
        std::io::read_to_string(&stream).expect("text")
    });
    until("all is written", || {
        assert!(control.clients().all(|client| control.read(client).is_none()));
        control.advance();
        control.clients().count() == 0
    });
    let said = reader.join().expect("no panic");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(serde_json::from_str::<Reply>(lines[0]).expect("whole"), Reply::Progress { step: Step::Queued, text });
}

#[test]
fn a_client_that_goes_does_not_stop_what_it_has_asked_for() {
    drop(alone(|| {
        let mut control = control();
        let (stream, id) = client(&mut control);
        let request = control.ask_reload(Some((id, Wait::Settled)), Change::default());
        drop(stream);
        assert_eq!(control.read(id), None);
        control.advance();
        assert_eq!(control.clients().count(), 0);
        assert!(control.change(Some(request)).is_some());
        // Nobody is left to be told.
        let world = crate::testing::World::reloading();
        control.progress(&world.view(), request, Step::Starting(Generation::new(2)), "starts", &[]);
        assert!(control.change(Some(request)).is_some());
    }));
}

#[test]
fn a_client_that_has_gone_before_it_is_answered_is_forgotten() {
    drop(alone(|| {
        let mut control = control();
        let (stream, id) = client(&mut control);
        drop(stream);
        control.say(id, &Reply::Progress { step: Step::Queued, text: "lost".to_owned() });
        control.advance();
        assert_eq!(control.clients().count(), 0);
    }));
}

#[test]
fn an_instance_accepts_until_it_is_closed() {
    drop(alone_with(&[("ADIEU_RUNTIME_DIR", "{}")], || {
        let instance = Instance::take(Some("web"), "").expect("free");
        let mut control = Control::new(Some(instance));
        assert_eq!(control.name(), "web");
        assert_eq!(sources(&control), [(Source::Accept, false)]);
        control.accept();
        assert_eq!(control.clients().count(), 0);
        let streams = [connect("web").expect("it listens"), connect("web").expect("it listens")];
        control.accept();
        assert_eq!(control.clients().count(), 2, "all that wait are let in");
        assert_eq!(sources(&control).len(), 3);
        send(&streams[1], &Request::Status {});
        let asked: Vec<_> = control.clients().filter_map(|client| control.read(client)).collect();
        assert_eq!(asked, [Request::Status {}]);
        control.close();
        assert_eq!(control.name(), "");
        assert_eq!(sources(&control).len(), 2, "those that are in stay");
        assert!(connect("web").is_err());
        control.accept();
    }));
}
