//! Serving HTTP/1.1 and HTTP/2 over hyper: axum, tonic and tower services as they are, hyper's own in [`Hyper`].
//!
//! What a stop does to a server:
//!
//! | phase | |
//! |---|---|
//! | announce | The server still serves. HTTP/1 responses say `Connection: close` and HTTP/2 connections get GOAWAY, so that clients connect again, to the successor. |
//! | quiesce | The server empties the accept queue and closes the listener. [`Draining::begun`] returns. |
//! | drain | Idle connections end after a linger, so that a request under way is answered. Busy connections end with their response, upgraded ones when the application ends them. |
//!
//! [`Server`] has the guarantees, [`Serve`] the settings.

mod accept;
#[cfg(all(feature = "systemd", target_os = "linux"))]
mod activation;
mod connection;
mod connection_state;
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

pub use self::connection_state::{ConnectionCounts, ConnectionState, OpenConnection};
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
