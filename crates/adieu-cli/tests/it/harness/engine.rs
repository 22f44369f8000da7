//! A Docker engine of a test's own, with images that are made `FROM scratch`.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::servers::GO_DEBIAN;
use super::{Process, Scene, Told, target, until};

/// Debian's client speaks the engine's language, whatever else is in `PATH`.
const DOCKER: &str = "/usr/bin/docker";

const DOCKERFILE: &str = "FROM scratch
COPY bin /bin
COPY tmp /tmp
";

/// The engine; everything of it ends with it.
#[derive(Debug)]
pub(crate) struct Engine {
    process: Process,
    scene: Scene,
}

impl Engine {
    /// Starts it and builds the image `it`: adieu, busybox and an ordinary server, all static.
    pub(crate) fn start() -> Self {
        let scene = Scene::new();
        let root = scene.directory().display().to_string();
        let (data, exec) = (format!("{root}/data"), format!("{root}/exec"));
        let (socket, pid) = (format!("unix://{root}/docker.sock"), format!("{root}/docker.pid"));
        let words = ["dockerd", "--data-root", &data, "--exec-root", &exec, "-H", &socket, "-p", &pid];
        let plain = [
            "--storage-driver",
            "vfs",
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--oom-score-adjust=0",
        ];
        let process = Process::start("dockerd", &scene.command(&[&words[..], &plain].concat()), scene.directory());
        let engine = Self { process, scene };
        until("the engine answers", || engine.docker(&["info"]).is_fine());
        engine.build("it", "");
        engine
    }

    /// Builds an image with these lines at the end of its Dockerfile.
    pub(crate) fn build(&self, name: &str, more: &str) {
        let context = self.scene.path("context");
        let bin = context.join("bin");
        std::fs::create_dir_all(&bin).expect("a test's own directory is writable");
        std::fs::create_dir_all(context.join("tmp")).expect("a test's own directory is writable");
        let (adieu, busybox) = (adieu(), Path::new("/bin/busybox"));
        let server = PathBuf::from(&GO_DEBIAN.words(0, self.scene.directory())[0]);
        for (from, to) in [(adieu.as_path(), "adieu"), (busybox, "busybox"), (busybox, "sh"), (&server, "server")] {
            std::fs::copy(from, bin.join(to)).expect("what goes into the image is there");
        }
        self.scene.write("context/Dockerfile", &format!("{DOCKERFILE}{more}\n"));
        self.must(&["build", "--quiet", "--tag", name, &context.display().to_string()]);
    }

    /// Runs `docker WORDS` to its end.
    pub(crate) fn docker(&self, words: &[&str]) -> Told {
        let mut command = self.scene.command(&[DOCKER]);
        command.env("DOCKER_HOST", format!("unix://{}", self.scene.path("docker.sock").display()));
        command.env("DOCKER_BUILDKIT", "0").env_remove("DOCKER_CONTEXT");
        Told::of(command.args(words))
    }

    /// As [`Self::docker`]; panics when it fails. What it printed.
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let told = self.docker(words);
        assert!(told.is_fine(), "docker {words:?}: {}\n{}", told.code, told.error);
        told.out
    }

    /// Starts a container with these options, image and command.
    pub(crate) fn run(&self, name: &str, words: &[&str]) {
        self.must(&[&["run", "--detach", "--name", name][..], words].concat());
    }

    /// Waits until the container's output has this in it.
    pub(crate) fn wait_for(&self, name: &str, text: &str) {
        until(&format!("container {name} says {text:?}"), || self.logs(name).contains(text));
    }

    /// What the container has written.
    pub(crate) fn logs(&self, name: &str) -> String {
        self.docker(&["logs", name]).said()
    }

    /// Stops the container as its users do; its exit code.
    pub(crate) fn stop(&self, name: &str, seconds: u32) -> i32 {
        self.must(&["stop", "--time", &seconds.to_string(), name]);
        self.must(&["inspect", "--format", "{{.State.ExitCode}}", name]).trim().parse().expect("a number")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let all = self.docker(&["ps", "--all", "--quiet"]).out;
        let containers: Vec<&str> = all.split_whitespace().collect();
        if !containers.is_empty() {
            self.docker(&[&["rm", "--force"][..], &containers].concat());
        }
        self.process.signal(Signal::TERM);
        self.process.wait();
        // It leaves the network namespace of the host mounted.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let here = self.scene.directory().display().to_string();
        for mounted in
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|mounted| mounted.starts_with(&here))
        {
            drop(Command::new("umount").arg(mounted).output());
        }
    }
}

/// The static adieu, built once for a build directory and again when its sources have changed.
fn adieu() -> PathBuf {
    let (directory, triple) = (target().join("static"), format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "adieu-cli", "--target", &triple, "--target-dir"]).arg(&directory);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static").current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = build.output().expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory.join(triple).join("debug").join("adieu")
}
