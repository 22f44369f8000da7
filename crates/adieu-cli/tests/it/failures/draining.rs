//! Draining from outside: a server that knows nothing of stop signals is asked to stop when nobody is owed an answer. One
//! has a thread for each connection and blocks in it, the other one loop for all.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{server, service};
use crate::harness::proc::kill;
use crate::harness::{Instance, NEVER, NEVER_AND_MORE, PATIENCE, PYTHON, Run, until};

/// Patient: whatever ends has not been given up.
const PATIENT: &[&str] = &["--drain-timeout", NEVER, "--drain-quiet", NEVER, "--grace", NEVER_AND_MORE];

/// When nothing has come of an answer for so long, its end may be taken to have come: adieu wants to see 50 ms.
const LOOKS_OVER: Duration = Duration::from_millis(40);

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
    stream
}

/// Reads the only answer; its body.
fn answer(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    next_answer(&mut stream)
}

/// Reads one answer; its body.
fn next_answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut body = vec![0; content_length(stream)?];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// Reads the head of an answer.
fn content_length(stream: &mut TcpStream) -> io::Result<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.ok_or_else(|| io::Error::other(head.clone()))
}

/// Reads what there is of the only answer: the length of its body, and the longest time in which nothing came of it, up to
/// its end.
fn download(mut stream: TcpStream) -> io::Result<(usize, Duration)> {
    let wanted = content_length(&mut stream)?;
    let (mut got, mut pause, mut buffer) = (0, Duration::ZERO, vec![0; 1 << 16]);
    let (mut more, mut last) = (true, Instant::now());
    while more && got < wanted {
        let length = stream.read(&mut buffer).unwrap_or(0);
        pause = pause.max(last.elapsed());
        (got, more, last) = (got + length, length > 0, Instant::now());
    }
    Ok((got, pause))
}

/// The server with threads.
fn threads() -> [String; 2] {
    [PYTHON.to_owned(), server()]
}

/// The server with a loop.
fn a_loop() -> [String; 2] {
    ["node".to_owned(), server().replace(".py", ".js")]
}

/// A client: what it asks for, and how it goes on from there.
struct Client<T> {
    request: Vec<u8>,
    rest: fn(TcpStream) -> io::Result<T>,
}

fn get(path: &str, rest: fn(TcpStream) -> io::Result<Vec<u8>>) -> Client<Vec<u8>> {
    Client { request: format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into(), rest }
}

/// Asks the first generation for all of this, reloads, and returns what the clients got.
fn reloads_under<T: Send + 'static>(program: [String; 2], clients: Vec<Client<T>>) -> Vec<T> {
    let service = service().options(PATIENT).program(&program).serving();
    let port = service.port();
    let start = |Client { request, rest }| {
        let mut stream = connect(port);
        stream.write_all(&request).expect("it is connected");
        thread::spawn(move || rest(stream))
    };
    let clients: Vec<_> = clients.into_iter().map(start).collect();
    service.must_reload(&["--wait", "drained"]);
    let account = service.account();
    service.end();
    let got = clients.into_iter().map(|client| client.join().expect("no client panics"));
    got.map(|got| got.unwrap_or_else(|error| panic!("{error}\n{account}"))).collect()
}

#[test]
fn slow_answers_are_given() {
    for program in [threads(), a_loop()] {
        let clients = [50, 300, 500, 1000, 2000, 3000].map(|millis| get(&format!("/sleep/{millis}"), answer));
        for answer in reloads_under(program, clients.into()) {
            assert!(answer.starts_with(b"generation 1 "), "{answer:?}");
        }
    }
}

/// The control: asked to stop at once, the server answers none of them.
#[test]
fn without_a_drain_they_are_cut_off() {
    let (service, mut client, _) = stuck(service().options(PATIENT));
    kill(service.main(1), Signal::TERM);
    assert!(client.read(&mut [0]).is_ok_and(|read| read == 0), "it ends without an answer");
}

#[test]
fn a_slow_upload_is_read_and_answered() {
    let rest = |mut stream: TcpStream| {
        for _ in 0..20 {
            stream.write_all(&[b'x'; 100_000])?;
            thread::sleep(Duration::from_millis(100));
        }
        answer(stream)
    };
    for program in [threads(), a_loop()] {
        let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n".to_vec();
        assert_eq!(reloads_under(program, vec![Client { request, rest }]), [b"2000000"]);
    }
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    let rest = |mut stream: TcpStream| {
        let (mut got, mut buffer) = (0, vec![0; 200_000]);
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(got),
                length => got += length,
            }
            thread::sleep(Duration::from_millis(50));
        }
    };
    for program in [threads(), a_loop()] {
        let request = b"GET /bytes/8000000/1000000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec();
        assert!(reloads_under(program, vec![Client { request, rest }])[0] > 8_000_000);
    }
}

#[test]
fn a_long_download_arrives_whole() {
    for (program, may_pause) in [(threads(), true), (a_loop(), false)] {
        let request = b"GET /bytes/50000000/20000000 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let [(length, pause)] = reloads_under(program, vec![Client { request, rest: download }])[..] else { panic!() };
        // Where a loop is kept from writing for long enough, its answer looks like one that is over.
        let not_kept_going = !may_pause && pause >= LOOKS_OVER;
        assert!(length == 50_000_000 || not_kept_going, "{length} bytes; the longest pause was {pause:?}");
    }
}

/// All requests are in the program's hands when the first answer comes: nothing in the connection tells that more are
/// owed. That nobody waits to read from it does.
#[test]
fn pipelined_requests_are_all_answered() {
    let request = b"GET /sleep/400 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5);
    let rest = |mut stream: TcpStream| (0..5).map(|_| next_answer(&mut stream)).collect::<io::Result<Vec<_>>>();
    for answer in reloads_under(threads(), vec![Client { request, rest }]).concat() {
        assert!(answer.starts_with(b"generation 1 "), "{answer:?}");
    }
}

/// An answer that comes in pieces with long pauses between them.
#[test]
fn an_answer_that_pauses_is_not_taken_for_ended() {
    assert_eq!(reloads_under(threads(), vec![get("/bytes/5/2", answer)]), [b"xxxxx"]);
}

#[test]
fn a_client_that_never_says_anything_does_not_hold_the_drain() {
    for program in [threads(), a_loop()] {
        silence_is_no_work(service().options(PATIENT).program(&program));
    }
}

fn silence_is_no_work(run: Run) {
    let service = run.serving();
    let _silent = connect(service.port());
    until("it is accepted", || {
        let counts = service.generation(1).map(|generation| generation["connections"].clone()).unwrap_or_default();
        ["owed", "unknown", "quiet"].iter().filter_map(|class| counts[class].as_u64()).sum::<u64>() == 1
    });
    // Were silence work, this would not end.
    service.replace();
    service.end();
}

/// A service with one request that is never answered; the address of its client.
fn stuck(run: Run) -> (Instance, TcpStream, SocketAddr) {
    let service = run.serving();
    let slow = super::slow_request(&service);
    until("it is under way", || service.generation(1).is_some_and(|it| it["connections"]["owed"] == 1));
    let address = slow.local_addr().expect("it is connected");
    (service, slow, address)
}

#[test]
fn what_outlasts_the_drain_is_named() {
    let (service, mut slow, address) = stuck(service().options(&["--drain-timeout", "1s", "--drain-quiet", NEVER]));
    service.must_reload(&["--wait", "drained"]);
    let told = format!("generation 1: stopped while 1 connections are owed an answer and 0 may be: {address}");
    assert!(service.timeline().contains(&told), "{}", service.account());
    assert_eq!(slow.read(&mut [0]).expect("it is closed"), 0);
    service.end();
}

#[test]
fn what_nothing_moves_on_is_given_up_and_named() {
    let (service, _slow, address) =
        stuck(service().options(&["--drain-timeout", NEVER, "--drain-quiet", "1s", "--grace", NEVER_AND_MORE]));
    let began = Instant::now();
    service.must_reload(&["--wait", "drained"]);
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}\n{}", began.elapsed(), service.account());
    let told = "generation 1: gave up 1 connections that are owed an answer, as nothing has moved on them for 1s: ";
    assert!(service.timeline().contains(&format!("{told}{address}")), "{}", service.account());
    service.end();
}

/// A final stop asks at once, as traffic would never end; with a linger it serves on for that long.
#[test]
fn a_final_stop_lingers_if_told_to() {
    let mut service = service().options(&["--linger", "5s"]).serving();
    let began = Instant::now();
    let stop = service.begin(&["stop", "s"]);
    service.wait_for_phase(1, "draining");
    assert_eq!(service.answers(), 1, "it still serves");
    assert_eq!(stop.end().code, 0);
    assert!(began.elapsed() >= Duration::from_millis(4990), "{:?}", began.elapsed());
    assert_eq!(service.wait(), 143);
    service.scene.nobody_is_left();
}

/// The command that asked for the stop is told when it took force.
#[test]
fn a_final_stop_that_takes_force_says_so() {
    let server = server();
    let program = ["sh", "-c", "trap '' TERM; \"$@\"", "sh", PYTHON, &server];
    let mut service = service().options(&["--grace", "500ms"]).program(&program).serving();
    let told = service.stop();
    assert!(told.code == 3 && told.error.contains("ended by force, exit code 137"), "{told:?}");
    assert_eq!(service.wait(), 137);
    service.scene.nobody_is_left();
}
