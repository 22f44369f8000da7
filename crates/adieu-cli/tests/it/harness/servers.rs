//! The corpus: how each of the example servers is started and ended.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::PYTHON;
use super::build::{self, sources};

/// One way of writing a server.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    /// The name in its answers.
    pub(crate) name: &'static str,
    /// The signal that its documentation calls graceful.
    pub(crate) graceful: Signal,
    /// Whether it finishes its requests on that signal; the others just die.
    pub(crate) finishes: bool,
    /// The command for a port, with a directory of its own to put files in.
    words: fn(port: u16, directory: &Path) -> Vec<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Server {
    /// The command line, after building what has to be built.
    pub(crate) fn words(&self, port: u16, directory: &Path) -> Vec<String> {
        (self.words)(port, directory)
    }

    /// The command, ready to be started without adieu.
    pub(crate) fn command(&self, port: u16, directory: &Path) -> Command {
        let words = self.words(port, directory);
        let (program, args) = words.split_first().expect("a command has a first word");
        let mut command = Command::new(program);
        command.args(args).current_dir(directory).env("PORT", port.to_string());
        command
    }
}

pub(crate) const NODE: Server = Server {
    name: "node",
    graceful: Signal::TERM,
    finishes: true,
    words: |_, _| vec!["node".into(), source("node/server.js")],
};
pub(crate) const NODE_PLAIN: Server =
    Server { name: "node-plain", finishes: false, words: |_, _| vec!["node".into(), source("node/plain.js")], ..NODE };
pub(crate) const JAVA: Server = Server {
    name: "java",
    words: |_, _| words(&["java", "-XX:TieredStopAtLevel=1", "-cp", &path(&build::java()), "HttpServerMain"]),
    ..NODE
};
pub(crate) const TOMCAT: Server = Server {
    name: "tomcat",
    words: |_, directory| {
        // Tomcat makes itself a working directory there.
        let temporary = format!("-Djava.io.tmpdir={}", directory.display());
        words(&["java", "-XX:TieredStopAtLevel=1", &temporary, "-jar", &path(&build::tomcat())])
    },
    ..NODE
};
pub(crate) const GUNICORN: Server = Server { name: "gunicorn", words: |port, _| gunicorn(port, "app:app"), ..NODE };
pub(crate) const LEDGER: Server = Server { name: "ledger", words: |port, _| gunicorn(port, "ledger:app"), ..NODE };
pub(crate) const UVICORN: Server = Server {
    name: "uvicorn",
    words: |port, _| {
        let (port, python) = (port.to_string(), source("python"));
        words(&[PYTHON, "-m", "uvicorn", "--app-dir", &python, "--port", &port, "--no-access-log", "asgi:app"])
    },
    ..NODE
};
pub(crate) const PYTHON_PLAIN: Server = Server {
    name: "python-plain",
    finishes: false,
    words: |_, _| words(&[PYTHON, &source("python/plain.py")]),
    ..NODE
};
pub(crate) const GO_DEBIAN: Server = Server { name: "go", words: |_, _| vec![path(&build::go_of_debian())], ..NODE };
pub(crate) const GO_TODAY: Server = Server { name: "go", words: |_, _| vec![path(&build::go_of_today())], ..NODE };
pub(crate) const NGINX: Server = Server {
    name: "nginx",
    graceful: Signal::QUIT,
    words: |port, directory| nginx(directory, &format!("127.0.0.1:{port}")),
    ..NODE
};
pub(crate) const NGINX_REUSEPORT: Server =
    Server { words: |port, directory| nginx(directory, &format!("127.0.0.1:{port} reuseport")), ..NGINX };
/// It binds its admin socket under a name with its pid in it, and renames it.
pub(crate) const HAPROXY: Server = Server {
    name: "haproxy",
    words: |_, _| words(&["/usr/sbin/haproxy", "-W", "-q", "-f", &source("haproxy/haproxy.cfg")]),
    ..NODE
};
pub(crate) const PUMA: Server = Server {
    name: "puma",
    words: |_, _| words(&["/usr/bin/puma", "--config", &source("ruby/puma.rb"), &source("ruby/config.ru")]),
    ..NODE
};
pub(crate) const AXUM: Server =
    Server { name: "axum", finishes: false, words: |_, _| vec![path(&build::axum())], ..NODE };

/// Makes a test of the given function for each server but the one that needs a database.
macro_rules! for_each_server {
    ($check:path) => {
        $crate::harness::for_each_server! {
            $check; node: NODE, node_plain: NODE_PLAIN, java: JAVA, tomcat: TOMCAT, gunicorn: GUNICORN,
            uvicorn: UVICORN, python_plain: PYTHON_PLAIN, go_debian: GO_DEBIAN, go_today: GO_TODAY, nginx: NGINX,
            nginx_reuseport: NGINX_REUSEPORT, haproxy: HAPROXY, puma: PUMA, axum: AXUM
        }
    };
    ($check:path; $($test:ident: $server:ident),*) => {$(
        #[test]
        fn $test() {
            $check($crate::harness::servers::$server);
        }
    )*};
}
pub(crate) use for_each_server;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn source(file: &str) -> String {
    path(&sources().join(file))
}

fn gunicorn(port: u16, app: &str) -> Vec<String> {
    let (bind, python) = (format!("127.0.0.1:{port}"), source("python"));
    let workers = ["--workers", "2", "--worker-class", "gthread", "--threads", "8"];
    words(&[&[PYTHON, "-m", "gunicorn", "--chdir", &python, "--bind", &bind][..], &workers, &[app]].concat())
}

fn nginx(directory: &Path, listen: &str) -> Vec<String> {
    let template = fs::read_to_string(sources().join("nginx/nginx.conf")).expect("the template is there");
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, template.replace("listen LISTEN;", &format!("listen {listen};")))
        .expect("a test's own directory is writable");
    words(&["/usr/sbin/nginx", "-p", &path(directory), "-c", &path(&configuration)])
}
