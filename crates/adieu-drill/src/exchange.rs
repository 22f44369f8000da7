//! One request and its answer on one connection, classified by what really came and by what the kernel knows of it.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use adieu_linux::connections;
use adieu_linux::diag::state;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::answer::{Answer, End};
use crate::class::Class;

/// What is asked, and what is expected.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The request, or what is left of it to be sent.
    pub request: &'a [u8],
    /// For the whole answer.
    pub timeout: Duration,
    /// That the body must contain.
    pub expect: Option<&'a str>,
    /// That the answer must have; `None`: any below 500.
    pub status: Option<u16>,
    /// A reset that comes later, and no FIN before it, is a loss.
    pub race: Duration,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How it is counted.
    pub class: Class,
    /// Of a whole answer.
    pub status: Option<u16>,
    /// The connection can be used again.
    pub reusable: bool,
}

impl Ended {
    fn with(class: Class) -> Self {
        Self { class, status: None, reusable: false }
    }
}

/// Sends the request and reads its answer. `reused`: the connection has carried another request before. Not cancel safe:
/// dropped before its end, it leaves the connection in the middle of an exchange.
pub async fn exchange(stream: &mut TcpStream, ask: &Ask<'_>, reused: bool) -> Ended {
    let began = Instant::now();
    let mut answer = Answer::new(ask.expect);
    let attempt = async {
        stream.write_all(ask.request).await?;
        read(stream, &mut answer).await
    };
    match tokio::time::timeout(ask.timeout, attempt).await {
        Err(_) => Ended::with(Class::Timeout),
        Ok(Ok(Some(End::Whole { status, keeps }))) => {
            let class = match status {
                500.. => Class::ServerError,
                _ if answer.is_as_wanted() && ask.status.is_none_or(|wanted| wanted == status) => Class::Ok,
                _ => Class::WrongBody,
            };
            Ended { class, status: Some(status), reusable: keeps && class != Class::WrongBody }
        }
        Ok(Ok(Some(End::NotHttp))) => Ended::with(Class::WrongBody),
        Ok(Ok(None)) if answer.is_empty() => {
            let raced = reused && (is_unacknowledged(stream) || is_reset_within(stream, ask.race).await);
            Ended::with(if raced { Class::Race } else { Class::Reset })
        }
        Ok(Err(_)) if answer.is_empty() => {
            let raced = reused && began.elapsed() <= ask.race;
            Ended::with(if raced { Class::Race } else { Class::Reset })
        }
        Ok(Ok(None) | Err(_)) => Ended::with(Class::Cut),
    }
}

/// Whether the connection can carry another request: a FIN or stray bytes mean that it cannot. Asks the kernel: what tokio
/// knows may be older.
pub(crate) fn is_still_open(stream: &TcpStream) -> bool {
    let waiting = connections::receive_now(stream.as_fd(), &mut [0; 1], true);
    matches!(waiting, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Reads to the end of the answer; `None` when the connection ended before.
async fn read(stream: &mut TcpStream, answer: &mut Answer) -> io::Result<Option<End>> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return Ok(answer.close()),
            Ok(length) => {
                if let Some(end) = answer.feed(buffer.get(..length).unwrap_or_default()) {
                    return Ok(Some(end));
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// After a FIN: whether it was sent before the request arrived. A FIN acknowledges all that had arrived by then, so what is
/// still unacknowledged cannot have been read. (Acknowledged means nothing: that may have come later.)
fn is_unacknowledged(stream: &TcpStream) -> bool {
    let counters = connections::counters(stream.as_fd());
    counters.is_ok_and(|now| now.state == state::CLOSE_WAIT && now.info.segments_unacked > 0)
}

/// After a FIN: does a reset follow? Then nobody has read the request: the socket was closed when it arrived, or was closed
/// with the request in it.
async fn is_reset_within(stream: &mut TcpStream, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    loop {
        // SO_ERROR: a reset after a FIN shows as EPIPE.
        if stream.take_error().ok().flatten().is_some() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};

    use rustix::net::sockopt;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    /// Both ends of a connection that has carried a request before. What follows happens in the order in which a test does
    /// it: on loopback the kernel has delivered a segment when the call that sent it returns.
    async fn used() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let mut client = TcpStream::connect(listener.local_addr().expect("it has one")).await.expect("it listens");
        let (mut server, _) = listener.accept().expect("it is connected");
        client.set_nodelay(true).expect("an option");
        client.write_all(REQUEST).await.expect("sent");
        server.read_exact(&mut [0; REQUEST.len()]).expect("received");
        server.write_all(ANSWER).expect("sent");
        client.read_exact(&mut [0; ANSWER.len()]).await.expect("received");
        (client, server)
    }

    fn ask(race: Duration) -> Ask<'static> {
        Ask { request: REQUEST, timeout: Duration::from_secs(60), expect: None, status: None, race }
    }

    /// No machine is so slow.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn closed_before_the_request_came_is_a_race() {
        let (mut client, server) = used().await;
        drop(server);
        // Between the look at the connection and the write: the client does not look again.
        assert_eq!(exchange(&mut client, &ask(Duration::ZERO), true).await.class, Class::Race);
    }

    /// A server that lingers: it has sent its FIN and reads on, to the end of file. Its kernel acknowledges the request after
    /// some 40 ms, and a client that looks only then knows less: so more than one try.
    #[tokio::test]
    async fn half_closed_before_the_request_came_is_a_race_without_any_reset() {
        for _ in 0..20 {
            let (mut client, server) = used().await;
            server.shutdown(Shutdown::Write).expect("it is open");
            if exchange(&mut client, &ask(Duration::ZERO), true).await.class == Class::Race {
                return;
            }
        }
        panic!("never a race");
    }

    #[tokio::test]
    async fn read_and_closed_is_a_loss_however_long_one_waits_for_a_reset() {
        let (mut client, mut server) = used().await;
        let reader = std::thread::spawn(move || server.read_exact(&mut [0; REQUEST.len()]));
        assert_eq!(exchange(&mut client, &ask(Duration::from_millis(300)), true).await.class, Class::Reset);
        reader.join().expect("no panic").expect("it was read");
    }

    /// As hyper does with a connection that is idle as far as it knows.
    #[tokio::test]
    async fn half_closed_and_closed_with_the_request_unread_is_a_race() {
        let (mut client, server) = used().await;
        let closer = std::thread::spawn(move || {
            server.peek(&mut [0]).expect("the request comes");
            server.shutdown(Shutdown::Write).expect("it is open");
        });
        assert_eq!(exchange(&mut client, &ask(LONG), true).await.class, Class::Race);
        closer.join().expect("no panic");
    }

    #[tokio::test]
    async fn a_reset_is_a_race_within_the_time_and_a_loss_after_it() {
        for (race, class) in [(LONG, Class::Race), (Duration::from_millis(20), Class::Reset)] {
            let (mut client, server) = used().await;
            let closer = std::thread::spawn(move || {
                server.peek(&mut [0]).expect("the request comes");
                std::thread::sleep(Duration::from_millis(40));
            });
            assert_eq!(exchange(&mut client, &ask(race), true).await.class, class);
            closer.join().expect("no panic");
        }
    }

    #[tokio::test]
    async fn what_happens_to_a_fresh_connection_is_never_a_race() {
        let (mut client, server) = used().await;
        drop(server);
        assert_eq!(exchange(&mut client, &ask(LONG), false).await.class, Class::Reset);
        let (mut client, server) = used().await;
        sockopt::set_socket_linger(&server, Some(Duration::ZERO)).expect("an option");
        drop(server);
        assert_eq!(exchange(&mut client, &ask(LONG), false).await.class, Class::Reset);
    }

    #[tokio::test]
    async fn a_closed_connection_is_seen_without_waiting_for_the_runtime() {
        let (client, server) = used().await;
        assert!(is_still_open(&client));
        drop(server);
        // No await since: tokio has heard nothing.
        assert!(!is_still_open(&client));
    }
}
