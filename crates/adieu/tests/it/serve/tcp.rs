use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use adieu::serve::{Serve, TcpConnection};
use adieu::{App, StopReport};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::{anywhere, port, routes, tell_port};
use crate::scene::{play, say, scene};

/// Answers each line, in capitals, after a moment.
async fn shout(connection: TcpConnection) {
    let mut stream = tokio::io::BufReader::new(connection);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        let _request = stream.get_ref().request();
        say(&format!("asked {}", line.trim_end()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        if stream.get_mut().write_all(line.to_uppercase().as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

#[test]
fn a_protocol_of_ones_own_answers_and_says_farewell() {
    fn service() -> StopReport {
        let app = App::new("shout");
        // The second takes settings: without a linger it closes at once.
        app.serve_tcp_with("hasty", anywhere(), "bye\n", shout, Serve::new().linger(Duration::ZERO));
        let server = app.serve_tcp("lines", anywhere(), "bye\n", shout);
        tell_port(&app, &server);
        drop(server);
        app.run()
    }
    play(scene!(a_protocol_of_ones_own_answers_and_says_farewell), service, |mut service| {
        let port = port(&mut service);
        let connect = || BufReader::new(TcpStream::connect(("127.0.0.1", port)).expect("connects"));
        let (mut idle, mut busy, mut silent) = (connect(), connect(), connect());
        let mut answer = String::new();
        idle.get_mut().write_all(b"one\n").expect("sends");
        idle.read_line(&mut answer).expect("an answer");
        assert_eq!(answer, "ONE\n");
        busy.get_mut().write_all(b"two\n").expect("sends");
        service.hears("asked two");
        service.signal("TERM");
        for (client, expected) in [(&mut busy, "TWO\nbye\n"), (&mut idle, "bye\n"), (&mut silent, "bye\n")] {
            let mut rest = String::new();
            client.read_to_string(&mut rest).expect("ends in order");
            assert_eq!(rest, expected);
        }
        drop((idle, busy, silent));
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn a_unix_socket_is_served_and_taken_over_from_the_dead() {
    fn path() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("adieu-unix-{}", std::env::var("ADIEU_TEST_UNIX").unwrap_or_default()))
    }
    fn service() -> StopReport {
        let app = App::new("unix");
        let server = app.serve_with("api", path(), routes(), Serve::new());
        tell_port(&app, &server);
        drop(server);
        app.run()
    }
    let tag = std::process::id().to_string();
    let of = std::env::temp_dir().join(format!("adieu-unix-{tag}"));
    // The socket of one that was killed.
    drop(std::os::unix::net::UnixListener::bind(&of));
    let name = scene!(a_unix_socket_is_served_and_taken_over_from_the_dead);
    let wrap = |program| {
        let mut command = std::process::Command::new(program);
        command.env("ADIEU_TEST_UNIX", &tag);
        command
    };
    crate::scene::play_under(name, service, wrap, |mut service| {
        assert_eq!(port(&mut service), 0);
        let mut stream = std::os::unix::net::UnixStream::connect(&of).expect("connects");
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n").expect("sends");
        service.hears("asked slowly");
        service.signal("TERM");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("ends in order");
        assert!(answer.ends_with("\r\n\r\nslow") && answer.contains("connection: close"), "{answer}");
        assert_eq!(service.ends().code(), Some(0));
        std::fs::remove_file(&of).expect("it is still there");
    });
}
