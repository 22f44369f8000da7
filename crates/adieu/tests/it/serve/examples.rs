//! The numbered examples, as they are: real processes that get their listener handed over and SIGTERM under load.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use super::client::Client;
use crate::scene::PATIENCE;

/// Builds an example, with the features that this test has: one test alone does not have the examples built.
fn build(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let target = this.ancestors().nth(3).expect("a target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "adieu", "--example", name]).arg("--target-dir").arg(target);
    if cfg!(feature = "tls") {
        cargo.args(["--features", "tls"]);
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.expect("cargo runs").success(), "{name} is not built");
    target.join("debug/examples").join(name)
}

/// An example that runs.
struct Example {
    child: Child,
    port: u16,
}

impl Example {
    fn start(name: &str, component: &str) -> Self {
        let program = build(name);
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("an address").port();
        // As systemd hands it over: descriptor 3, for this very process.
        let hand_over = "exec 3<&0 0</dev/null; LISTEN_PID=$$ exec \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", hand_over]).arg(program).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", component);
        let child = command.stdin(OwnedFd::from(listener)).spawn().expect("starts");
        Self { child, port }
    }

    fn terminate(&self) {
        let kill = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    fn ends(&mut self) -> ExitStatus {
        let by = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < by, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Ended already, unless the test has failed.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Runs `client` eight times at once, and SIGTERM in the middle of it. Each gives how often it was answered.
fn under_load(example: &mut Example, client: impl Fn(u16) -> usize + Send + Copy + 'static) {
    let port = example.port;
    let clients: Vec<_> = (0..8).map(|_| std::thread::spawn(move || client(port))).collect();
    std::thread::sleep(Duration::from_millis(400));
    example.terminate();
    for client in clients {
        assert!(client.join().expect("nothing is lost") > 0);
    }
    assert_eq!(example.ends().code(), Some(0));
}

#[test]
fn example_01_axum() {
    under_load(&mut Example::start("01_axum", "api"), |port| {
        let mut client = Client::connect(port);
        let mut answers = 1;
        while !client.get("/").last {
            answers += 1;
        }
        assert!(client.ends());
        answers
    });
}

#[test]
fn example_03_websocket_chat() {
    under_load(&mut Example::start("03_websocket_chat", "api"), |port| {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let (mut socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}/chat"), stream).expect("upgrades");
        socket.send("hello".into()).expect("sends");
        let mut heard = 0;
        loop {
            match socket.read().expect("something or the farewell") {
                tungstenite::Message::Text(text) => {
                    assert_eq!(text.as_str(), "hello");
                    heard += 1;
                }
                tungstenite::Message::Close(close) => {
                    assert_eq!(close.map(|close| close.code.into()), Some(1001_u16));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        let over = std::iter::repeat_with(|| socket.read()).find_map(Result::err);
        assert!(matches!(over, Some(tungstenite::Error::ConnectionClosed)), "{over:?}");
        heard
    });
}

#[test]
fn example_04_server_sent_events() {
    under_load(&mut Example::start("04_server_sent_events", "api"), |port| {
        let mut client = Client::connect(port);
        // Whole: the body has its end.
        let body = client.get("/ticks").body;
        assert!(body.ends_with("\n\n") && client.ends());
        body.lines().filter(|line| line.starts_with("data: ")).count()
    });
    // Another type ends as well, by the extractor.
    under_load(&mut Example::start("04_server_sent_events", "api"), |port| {
        let mut client = Client::connect(port);
        let body = client.get("/lines").body;
        assert!(body.ends_with('\n') && client.ends());
        body.lines().filter(|line| line.starts_with("line ")).count()
    });
}

#[test]
fn example_05_tonic() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    /// A call of the health service: an empty message.
    fn call(method: &str) -> hyper::Request<Full<axum::body::Bytes>> {
        hyper::Request::post(format!("http://here/grpc.health.v1.Health/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(axum::body::Bytes::from_static(&[0; 5])))
            .expect("a call")
    }

    async fn status(answer: hyper::Response<hyper::body::Incoming>) -> String {
        let answer = answer.into_body().collect().await.expect("a whole answer");
        answer.trailers().expect("a status")["grpc-status"].to_str().expect("text").to_owned()
    }

    /// One `Watch`, which is ended in order, and `Check` over and over beside it.
    async fn calls(port: u16) -> usize {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
        let connection = tokio::spawn(connection);
        let watch = client.send_request(call("Watch")).await.expect("watches");
        let watch = tokio::spawn(status(watch));
        let mut answers = 0;
        while client.ready().await.is_ok() {
            match client.send_request(call("Check")).await {
                // 5: not found, once the status has gone away.
                Ok(answer) if answer.headers().contains_key("grpc-status") => {
                    assert_eq!(answer.headers()["grpc-status"], "5");
                }
                Ok(answer) => assert_eq!(status(answer).await, "0"),
                // Not sent at all: the connection has been told to end.
                Err(error) if error.is_canceled() => break,
                Err(error) => panic!("lost: {error:?}"),
            }
            answers += 1;
        }
        drop(client);
        assert_eq!(watch.await.expect("no panic"), "0");
        connection.await.expect("no panic").expect("ends in order");
        answers
    }
    under_load(&mut Example::start("05_tonic", "api"), |port| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(calls(port))
    });
}

#[test]
fn example_06_plain_tcp() {
    under_load(&mut Example::start("06_plain_tcp", "lines"), |port| {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).expect("connects"));
        stream.get_ref().set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut answers = 0;
        loop {
            // A line that comes as the connection ends is not answered, but not reset either.
            let sent = stream.get_mut().write_all(b"hello\n");
            let mut line = String::new();
            stream.read_line(&mut line).expect("no reset");
            if line != "HELLO\n" {
                assert_eq!(line, "bye\n");
                let mut rest = String::new();
                stream.read_to_string(&mut rest).expect("ends in order");
                return answers;
            }
            sent.expect("what is answered was sent");
            answers += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}
