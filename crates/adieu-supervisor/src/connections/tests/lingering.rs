//! A connection whose answer is complete: open until the client has closed it, or for its time.

use super::super::handoff::Lingering;
use super::*;

const LINGER: Duration = Duration::from_secs(2);

fn lingering(scene: &Scene) -> (TcpStream, Lingering) {
    let (client, program) = scene.connect();
    (client, Lingering::new(program.into(), scene.world.now))
}

#[test]
fn it_says_that_the_answer_has_ended() {
    let scene = Scene::new(World::serving());
    let (mut client, _lingering) = lingering(&scene);
    assert_eq!(client.read(&mut [0; 1]).expect("no reset"), 0);
}

#[test]
fn it_is_over_when_the_client_has_closed() {
    let scene = Scene::new(World::serving());
    let (mut client, lingering) = lingering(&scene);
    assert!(!lingering.is_over(scene.world.now), "the client is there");
    client.write_all(b"one more").expect("it is open");
    eventually("what came is passed over", || {
        assert!(!lingering.is_over(scene.world.now), "the client is there");
        scene.listed_as_closing().then_some(())
    });
    drop(client);
    eventually("the client's end is seen", || lingering.is_over(scene.world.now).then_some(()));
}

#[test]
fn it_is_over_when_its_time_is() {
    let scene = Scene::new(World::serving());
    let (_client, lingering) = lingering(&scene);
    assert!(!lingering.is_over(scene.world.now + (LINGER - Duration::from_millis(1))));
    assert!(lingering.is_over(scene.world.now + LINGER));
}

#[test]
fn it_is_over_when_the_client_has_reset_it() {
    let scene = Scene::new(World::serving());
    let (client, program) = scene.connect();
    // What is unread at its close resets the connection.
    (&program).write_all(b"unread").expect("there is room");
    eventually("it has come", || client.peek(&mut [0; 1]).is_ok().then_some(()));
    let watched = program.try_clone().expect("ours");
    let lingering = Lingering::new(program.into(), scene.world.now);
    drop(client);
    eventually("it is reset", || {
        let ready = adieu_linux::poll::poll(&[(watched.as_fd(), adieu_linux::poll::Readiness::READ)], None);
        ready.expect("it is open")[0].hung_up.then_some(())
    });
    assert!(lingering.is_over(scene.world.now));
}

#[test]
fn it_is_closed_as_soon_as_it_is_over_and_not_before() {
    let mut scene = Scene::new(World::serving());
    let (client, first) = lingering(&scene);
    let (_other, second) = lingering(&scene);
    scene.connections.lingering.extend([first, second]);
    scene.turn();
    assert_eq!(scene.connections.lingering.len(), 2);
    drop(client);
    scene.until("one is closed", |scene| scene.connections.lingering.len() == 1);
    scene.turn_after(LINGER);
    assert_eq!(scene.connections.lingering.len(), 0);
}

impl Scene {
    /// Whether what the client has sent after our FIN has been read.
    fn listed_as_closing(&self) -> bool {
        let states = [state::FIN_WAIT1, state::FIN_WAIT2];
        let all = diag::tcp_sockets(&self.sockets.places(OLD), &states).expect("they can be listed");
        let received = |socket: &diag::Socket| socket.info.is_some_and(|info| info.bytes_received == 8);
        all.iter().any(|socket| received(socket) && socket.receive_queue == 0)
    }
}
