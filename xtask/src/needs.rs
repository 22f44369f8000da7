//! What the tests need besides the Rust toolchain, and how it gets onto the machine.
//!
//! Every need names the Debian package that satisfies it and a probe that looks for the thing itself, so a tool
//! that came another way is as good.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::command::{Failure, Outcome, command, step, succeeds, which};
use crate::statically;

/// Debian's Python packages belong to Debian's Python, whichever `python3` comes first in `PATH`.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

const POLICY: &str = "/usr/sbin/policy-rc.d";

enum Probe {
    Command(&'static str),
    File(&'static str),
    Python(&'static str),
    StaticBinary(&'static str),
    PostgresServer,
}

struct Need {
    package: &'static str,
    probe: Probe,
}

const NEEDS: &[Need] = &[
    Need { package: "busybox-static", probe: Probe::StaticBinary("/bin/busybox") },
    Need { package: "catatonit", probe: Probe::Command("catatonit") },
    Need { package: "docker.io", probe: Probe::Command("dockerd") },
    Need { package: "dumb-init", probe: Probe::Command("dumb-init") },
    Need { package: "gcc", probe: Probe::Command("gcc") },
    Need { package: "golang-go", probe: Probe::File("/usr/bin/go") },
    Need { package: "gunicorn", probe: Probe::Python("gunicorn") },
    Need { package: "haproxy", probe: Probe::File("/usr/sbin/haproxy") },
    Need { package: "iproute2", probe: Probe::Command("ip") },
    Need { package: "iptables", probe: Probe::Command("iptables") },
    Need { package: "libc6-dev", probe: Probe::File("/usr/include/stdlib.h") },
    Need {
        package: "libjakarta-annotation-api-java",
        probe: Probe::File("/usr/share/java/jakarta-annotation-api.jar"),
    },
    Need { package: "libtomcat10-embed-java", probe: Probe::File("/usr/share/java/tomcat10-embed-core.jar") },
    Need { package: "libserver-starter-perl", probe: Probe::Command("start_server") },
    Need { package: "lighttpd", probe: Probe::File("/usr/sbin/lighttpd") },
    Need { package: "lsof", probe: Probe::Command("lsof") },
    Need { package: "mosquitto", probe: Probe::File("/usr/sbin/mosquitto") },
    Need { package: "nginx-light", probe: Probe::Command("nginx") },
    Need { package: "nodejs", probe: Probe::Command("node") },
    Need { package: "openjdk-17-jdk-headless", probe: Probe::Command("javac") },
    Need { package: "openssl", probe: Probe::Command("openssl") },
    Need { package: "php8.2-fpm", probe: Probe::Command("php-fpm8.2") },
    Need { package: "postgresql", probe: Probe::PostgresServer },
    Need { package: "procps", probe: Probe::Command("ps") },
    Need { package: "puma", probe: Probe::File("/usr/bin/puma") },
    Need { package: "python3-psycopg2", probe: Probe::Python("psycopg2") },
    Need { package: "python3-uvicorn", probe: Probe::Python("uvicorn") },
    Need { package: "python3-venv", probe: Probe::Python("ensurepip") },
    Need { package: "runit", probe: Probe::Command("runsv") },
    Need { package: "redis-server", probe: Probe::Command("redis-server") },
    Need { package: "redis-tools", probe: Probe::Command("redis-cli") },
    Need { package: "tini", probe: Probe::Command("tini") },
];

impl Probe {
    fn found(&self) -> bool {
        match self {
            Self::Command(name) => which(name).is_some(),
            Self::File(path) => Path::new(path).exists(),
            Self::Python(module) => succeeds(&mut command(PYTHON, &["-c", &format!("import {module}")])),
            Self::StaticBinary(path) => statically::is_static(Path::new(path)).unwrap_or(false),
            Self::PostgresServer => fs::read_dir("/usr/lib/postgresql")
                .is_ok_and(|versions| versions.flatten().any(|dir| dir.path().join("bin/initdb").exists())),
        }
    }
}

/// Installs what is missing, as root; for anybody else it fails with the one command that does.
pub(crate) fn ensure() -> Outcome {
    let missing = missing();
    if missing.is_empty() {
        println!("==> all {} packages that the tests need are there", NEEDS.len());
        return Ok(());
    }
    println!("==> missing: {}", missing.join(" "));
    let by_hand = format!("sudo apt-get install --no-install-recommends {}", missing.join(" "));
    if !nix::unistd::geteuid().is_root() || which("apt-get").is_none() {
        return Err(Failure(format!("the tests need more than is installed. Please run:\n{by_hand}")));
    }
    install(&missing)?;
    match self::missing().as_slice() {
        [] => Ok(()),
        still => Err(Failure(format!("installed, and yet not found: {}", still.join(" ")))),
    }
}

fn missing() -> Vec<&'static str> {
    NEEDS.iter().filter(|need| !need.probe.found()).map(|need| need.package).collect()
}

fn install(packages: &[&str]) -> Outcome {
    let _no_services = NoServices::until_dropped()?;
    // Somebody else's apt-get may be at work: wait for its lock.
    let apt = |args: &[&str]| {
        let mut apt = command("apt-get", &["-q", "-o", "DPkg::Lock::Timeout=600"]);
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        step(&mut apt)
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

/// Keeps packages from starting their services while it lives. The tests start servers themselves, on ports and
/// directories of their own.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn until_dropped() -> Outcome<Self> {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        match file {
            Ok(mut file) => {
                let guard = Self { ours: true };
                file.write_all(b"#!/bin/sh\n# Made by cargo xtask for the time of one installation.\nexit 101\n")?;
                file.set_permissions(fs::Permissions::from_mode(0o755))?;
                Ok(guard)
            }
            // The machine has its own rule about services; it stays as it is.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(Failure(format!("cannot write {POLICY}: {error}"))),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("xtask: please remove {POLICY}: {error}");
        }
    }
}
