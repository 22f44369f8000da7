//! Builds the example servers that are compiled, once for all tests of a build directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::{lock, root, target};

/// Where the sources of the example servers are.
pub(crate) fn sources() -> PathBuf {
    root().join("examples").join("servers")
}

fn built() -> PathBuf {
    target().join("servers")
}

/// Makes `product` from the files in `folder` of the example servers unless it is newer than all of them.
fn make(product: &str, folder: &str, recipe: impl FnOnce(&Path, &Path)) -> PathBuf {
    make_from(&sources().join(folder), product, recipe)
}

/// As [`make`], for a folder anywhere.
pub(crate) fn make_from(from: &Path, product: &str, recipe: impl FnOnce(&Path, &Path)) -> PathBuf {
    let _one_builder = lock::wait(&format!("build-{}", product.replace('/', "-")));
    let (from, to) = (from.to_path_buf(), built().join(product));
    let made = fs::metadata(&to).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if newest(&from) > made {
        recipe(&from, &to);
        assert!(to.exists(), "building {product} made no {}", to.display());
    }
    to
}

fn newest(folder: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).expect("an example server has a folder").flatten() {
        let path = entry.path();
        let changed = if path.is_dir() {
            self::newest(&path)
        } else {
            entry.metadata().and_then(|meta| meta.modified()).expect("a file has a time")
        };
        newest = newest.max(changed);
    }
    newest
}

/// Runs a tool; panics with what it wrote when it fails or is missing.
pub(crate) fn tool(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{name} cannot be started ({error}): `cargo xtask test` installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The Go server, built by Debian's Go.
pub(crate) fn go_of_debian() -> PathBuf {
    go("go-debian", Path::new("/usr/bin/go"))
}

/// The Go server, built by a Go that listens with MPTCP sockets (since 1.24).
pub(crate) fn go_of_today() -> PathBuf {
    go("go-today", &target().join("tools/go/bin/go"))
}

fn go(product: &str, compiler: &Path) -> PathBuf {
    make(product, "go", |from, to| {
        let mut go = Command::new(compiler);
        go.current_dir(from).args(["build", "-o"]).arg(to).arg(".");
        go.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod");
        go.env("GOCACHE", built().join("go-cache")).env("GOPATH", built().join("go-path"));
        tool(&mut go);
    })
}

/// The directory with the compiled server on the JDK's own `HttpServer`.
pub(crate) fn java() -> PathBuf {
    make("java/HttpServerMain.class", "java", |from, to| {
        let classes = to.parent().expect("the class is in a directory");
        tool(Command::new("javac").arg("-d").arg(classes).arg(from.join("HttpServerMain.java")));
    })
    .parent()
    .expect("the class is in a directory")
    .to_path_buf()
}

/// The embedded Tomcat, all in one jar, as build tools of the Java world make it.
pub(crate) fn tomcat() -> PathBuf {
    make("tomcat.jar", "tomcat", |from, to| {
        let jars = ["tomcat10-embed-core.jar", "jakarta-annotation-api.jar"];
        let jars = jars.map(|jar| Path::new("/usr/share/java").join(jar));
        let classes = tempfile::tempdir().expect("a temporary directory can be made");
        let classes = classes.path();
        for jar in &jars {
            tool(Command::new("jar").current_dir(classes).arg("xf").arg(jar));
        }
        // The libraries are modules of their own; a program in one jar is not.
        fs::remove_file(classes.join("module-info.class")).expect("Tomcat's jar is a module");
        fs::remove_dir_all(classes.join("META-INF")).expect("Tomcat's jar has a manifest");
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-Xlint:-deprecation", "-cp"]).arg(classes).arg("-d").arg(classes);
        tool(javac.arg(from.join("TomcatMain.java")));
        let mut jar = Command::new("jar");
        jar.args(["--create", "--main-class", "TomcatMain", "--file"]).arg(to).arg("-C").arg(classes).arg(".");
        tool(&mut jar);
    })
}

/// The axum server. It is a workspace of its own and keeps its own lock file.
pub(crate) fn axum() -> PathBuf {
    make("rust-axum/debug/rust-axum", "rust-axum", |from, _| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(from).args(["build", "--locked", "--quiet", "--target-dir"]).arg(built().join("rust-axum"));
        tool(&mut cargo);
    })
}

/// The server of mixed traffic on the library, and the clients that judge it; see `bench/restarts`.
pub(crate) fn mixed() -> PathBuf {
    let _one_builder = lock::wait("build-mixed");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["build", "--quiet", "--package", "adieu-bench-restarts", "--target-dir"]);
    tool(cargo.arg(target()));
    target().join("debug").join("adieu-bench-restarts")
}

/// A small program in C, from a file `NAME.c` in `folder`.
pub(crate) fn c(folder: &Path, name: &str) -> PathBuf {
    make_from(folder, &format!("c-{name}"), |from, to| {
        let source = from.join(format!("{name}.c"));
        tool(Command::new("gcc").args(["-O1", "-Wall", "-Werror", "-o"]).arg(to).arg(source));
    })
}
