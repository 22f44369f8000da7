//! Restarts under load: `adieu reload` beside what people use today, all in one run, judged by `adieu drill`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::command::{Failure, Outcome, cargo, root, step, target_dir};
use crate::pypi;
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
/// What a deploy script does: end it, start it.
const START_AGAIN: &str = "while grep -qs '^State:.[^Z]' /proc/$(cat $DIR/pid)/status; do sleep 0.01; done; sh -c \"$PROGRAM\" & echo $! >$DIR/pid";
const HUP: &str = "kill -HUP $(cat $DIR/pid); sleep 1";
const NODE: &str = "exec node examples/servers/node/server.js";
const NODE_PLAIN: &str = "exec node examples/servers/node/plain.js";
const GUNICORN: &str = "exec /usr/bin/python3 -m gunicorn --chdir examples/servers/python --workers 2 --worker-class gthread \
                        --threads 8 --bind 127.0.0.1:$PORT app:app";
const NGINX: &str = "exec nginx -p $DIR -c $DIR/nginx.conf";
const NGINX_REUSEPORT: &str = "exec nginx -p $DIR -c $DIR/reuseport.conf";
const UVICORN: &str =
    "exec /usr/bin/python3 -m uvicorn --app-dir examples/servers/python --port $PORT --log-level warning asgi:app";
const UVICORN_STARTED: &str = "exec start_server --port 127.0.0.1:$PORT -- sh -c 'exec /usr/bin/python3 -m uvicorn --app-dir \
                               examples/servers/python --fd ${SERVER_STARTER_PORT##*=} --log-level warning asgi:app'";

const fn by_itself(name: &'static str, program: &'static str, restart: &'static str) -> Way {
    Way { name, program, adieu: None, restart }
}

const fn adieu(name: &'static str, program: &'static str) -> Way {
    Way { name, program, adieu: Some(&[]), restart: RELOAD }
}

const WAYS: &[Way] = &[
    by_itself("Node: kill -9, start again", NODE_PLAIN, "kill -9 $(cat $DIR/pid); "),
    // Not the one with `server.close()` on SIGTERM: that one never ends while busy clients keep their connections.
    by_itself("Node: SIGTERM, start again", NODE_PLAIN, "kill -TERM $(cat $DIR/pid); "),
    adieu("Node: adieu reload", NODE),
    adieu("Node without SIGTERM handling: adieu reload", NODE_PLAIN),
    by_itself("gunicorn: HUP", GUNICORN, HUP),
    adieu("gunicorn: adieu reload", GUNICORN),
    by_itself("nginx: reload (HUP)", NGINX, HUP),
    Way { name: "nginx: adieu reload", program: NGINX, adieu: Some(&["--stop-signal", "QUIT"]), restart: RELOAD },
    by_itself("nginx with reuseport: reload (HUP)", NGINX_REUSEPORT, HUP),
    Way {
        name: "nginx with reuseport: adieu reload",
        program: NGINX_REUSEPORT,
        adieu: Some(&["--stop-signal", "QUIT"]),
        restart: RELOAD,
    },
    by_itself("uvicorn: Server::Starter HUP", UVICORN_STARTED, "kill -HUP $(cat $DIR/pid); sleep 2"),
    adieu("uvicorn: adieu reload", UVICORN),
    adieu("JDK HttpServer: adieu reload", "exec java -XX:TieredStopAtLevel=1 -cp $SERVERS/java HttpServerMain"),
    adieu(
        "embedded Tomcat: adieu reload",
        "exec java -XX:TieredStopAtLevel=1 -Djava.io.tmpdir=$DIR -jar $SERVERS/tomcat.jar",
    ),
    adieu("Go 1.19: adieu reload", "exec $SERVERS/go-debian"),
    adieu("Go 1.27 (MPTCP): adieu reload", "exec $SERVERS/go-today"),
    adieu(
        "puma: adieu reload",
        "exec /usr/bin/puma --config examples/servers/ruby/puma.rb examples/servers/ruby/config.ru",
    ),
    adieu(
        "Python http.server without SIGTERM handling: adieu reload",
        "exec /usr/bin/python3 examples/servers/python/plain.py",
    ),
    adieu("axum without shutdown code: adieu reload", "exec $SERVERS/rust-axum/debug/rust-axum"),
];

/// Drills each way and makes the table.
pub(crate) fn compare() -> Outcome<String> {
    step(&mut cargo(&["build", "--release", "--package", "adieu-cli"]))?;
    let servers = built_servers()?;
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

/// Where the example servers are that have to be compiled. Their tests build them, and show that they serve.
pub(super) fn built_servers() -> Outcome<PathBuf> {
    let tests = ["nextest", "run", "--package", "adieu-cli", "--filterset", "test(/^servers::/)"];
    step(pypi::NEXTEST.lend_to(&mut cargo(&tests))?)?;
    Ok(target_dir().join("servers"))
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
            ("PROGRAM", self.program.to_owned()),
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
        let again = if self.restart.ends_with("; ") { START_AGAIN } else { "" };
        let restart = format!("{}{again}", self.restart);
        let drill = Command::new(&adieu)
            .args(["drill", "--json", "--count", RESTARTS, "--url", &url, "--restart", &restart])
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
    let sum = |key: &str| -> u64 {
        let counts = restarts.iter().flat_map(|restart| [&restart["fresh"][key], &restart["reused"][key]]);
        counts.filter_map(Value::as_u64).sum()
    };
    let number = restarts.len().max(1) as f64;
    let median = |key: &str| {
        let mut values: Vec<f64> = restarts.iter().filter_map(|restart| restart["latency"][key].as_f64()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let calm = |key: &str| report["calm"]["latency"][key].as_f64().unwrap_or(0.0);
    vec![
        name.to_owned(),
        sum("requests").to_string(),
        format!("{:.2}", sum("lost") as f64 / number),
        format!("{:.2}", sum("race") as f64 / number),
        format!("{:.0}", median("longest_gap_ms")),
        format!("{:.0}", calm("longest_gap_ms")),
        format!("{:.2}", median("p99_ms") / calm("p99_ms").max(0.001)),
    ]
}

fn nginx_configuration(directory: &Path, port: u16) -> Outcome {
    let template = fs::read_to_string(root().join("examples/servers/nginx/nginx.conf"))?;
    for (name, more) in [("nginx.conf", ""), ("reuseport.conf", " reuseport")] {
        let text = template.replace("listen LISTEN;", &format!("listen 127.0.0.1:{port}{more};"));
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

/// Waits until something listens; asks often, as some measure with it.
pub(super) fn wait_for(port: u16) -> Outcome {
    let limit = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() >= limit {
            return Err(Failure(format!("nothing listens on port {port}")));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}
