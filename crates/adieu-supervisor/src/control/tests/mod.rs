//! Clients over real sockets.

mod clients;
mod ends;
mod reloads;
mod requests;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use adieu_core::wire::{self, Reply, Request};

use super::*;
use crate::interests::Interests;
use crate::testing::until;

/// A client that has been let in.
fn client(control: &mut Control) -> (UnixStream, ClientId) {
    let (theirs, ours) = UnixStream::pair().expect("a pair");
    control.admit(ours);
    theirs.set_nonblocking(true).expect("ours");
    (theirs, ClientId(control.clients.len().saturating_sub(1)))
}

fn control() -> Control {
    Control::new(None)
}

/// Everything that has been answered so far, and whether that is all there will be.
fn answers(stream: &UnixStream) -> (Vec<Reply>, bool) {
    let (mut bytes, mut over) = (Vec::new(), false);
    let mut buffer = [0; 65536];
    loop {
        match (&*stream).read(&mut buffer) {
            Ok(0) => over = true,
            Ok(length) => {
                bytes.extend_from_slice(&buffer[..length]);
                continue;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        break;
    }
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    (lines.map(|line| serde_json::from_slice(line).expect("a whole line")).collect(), over)
}

/// The codes and the texts of the last answers that have come.
fn dones(stream: &UnixStream) -> Vec<(i32, String)> {
    let done = |reply| match reply {
        Reply::Done { code, message, .. } => Some((code, message.unwrap_or_default())),
        _ => None,
    };
    answers(stream).0.into_iter().filter_map(done).collect()
}

fn send(stream: &UnixStream, request: &Request) {
    (&*stream).write_all(&wire::line(request)).expect("room");
}

/// What [`Control`] waits for.
fn sources(control: &Control) -> Vec<(Source, bool)> {
    let mut interests = Interests::default();
    control.interests(&mut interests);
    let writes: Vec<bool> = interests.descriptors().iter().map(|(_, readiness)| readiness.writable).collect();
    interests.into_sources().into_iter().zip(writes).collect()
}
