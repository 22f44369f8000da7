//! 32 connections of seven kinds, restarts in the middle, and an account of what became of every request.
//!
//! | kind | connections | what it does |
//! |---|---|---|
//! | kept | 10 | quick answers on a kept connection: half ask again at once, half after a pause of up to 600 ms |
//! | fresh | 2 | quick answers, a connection for each |
//! | slow | 4 | answers that take 300 ms, on a kept connection |
//! | upload | 4 | request bodies that take 250 ms and a pause of up to 400 ms, half of them on a kept connection |
//! | h2 | 4 | four streams at once on each: quick, slow and uploads |
//! | websocket | 4 | a message, its echo, a pause of up to 100 ms |
//! | sse | 4 | server-sent events: a request is a whole stream of events |
//!
//! Classes are the drill's. Being told to go elsewhere is no loss: `Connection: close` on an answer, GOAWAY before a request
//! was sent, a close frame with code 1001 or 1012, the end of a chunked body between two events. An HTTP/2 request that the
//! server says it has not processed is a race: it may be sent again.

mod account;
mod errand;
mod http1;
mod http2;
mod websocket;

use std::net::Ipv4Addr;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::account::Account;
use self::errand::Errand;

/// Between two restarts, and before the first.
const BETWEEN: Duration = Duration::from_millis(300);
/// After the last: as long as an old generation may take to be killed, so that what it then cuts off is counted.
const AFTER: Duration = Duration::from_millis(3500);
/// A kind of connection and how many there are.
const KINDS: [(&str, usize); 7] =
    [("kept", 10), ("fresh", 2), ("slow", 4), ("upload", 4), ("h2", 4), ("websocket", 4), ("sse", 4)];

pub(crate) fn load(port: u16, restarts: usize, kinds: &str, command: &str) -> ExitCode {
    let wanted = |kind: &str| kinds == "all" || kinds.split(',').any(|word| word == kind);
    if kinds != "all" && !kinds.split(',').all(|word| KINDS.iter().any(|(kind, _)| word == *kind)) {
        eprintln!("{kinds}: no such kinds");
        return ExitCode::from(2);
    }
    let account = Arc::new(Account::default());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let restarted = runtime.block_on(async {
        let (end, over) = watch::channel(false);
        let errand = Errand { address: (Ipv4Addr::LOCALHOST, port).into(), account: Arc::clone(&account), over };
        let mut clients = JoinSet::new();
        for (kind, number) in KINDS.iter().filter(|(kind, _)| wanted(kind)) {
            (0..*number).for_each(|index| start(kind, index, &errand, &mut clients));
        }
        let restarted = restart(restarts, command, &account).await;
        // The clients look at it after what they are doing.
        end.send_replace(true);
        let mut all_well = restarted;
        while let Some(ended) = clients.join_next().await {
            if let Err(panicked) = ended {
                account.trouble(&panicked);
                all_well = false;
            }
        }
        all_well
    });
    println!("{}", account.json());
    if restarted && !account.is_troubled() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(kind: &'static str, index: usize, errand: &Errand, clients: &mut JoinSet<()>) {
    let errand = errand.clone();
    match kind {
        "kept" => {
            let pause = if index.is_multiple_of(2) { Duration::ZERO } else { Duration::from_millis(600) };
            clients.spawn(http1::asks(errand, kind, http1::get("/quick"), true, pause, "here\n"))
        }
        "fresh" => {
            clients.spawn(http1::asks(errand, kind, http1::get("/quick"), false, Duration::from_millis(50), "here\n"))
        }
        "slow" => {
            clients.spawn(http1::asks(errand, kind, http1::get("/slow"), true, Duration::from_millis(100), "done\n"))
        }
        "upload" => {
            let (keeps, pause) = (index.is_multiple_of(2), Duration::from_millis(400));
            clients.spawn(http1::asks(errand, kind, http1::upload(), keeps, pause, http1::GOT))
        }
        "sse" => clients.spawn(http1::listens(errand, kind)),
        "h2" => clients.spawn(http2::streams(errand, kind)),
        _ => clients.spawn(websocket::talks(errand, kind)),
    };
}

/// Whether all restarts have succeeded.
async fn restart(restarts: usize, command: &str, account: &Account) -> bool {
    tokio::time::sleep(BETWEEN * 3).await;
    for number in 1..=restarts {
        account.restart(number);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        match shell.status().await {
            Ok(status) if status.success() => {}
            Ok(status) => {
                account.trouble(&format!("restart {number}: {status}"));
                return false;
            }
            Err(error) => {
                account.trouble(&error);
                return false;
            }
        }
        tokio::time::sleep(BETWEEN).await;
    }
    tokio::time::sleep(AFTER).await;
    true
}
