//! Serving HTTP/1.1 and HTTP/2 over hyper: axum, tonic and tower services as they are, hyper's own in [`Hyper`].
//!
//! What a stop does to a server:
//!
//! | phase | |
//! |---|---|
//! | announce | it still serves; HTTP/1 answers say `Connection: close` and HTTP/2 GOAWAY, so that clients come anew, to the successor |
//! | quiesce | the accept queue is emptied and the listener closed; HTTP/2 clients are asked to leave; [`Draining`] is told |
//! | drain | idle connections are closed after a linger, so that a request that is under way is answered; busy ones end with their answer, upgraded ones when the application ends them |
//!
//! Nothing that was accepted is dropped unread, no connection is closed with unread input (which would reset it and
//! could destroy the answer before), and connections that never send anything hold nothing up.

mod accept;
#[cfg(all(feature = "systemd", target_os = "linux"))]
mod activation;
mod connection;
mod connections;
mod draining;
#[cfg(feature = "axum")]
mod extractor;
mod h2_executor;
mod level;
mod listen;
mod listener;
mod protocol_io;
mod response;
mod server;
mod service;
mod settings;
mod socket;
mod stream;
mod tcp;

pub use self::connections::{ConnectionCounts, ConnectionState, OpenConnection};
pub use self::draining::{CloseHook, Draining, UntilDraining};
#[cfg(feature = "axum")]
pub use self::extractor::NotServed;
pub use self::listen::Listen;
pub use self::server::{ServeError, Server};
pub use self::service::{HttpService, Hyper};
pub use self::settings::Serve;
pub use self::tcp::{ActiveRequest, TcpConnection};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
