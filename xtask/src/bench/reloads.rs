//! Restarts under load: `adieu reload` beside what people use today, all in one run, judged by `adieu drill`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::command::{Failure, Outcome, command, root, step, target_dir};
use crate::tables::markdown;

const RESTARTS: &str = "20";

/// A server and one way of restarting it.
struct Way {
    name: &'static str,
    /// The program, as a shell line; `$PORT` is its port, `$DIR` a directory of its own.
    program: &'static str,
    /// Options of `adieu run`; `None` when the program runs by itself.
    adieu: Option<&'static [&'static str]>,
    /// The restart, as a shell line; `$PID` is the process that was started, `$ADIEU` the command.
    restart: &'static str,
}

const RELOAD: &str = "$ADIEU reload bench";
const GUNICORN: &str =
    "exec /usr/bin/python3 -m gunicorn --chdir examples/servers/python --workers 2 --bind 127.0.0.1:$PORT app:app";
const NGINX: &str = "exec nginx -p $DIR -c $DIR/nginx.conf -g 'daemon off;'";

const WAYS: &[Way] = &[
    // Not the one with `server.close()` on SIGTERM: that one never ends while busy clients keep their connections.
    Way {
        name: "Node: SIGTERM, start again",
        program: "exec node examples/servers/node/plain.js",
        adieu: None,
        restart: "kill -TERM $(cat $DIR/pid); while grep -qs '^State:.[^Z]' /proc/$(cat $DIR/pid)/status; do sleep 0.01; done; \
                  node examples/servers/node/plain.js & echo $! >$DIR/pid",
    },
    Way {
        name: "Node: adieu reload",
        program: "exec node examples/servers/node/server.js",
        adieu: Some(&[]),
        restart: RELOAD,
    },
    Way {
        name: "Node without SIGTERM handling: adieu reload",
        program: "exec node examples/servers/node/plain.js",
        adieu: Some(&[]),
        restart: RELOAD,
    },
    Way { name: "gunicorn: HUP", program: GUNICORN, adieu: None, restart: "kill -HUP $(cat $DIR/pid); sleep 1" },
    Way { name: "gunicorn: adieu reload", program: GUNICORN, adieu: Some(&[]), restart: RELOAD },
    Way { name: "nginx: reload (HUP)", program: NGINX, adieu: None, restart: "kill -HUP $(cat $DIR/pid); sleep 1" },
    Way { name: "nginx: adieu reload", program: NGINX, adieu: Some(&["--stop-signal", "QUIT"]), restart: RELOAD },
    Way {
        name: "uvicorn: adieu reload",
        program: "exec /usr/bin/python3 -m uvicorn --app-dir examples/servers/python --port $PORT --log-level warning asgi:app",
        adieu: Some(&[]),
        restart: RELOAD,
    },
    Way {
        name: "axum without shutdown code: adieu reload",
        program: "exec $SERVERS/axum/debug/rust-axum",
        adieu: Some(&[]),
        restart: RELOAD,
    },
];

/// Drills each way and makes the table.
pub(crate) fn compare() -> Outcome<String> {
    step(&mut command("cargo", &["build", "--release", "--package", "adieu-cli"]))?;
    let servers = target_dir().join("servers");
    let axum = servers.join("axum");
    let manifest = root().join("examples/servers/rust-axum/Cargo.toml");
    let mut build = command("cargo", &["build", "--quiet", "--manifest-path", &manifest.to_string_lossy()]);
    step(build.env("CARGO_TARGET_DIR", &axum))?;
    let mut rows = Vec::new();
    for way in WAYS {
        println!("    {}", way.name);
        rows.push(way.row(&servers)?);
    }
    let header = [
        "restart",
        "requests",
        "lost per restart",
        "races per restart",
        "longest gap, median ms",
        "calm gap ms",
        "p99 / calm p99",
    ];
    let text = "32 closed-loop clients, half of them keep-alive, 20 restarts of each server one after the other, judged by `adieu drill` \
                in one run (`cargo xtask bench reloads`). The gap is the longest time without any success around a restart.\n\n";
    Ok(format!("{text}{}", markdown(&header, &rows)))
}

/// What runs, ended by pid when dropped.
struct Running {
    child: Child,
    directory: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let own = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0));
        let last = fs::read_to_string(self.directory.join("pid")).ok().and_then(|pid| pid.trim().parse().ok());
        for pid in [Some(own), last.map(Pid::from_raw)].into_iter().flatten() {
            // Gone already: nothing to end.
            kill(pid, Signal::SIGTERM).unwrap_or_default();
        }
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

impl Way {
    fn row(&self, servers: &Path) -> Outcome<Vec<String>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let directory = std::env::temp_dir().join(format!("adieu-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory)?;
        nginx_configuration(&directory, port)?;
        let adieu = target_dir().join("release").join("adieu");
        let environment = [
            ("PORT", port.to_string()),
            ("DIR", directory.display().to_string()),
            ("SERVERS", servers.display().to_string()),
            ("ADIEU", adieu.display().to_string()),
            ("ADIEU_RUNTIME_DIR", directory.display().to_string()),
        ];
        let mut start = match self.adieu {
            None => Command::new("/bin/sh"),
            Some(options) => {
                let mut run = Command::new(&adieu);
                run.args(["run", "--name", "bench", "--settle", "300ms", "--drain-timeout", "5s"])
                    .args(options)
                    .args(["--", "/bin/sh"]);
                run
            }
        };
        start.args(["-c", self.program]).current_dir(root()).envs(environment.clone());
        let child = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        fs::write(directory.join("pid"), child.id().to_string())?;
        let running = Running { child, directory };
        wait_for(port)?;
        let url = format!("http://127.0.0.1:{port}/");
        let drill = Command::new(&adieu)
            .args(["drill", "--json", "--count", RESTARTS, "--url", &url, "--restart", self.restart])
            .current_dir(root())
            .envs(environment)
            .stderr(Stdio::null())
            .output()?;
        drop(running);
        let report: Value = serde_json::from_slice(&drill.stdout)
            .map_err(|error| Failure(format!("{}: no report: {error}", self.name)))?;
        Ok(row(self.name, &report))
    }
}

fn row(name: &str, report: &Value) -> Vec<String> {
    let restarts = report["restarts"].as_array().cloned().unwrap_or_default();
    let tallies = |restart: &Value| [restart["fresh"].clone(), restart["reused"].clone()];
    let sum = |wanted: fn(&str) -> bool| -> u64 {
        let counts = restarts.iter().flat_map(tallies).filter_map(|tally| tally.as_object().cloned());
        counts.flatten().filter(|(class, _)| wanted(class)).filter_map(|(_, count)| count.as_u64()).sum()
    };
    let number = restarts.len().max(1) as f64;
    let median = |key: &str| {
        let mut values: Vec<f64> = restarts.iter().filter_map(|restart| restart["latency"][key].as_f64()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let calm = |key: &str| report["calm"][key].as_f64().unwrap_or(0.0);
    let lost = sum(|class| class != "ok" && class != "race");
    vec![
        name.to_owned(),
        sum(|_| true).to_string(),
        format!("{:.2}", lost as f64 / number),
        format!("{:.2}", sum(|class| class == "race") as f64 / number),
        format!("{:.0}", median("longest_gap_ms")),
        format!("{:.0}", calm("longest_gap_ms")),
        format!("{:.2}", median("p99_ms") / calm("p99_ms").max(0.001)),
    ]
}

fn nginx_configuration(directory: &Path, port: u16) -> Outcome {
    let text = format!(
        "worker_processes 2;\npid {0}/nginx.pid;\nerror_log /dev/null;\nevents {{}}\nhttp {{ access_log off; \
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"hello\\n\"; }} }} }}\n",
        directory.display()
    );
    Ok(fs::write(directory.join("nginx.conf"), text)?)
}

/// Ready is who answers a connection.
fn wait_for(port: u16) -> Outcome {
    let limit = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() >= limit {
            return Err(Failure(format!("nothing listens on port {port}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
