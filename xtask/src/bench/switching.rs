//! How long a reload takes beyond what the program itself needs to start.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::reloads::{built_servers, wait_for};
use super::samples::Samples;
use crate::command::{Failure, Outcome, cargo, root, step, target_dir};
use crate::tables::markdown;

const ROUNDS: usize = 20;

/// Name, and the program as a shell line.
const PROGRAMS: &[(&str, &str)] = &[
    ("static Go", "exec $SERVERS/go-debian"),
    ("axum", "exec $SERVERS/rust-axum/debug/rust-axum"),
    ("Python http.server", "exec /usr/bin/python3 examples/servers/python/plain.py"),
    ("Node", "exec node examples/servers/node/server.js"),
];

/// Measures each program alone and under a reload, in turns, and makes the table.
pub(crate) fn compare() -> Outcome<String> {
    step(&mut cargo(&["build", "--release", "--package", "adieu-cli"]))?;
    let servers = built_servers()?;
    let rows = PROGRAMS.iter().map(|(name, program)| row(name, program, &servers)).collect::<Outcome<Vec<_>>>()?;
    let text = format!(
        "Medians of {ROUNDS} rounds in turns, in ms (`cargo xtask bench switching`). Alone: from the start of the program until it \
         listens. Reload: from the start of the command `adieu reload --wait switched` to its end.\n\n"
    );
    Ok(format!("{text}{}", markdown(&["program", "alone", "reload", "difference"], &rows)))
}

fn row(name: &str, program: &str, servers: &Path) -> Outcome<Vec<String>> {
    let adieu = target_dir().join("release").join("adieu");
    let directory = std::env::temp_dir().join(format!("adieu-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let start = |mut command: Command, port: u16| -> Outcome<Ended> {
        command.args(["-c", program]).current_dir(root()).env("PORT", port.to_string()).env("SERVERS", servers);
        command.env("ADIEU_RUNTIME_DIR", &directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Ended(command.spawn()?))
    };
    let free = || -> Outcome<u16> { Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()) };
    let (serving, other) = (free()?, free()?);
    let mut run = Command::new(&adieu);
    run.args(["run", "--name", "bench", "--settle", "0", "--", "/bin/sh"]);
    let supervised = start(run, serving)?;
    wait_for(serving)?;
    let (mut alone, mut reload) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let bare = start(Command::new("/bin/sh"), other)?;
        wait_for(other)?;
        alone.add(began.elapsed().as_secs_f64() * 1e3);
        drop(bare);
        let began = Instant::now();
        let mut command = Command::new(&adieu);
        command.args(["reload", "bench", "--wait", "switched"]).env("ADIEU_RUNTIME_DIR", &directory);
        let status = command.stderr(Stdio::null()).stdout(Stdio::null()).status()?;
        reload.add(began.elapsed().as_secs_f64() * 1e3);
        if !status.success() {
            return Err(Failure(format!("{name}: the reload failed: {status}")));
        }
    }
    drop(supervised);
    std::fs::remove_dir_all(&directory)?;
    let (alone, reload) = (alone.median(), reload.median());
    Ok(vec![name.to_owned(), format!("{alone:.1}"), format!("{reload:.1}"), format!("{:.1}", reload - alone)])
}

/// Ended by pid when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        // Gone already: nothing to end.
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap_or_default();
        drop(self.0.wait());
    }
}
