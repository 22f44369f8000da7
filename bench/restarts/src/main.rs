//! Mixed traffic through restarts: a server of all of it, and clients that say what became of each request.
//!
//! - `adieu-bench-restarts serve adieu|axum|default PORT` is the server, stopped by SIGTERM in the way that is named.
//! - `adieu-bench-restarts load PORT RESTARTS KINDS COMMAND` loads whoever listens there, runs the command so often, and
//!   prints an account as JSON. KINDS is `all`, or some of the kinds with commas between.

mod load;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["serve", way, port] => port.parse().map_or_else(|_| usage(), |port| serve::serve(way, port)),
        ["load", port, restarts, kinds, command] => match (port.parse(), restarts.parse()) {
            (Ok(port), Ok(restarts)) => load::load(port, restarts, kinds, command),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: adieu-bench-restarts serve adieu|axum|default PORT");
    eprintln!("       adieu-bench-restarts load PORT RESTARTS all|KIND,.. COMMAND");
    ExitCode::from(2)
}
