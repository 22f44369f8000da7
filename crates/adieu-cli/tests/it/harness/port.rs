//! Ports on loopback that no other test and no client has.

use std::net::TcpListener;

use super::lock::{self, Lock};

/// A port for one test, below those that the kernel gives to clients.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    #[expect(dead_code, reason = "keeps the port from other tests while this one runs")]
    lock: Lock,
}

impl Port {
    /// Claims a port that nobody listens on.
    pub(crate) fn claim() -> Self {
        // Tests that start together should not all try the same port first.
        let start = std::process::id() % 8_000;
        (0..8_000)
            .map(|step| 20_000 + ((start + step * 7) % 8_000) as u16)
            .find_map(|number| {
                let lock = lock::try_take(&format!("port-{number}"))?;
                TcpListener::bind(("127.0.0.1", number)).ok()?;
                Some(Self { number, lock })
            })
            .expect("one of 8,000 ports on loopback is free")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}
