//! When there is something to do next: the earliest of all that is waited for.

use super::super::handoff::{Handoff, Lingering};
use super::super::watches::{OwedWatch, QueueWatch};
use super::*;
use crate::interests::{Interests, Source};

const HOUR: Duration = Duration::from_secs(3600);

fn next(scene: &Scene) -> Option<Duration> {
    scene.connections.next(&scene.world.view()).map(|at| at - scene.world.now)
}

fn queue_watch(scene: &Scene, after: Duration) -> QueueWatch {
    QueueWatch { generation: OLD, next: scene.world.now + after, handshakes: Vec::new(), drains: false, hide_at: None }
}

fn owed_watch(scene: &Scene, after: Duration) -> OwedWatch {
    let (ledger, peers) = (super::super::state::new_ledger(&scene.world.view()), Default::default());
    let (next, fewest) = (scene.world.now + after, (0, scene.world.now));
    OwedWatch { generation: OLD, next, connections: Vec::new(), ledger, peers, fewest }
}

fn handoff(scene: &Scene) -> (TcpStream, Handoff) {
    let (client, program) = scene.connect();
    let deadline = clock::now() + HOUR;
    let handoff = Handoff::connect((OLD, 1), program.into(), scene.address, REQUEST.to_vec(), deadline);
    (client, handoff.expect("it listens"))
}

#[test]
fn with_nothing_to_wait_for_there_is_nothing_to_do() {
    let scene = Scene::new(World::serving());
    assert_eq!(next(&scene), None);
}

#[test]
fn the_earliest_comes_first() {
    let mut scene = Scene::new(World::serving());
    scene.connections.looks.next = Some(scene.world.now + HOUR * 9);
    assert_eq!(next(&scene), Some(HOUR * 9));
    let watch = queue_watch(&scene, HOUR * 8);
    scene.connections.queue_watches.push(watch);
    assert_eq!(next(&scene), Some(HOUR * 8));
    let watch = owed_watch(&scene, HOUR * 7);
    scene.connections.owed_watches.push(watch);
    assert_eq!(next(&scene), Some(HOUR * 7));
    let mut lot = scene.lot();
    lot.next = scene.world.now + HOUR * 6;
    scene.connections.lots.push(lot);
    assert_eq!(next(&scene), Some(HOUR * 6));
    let later = queue_watch(&scene, HOUR * 10);
    scene.connections.queue_watches.push(later);
    assert_eq!(next(&scene), Some(HOUR * 6), "one that comes later changes nothing");
}

#[test]
fn what_is_under_way_is_looked_at_often() {
    let mut scene = Scene::new(World::serving());
    let (_client, program) = scene.connect();
    scene.connections.lingering.push(Lingering::new(program.into(), scene.world.now));
    assert_eq!(next(&scene), Some(Duration::from_millis(20)));
    scene.connections.lingering.clear();
    let (_client, handoff) = handoff(&scene);
    scene.connections.handoffs.push(handoff);
    assert_eq!(next(&scene), Some(Duration::from_millis(20)));
}

#[test]
fn requests_under_way_are_waited_for_by_their_descriptors() {
    let mut scene = Scene::new(World::serving());
    let mut none = Interests::default();
    scene.connections.interests(&mut none);
    assert_eq!(none.descriptors().len(), 0);
    let (_client, handoff) = handoff(&scene);
    scene.connections.handoffs.push(handoff);
    let mut one = Interests::default();
    scene.connections.interests(&mut one);
    assert_eq!(one.descriptors().len(), 1);
    assert_eq!(one.into_sources(), [Source::Other]);
}
