//! A process that has no descriptor left does everything that its stop needs one for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use adieu::{App, BoxError, Registry, StopReport};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::scene::{PATIENCE, say, scene};
use crate::systemd::{play, value};

const DIRECTORY: &str = "ADIEU_TEST_DIRECTORY";
const REGISTRY: &str = "ADIEU_TEST_REGISTRY";

fn variable(name: &str) -> String {
    std::env::var(name).expect("the test has set it")
}

/// One that is asked over a connection of its own each time, as over HTTP.
struct Asked;

impl Registry for Asked {
    type Error = std::io::Error;

    async fn register(&self) -> std::io::Result<()> {
        Ok(())
    }

    async fn deregister(&self) -> std::io::Result<()> {
        let mut registry = TcpStream::connect(variable(REGISTRY))?;
        registry.write_all(b"leaves")
    }

    async fn is_seen(&self) -> std::io::Result<bool> {
        Ok(false)
    }
}

/// Takes every descriptor that there is.
fn take_all() -> Vec<std::fs::File> {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).expect("less");
    let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let error = std::fs::File::open("/dev/null").expect_err("one more than there are");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    taken
}

#[test]
fn without_a_descriptor_left_it_leaves_tells_removes_and_reports() {
    fn service() -> StopReport {
        let app = App::new("exhausted").grace(Duration::from_secs(20));
        let path = PathBuf::from(variable(DIRECTORY)).join("scratch");
        std::fs::create_dir_all(path.join("deep/deeper")).expect("a directory");
        std::fs::write(path.join("deep/deeper/file"), "x").expect("a file");
        let scratch = app.temp_path(&path);
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap 'exit 0' TERM; echo; echo '> up'; while :; do sleep 0.05; done"]);
        let child = app.child("child", shell).after(&scratch);
        let registry = app.registry("registry", Asked).after(&child);
        app.component("farewell").after(&registry).cleanup(|_, _| async {
            let said = tokio::process::Command::new("echo").arg("\n> farewell").status().await?;
            if said.success() { Ok::<_, BoxError>(()) } else { Err(said.to_string().into()) }
        });
        app.task("greedy", |context| async move {
            context.serving().await;
            let _kept: &'static mut Vec<_> = Box::leak(Box::new(take_all()));
            say("nothing is left");
        });
        app.on_closed(|report| {
            let name = PathBuf::from(variable(DIRECTORY)).join("report");
            std::fs::write(name, report.to_json()).expect("a report");
        });
        app.run()
    }
    let directory = tempfile::tempdir().expect("a directory");
    let registry = TcpListener::bind("127.0.0.1:0").expect("a registry");
    let address = registry.local_addr().expect("its address").to_string();
    let path = directory.path().to_str().expect("text");
    let name = scene!(without_a_descriptor_left_it_leaves_tells_removes_and_reports);
    play(name, service, &[(DIRECTORY, path), (REGISTRY, &address)], |mut service, systemd| {
        assert_eq!(systemd.next(PATIENCE).expect("a message"), ["READY=1"]);
        service.hears("up");
        service.hears("nothing is left");
        service.signal("TERM");
        let message = systemd.next(PATIENCE).expect("it tells that it is stopping");
        assert_eq!(value(&message, "STOPPING="), Some("1"), "{message:?}");
        let mut said = String::new();
        registry.set_nonblocking(false).expect("a socket");
        let (mut left, _) = registry.accept().expect("it leaves");
        left.read_to_string(&mut said).expect("text");
        assert_eq!(said, "leaves");
        let end = service.ends();
        assert_eq!(end.code(), Some(0), "{}", end.report());
        assert!(!directory.path().join("scratch").exists());
        assert!(end.said.contains(&"farewell".to_owned()), "{:?}", end.said);
        let kept = std::fs::read_to_string(directory.path().join("report")).expect("a report");
        assert_eq!(kept, end.report().to_json());
    });
}
