//! The look at the server before the load.

use std::net::SocketAddr;

use tokio::task::spawn_blocking;

use crate::class::Class;
use crate::client::{Unconnected, connect, request};
use crate::config::Config;
use crate::exchange::{Ask, exchange};
use crate::listeners::{self, Listeners};

/// Why a drill does not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// Nothing answers.
    #[error("nothing answers at {0}: start the server before the drill")]
    NotThere(String),
    /// Something answers, but not as it should.
    #[error(
        "what answers at {0} is not the server that is meant ({1}): check the URL, --expect, and who listens on that port"
    )]
    SomethingElse(SocketAddr, &'static str),
    /// Two programs share the address, and either can get the next connection.
    #[error("two programs answer at {0}, {1} and {2}: end the one that is not meant")]
    TwoPrograms(SocketAddr, String, String),
    /// This machine cannot connect, whoever is there.
    #[error("cannot connect to {0}: {1}")]
    Ours(SocketAddr, std::io::Error),
}

/// A server that can be loaded.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Which of its addresses answers.
    pub(crate) address: SocketAddr,
    /// With what.
    pub(crate) status: u16,
    /// Who listens there, where that can be known.
    pub(crate) listeners: Option<Listeners>,
}

/// Asks once, and looks who listens. Its addresses are tried one after the other, each for as long as a request may take.
pub(crate) async fn look(config: &Config) -> Result<Ready, NotStarted> {
    let mut tried = Vec::new();
    for address in &config.target.addresses {
        match connect(*address, config.timeout).await {
            Ok(stream) => return ask(config, *address, stream).await,
            Err(Unconnected::Lost(class)) => tried.push(format!("{address} ({class})")),
            Err(Unconnected::Ours(error)) => return Err(NotStarted::Ours(*address, error)),
        }
    }
    Err(NotStarted::NotThere(tried.join(" or ")))
}

async fn ask(config: &Config, address: SocketAddr, mut stream: tokio::net::TcpStream) -> Result<Ready, NotStarted> {
    let is_here = address.ip().is_loopback() || stream.local_addr().is_ok_and(|local| local.ip() == address.ip());
    let request = request(config, false);
    let ask = Ask {
        request: &request,
        timeout: config.timeout,
        expect: config.expect.as_deref(),
        status: None,
        race: config.race,
    };
    let ended = exchange(&mut stream, &ask, false).await;
    let (Class::Ok, Some(status)) = (ended.class, ended.status) else {
        return Err(NotStarted::SomethingElse(address, ended.class.name()));
    };
    let listeners = if is_here { spawn_blocking(move || listeners::at(address)).await.ok().flatten() } else { None };
    match listeners.as_ref().and_then(Listeners::two_programs) {
        Some((one, other)) => Err(NotStarted::TwoPrograms(address, one, other)),
        None => Ok(Ready { address, status, listeners }),
    }
}
