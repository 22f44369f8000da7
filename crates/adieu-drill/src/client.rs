//! One closed-loop client: request, answer, next request; it goes on whatever happens, and says how each ended.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::class::Class;
use crate::config::Config;
use crate::exchange::exchange;
use crate::record::{Entry, Record};

/// A refused client waits so long before it tries again: a closed loop without it would count how fast a kernel refuses.
const AFTER_REFUSAL: Duration = Duration::from_millis(2);

/// Loads the target until `over` becomes true. Not cancelled in the middle of a request: the last one is counted too.
pub(crate) async fn client(config: &Config, keeps: bool, began: Instant, record: &Record, over: watch::Receiver<bool>) {
    let request = request(config, keeps);
    let mut idle: Option<TcpStream> = None;
    while !*over.borrow() {
        let start = Instant::now();
        let reused = idle.take().filter(is_still_open);
        let was_reused = reused.is_some();
        let connected = match reused {
            Some(stream) => Ok(stream),
            None => connect(config).await,
        };
        let class = match connected {
            Err(class) => class,
            Ok(mut stream) => {
                let ended = exchange(&mut stream, &request, was_reused, config.timeout, config.expect.as_deref()).await;
                if ended.reusable && keeps {
                    idle = Some(stream);
                }
                ended.class
            }
        };
        let now = Instant::now();
        record.push(Entry { ended: now - began, took: now - start, class, reused: was_reused });
        if class == Class::Refused {
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }
}

async fn connect(config: &Config) -> Result<TcpStream, Class> {
    match tokio::time::timeout(config.timeout, TcpStream::connect(config.target.address)).await {
        Err(_) => Err(Class::Timeout),
        Ok(Ok(stream)) => {
            drop(stream.set_nodelay(true));
            Ok(stream)
        }
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Err(Class::Refused),
        Ok(Err(_)) => Err(Class::Reset),
    }
}

/// Whether nothing has come on an idle connection: a FIN or stray bytes mean that it cannot be used again.
fn is_still_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

pub(crate) fn request(config: &Config, keeps: bool) -> Vec<u8> {
    let connection = if keeps { "keep-alive" } else { "close" };
    let (path, host) = (&config.target.path, &config.target.host);
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: adieu-drill\r\nConnection: {connection}\r\n\r\n")
        .into_bytes()
}
