//! One closed-loop client: request, answer, next request; it goes on whatever happens, and says how each ended.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::class::Class;
use crate::config::Config;
use crate::exchange::{Ask, exchange, is_still_open};
use crate::record::Record;

/// A client that has lost a request waits so long before the next: what is counted is how long nobody could be served, and
/// not how fast a kernel refuses. So 32 clients lose about 1,600 requests a second while nobody listens.
pub const AFTER_A_LOSS: Duration = Duration::from_millis(20);

/// What every client needs to know.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) config: Config,
    /// Which of the target's addresses answers.
    pub(crate) address: SocketAddr,
    /// The status of its answer before the load.
    pub(crate) status: Option<u16>,
}

/// Loads the target until `over` becomes true. Not cancelled in the middle of a request: the last one is counted too.
pub(crate) async fn client(errand: &Errand, keeps: bool, record: &Record, over: watch::Receiver<bool>) {
    let Errand { config, address, status } = errand;
    let request = request(config, keeps);
    let mut ask = Ask {
        request: &request,
        timeout: config.timeout,
        expect: config.expect.as_deref(),
        status: *status,
        race: config.race,
    };
    let mut idle: Option<TcpStream> = None;
    while !*over.borrow() {
        let start = Instant::now();
        let reused = idle.take().filter(is_still_open);
        let was_reused = reused.is_some();
        let connected = match reused {
            Some(stream) => Ok(stream),
            None => connect(*address, config.timeout).await.inspect(|_| record.connected(start.elapsed())),
        };
        let class = match connected {
            Err(Unconnected::Lost(class)) => class,
            Err(Unconnected::Ours(error)) => return record.trouble(&error),
            Ok(mut stream) => {
                ask.race = config.race + record.fastest_connection();
                let ended = exchange(&mut stream, &ask, was_reused).await;
                if ended.reusable && keeps {
                    idle = Some(stream);
                }
                ended.class
            }
        };
        record.push(start, class, was_reused);
        if class.is_lost() {
            tokio::time::sleep(AFTER_A_LOSS).await;
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Unconnected {
    /// The server's doing.
    Lost(Class),
    /// This machine has no port or no descriptor left, or must not connect: no fault of the server.
    Ours(std::io::Error),
}

/// Connects within `limit`, with TCP_NODELAY. Cancel safe.
///
/// # Errors
/// [`Unconnected`] says whose fault it is.
pub async fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, Unconnected> {
    let Ok(connected) = tokio::time::timeout(limit, TcpStream::connect(address)).await else {
        return Err(Unconnected::Lost(Class::Timeout));
    };
    let stream = connected.map_err(classify)?;
    if is_itself(&stream) {
        // Nothing of it may stay behind on the port.
        drop(stream.set_zero_linger());
        return Err(Unconnected::Lost(Class::Refused));
    }
    drop(stream.set_nodelay(true));
    Ok(stream)
}

fn classify(error: std::io::Error) -> Unconnected {
    match error.kind() {
        // A reset that arrives behind a FIN is EPIPE (Linux, `tcp_reset`): both may have come before anyone here looked.
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Unconnected::Lost(Class::Reset)
        }
        ErrorKind::TimedOut => Unconnected::Lost(Class::Timeout),
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown => Unconnected::Lost(Class::Refused),
        _ => Unconnected::Ours(error),
    }
}

/// Where nobody listens on one of the ports that the kernel gives to clients, it can give a client that very port: then it
/// is connected to itself, and whoever wants to listen there finds the address in use.
fn is_itself(stream: &TcpStream) -> bool {
    let (local, peer) = (stream.local_addr(), stream.peer_addr());
    matches!((local, peer), (Ok(local), Ok(peer)) if local == peer)
}

pub(crate) fn request(config: &Config, keeps: bool) -> Vec<u8> {
    let connection = if keeps { "keep-alive" } else { "close" };
    let (path, host) = (&config.target.path, &config.target.host);
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: adieu-drill\r\nConnection: {connection}\r\n\r\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_is_connected_to_itself_was_refused() {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port is free");
        let itself = socket.local_addr().expect("it is bound");
        let stream = socket.connect(itself).await.expect("nobody listens, and yet");
        assert!(is_itself(&stream));
    }

    #[test]
    fn what_is_no_fault_of_the_server() {
        for ours in [ErrorKind::AddrNotAvailable, ErrorKind::PermissionDenied, ErrorKind::OutOfMemory] {
            assert!(matches!(classify(ours.into()), Unconnected::Ours(_)), "{ours}");
        }
        for lost in
            [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::TimedOut]
        {
            assert!(matches!(classify(lost.into()), Unconnected::Lost(_)), "{lost}");
        }
    }
}
