//! What goes wrong around a switch: newcomers that fail, processes that are killed at any step of it, stops and reloads in
//! the middle of others. Whoever is left serves, nobody is refused, and what happened is told.

mod alone;
mod command;
mod crashes;
mod draining;
mod flat;
mod meetings;
mod messages;
mod newcomer;
mod settling;
mod steps;
mod watched;

use std::io::Write;
use std::net::TcpStream;

use crate::harness::{Instance, PYTHON, Run, Scene};

/// Short, so that a reload is over soon; the defaults only wait longer for the same.
const QUICK: &[&str] = &["--settle", "200ms", "--drain-timeout", "5s", "--drain-quiet", "1s", "--grace", "10s"];

/// For `--ready-timeout`, where one that never gets ready is waited for, and a good one is started as well.
const GOOD: &str = "5s";

/// `programs/server.py` with [`QUICK`], called `s`.
fn service() -> Run {
    Scene::new().run().name("s").options(QUICK).program(&[PYTHON, &server()])
}

/// The path of the server.
fn server() -> String {
    format!("{}/tests/it/failures/programs/server.py", env!("CARGO_MANIFEST_DIR"))
}

/// A request that is not answered in the time of a test.
fn slow_request(service: &Instance) -> TcpStream {
    request(service, "/sleep/600000")
}

/// A request whose answer is not waited for.
fn request(service: &Instance, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", service.port())).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    stream
}
