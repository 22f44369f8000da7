//! Restarts under mixed traffic: a service on the library beside axum, Go and nginx, all replaced by `adieu reload`, and
//! nginx by its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::reloads::wait_for;
use crate::command::{Failure, Outcome, cargo, root, step, target_dir};
use crate::pypi;
use crate::tables::markdown;

const RESTARTS: &str = "20";
/// The same for all. Some do not end before they are killed.
const OPTIONS: [&str; 6] = ["--settle", "300ms", "--drain-timeout", "1s", "--grace", "3s"];
const RELOAD: &str = "$ADIEU reload bench --wait drained";

struct Way {
    name: &'static str,
    /// The program, as a shell line; `$PORT` is its port, `$DIR` a directory of its own, `$BIN` where the programs are.
    program: &'static str,
    /// Options of `adieu run`; `None` when the program runs by itself.
    adieu: Option<&'static [&'static str]>,
    restart: &'static str,
    /// The kinds of traffic that it can serve.
    kinds: &'static str,
}

const NGINX: &str = "exec nginx -p $DIR -c $DIR/nginx.conf";

const fn adieu(name: &'static str, program: &'static str) -> Way {
    Way { name, program, adieu: Some(&[]), restart: RELOAD, kinds: "all" }
}

const WAYS: &[Way] = &[
    adieu("adieu's App::serve: adieu reload", "exec $BIN/adieu-bench-restarts serve adieu $PORT"),
    adieu("axum's graceful shutdown: adieu reload", "exec $BIN/adieu-bench-restarts serve axum $PORT"),
    adieu("Go 1.27's Shutdown: adieu reload", "exec $BIN/adieu-bench-restarts-go $PORT"),
    Way {
        name: "nginx: adieu reload",
        program: NGINX,
        adieu: Some(&["--stop-signal", "QUIT"]),
        restart: RELOAD,
        kinds: HTTP1,
    },
    Way { name: "nginx: reload (HUP)", program: NGINX, adieu: None, restart: "kill -HUP $PID; sleep 1", kinds: HTTP1 },
];

const HTTP1: &str = "kept,fresh,slow,upload";
const KINDS: [&str; 7] = ["kept", "fresh", "slow", "upload", "h2", "websocket", "sse"];

/// Restarts each under load and makes the table.
pub(crate) fn compare() -> Outcome<String> {
    build()?;
    let mut rows = Vec::new();
    for way in WAYS {
        println!("    {}", way.name);
        rows.push(way.row()?);
    }
    let mut header = vec!["restart", "requests", "lost", "races", "resets at rest"];
    header.extend(KINDS);
    let text = "32 connections (for nginx 20: it has no WebSockets, events or, beside HTTP/1.1, HTTP/2): kept, fresh, slow answers, slow \
                request bodies, HTTP/2 streams, WebSockets, server-sent events; 20 restarts of each server one after the other in one run (`cargo xtask \
                bench restarts`). Lost: refused, reset, cut off, timed out, 5xx, wrong; races: requests that met the close of their idle connection, or that the server said \
                it had not taken. For each kind lost + races, of how many requests.\n\n";
    Ok(format!("{text}{}", markdown(&header, &rows)))
}

fn bin() -> PathBuf {
    target_dir().join("release")
}

fn build() -> Outcome {
    step(&mut cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "adieu-cli",
        "--package",
        "adieu-bench-restarts",
    ]))?;
    let mut go = Command::new(pypi::GO.directory().join("go"));
    go.args(["build", "-o"]).arg(bin().join("adieu-bench-restarts-go")).arg("main.go");
    go.current_dir(root().join("bench/restarts/go")).env("CGO_ENABLED", "0").env("GO111MODULE", "off");
    step(go.env("GOTOOLCHAIN", "local"))
}

/// What runs, ended by pid when dropped.
struct Running {
    child: Child,
    directory: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already: nothing to end.
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap_or_default();
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

impl Way {
    fn row(&self) -> Outcome<Vec<String>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let directory = std::env::temp_dir().join(format!("adieu-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory)?;
        for_nginx(&directory, port)?;
        let environment = [
            ("PORT", port.to_string()),
            ("DIR", directory.display().to_string()),
            ("BIN", bin().display().to_string()),
            ("ADIEU", bin().join("adieu").display().to_string()),
            ("ADIEU_RUNTIME_DIR", directory.display().to_string()),
        ];
        let mut start = match self.adieu {
            None => Command::new("/bin/sh"),
            Some(options) => {
                let mut run = Command::new(bin().join("adieu"));
                run.args(["run", "--name", "bench"]).args(OPTIONS).args(options).args(["--", "/bin/sh"]);
                run
            }
        };
        start.args(["-c", self.program]).envs(environment.clone());
        let child = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let running = Running { child, directory };
        wait_for(port)?;
        let mut load = Command::new(bin().join("adieu-bench-restarts"));
        load.args(["load", &port.to_string(), RESTARTS, self.kinds, self.restart]).envs(environment);
        let load = load.env("PID", running.child.id().to_string()).stderr(Stdio::inherit()).output()?;
        drop(running);
        let account: Value = serde_json::from_slice(&load.stdout)
            .map_err(|error| Failure(format!("{}: no account: {error}", self.name)))?;
        if !load.status.success() {
            return Err(Failure(format!("{}: {}", self.name, account["trouble"])));
        }
        Ok(row(self.name, &account))
    }
}

fn row(name: &str, account: &Value) -> Vec<String> {
    let of = |kind: &str, what: &str| account["kinds"][kind][what].as_u64();
    let sum = |what: &str| KINDS.iter().filter_map(|kind| of(kind, what)).sum::<u64>().to_string();
    let mut row = vec![name.to_owned(), sum("requests"), sum("lost"), sum("race"), account["resets"].to_string()];
    row.extend(KINDS.iter().map(|kind| match (of(kind, "lost"), of(kind, "race"), of(kind, "requests")) {
        (Some(lost), Some(race), Some(all)) => format!("{lost} + {race} of {all}"),
        _ => "–".to_owned(),
    }));
    row
}

fn for_nginx(directory: &Path, port: u16) -> Outcome {
    let template = fs::read_to_string(root().join("bench/restarts/nginx.conf"))?;
    let text = template.replace("PORT", &port.to_string()).replace("DIR", &directory.display().to_string());
    fs::write(directory.join("nginx.conf"), text)?;
    Ok(fs::write(directory.join("slow"), format!("{}done\n", "wait\n".repeat(259)))?)
}
