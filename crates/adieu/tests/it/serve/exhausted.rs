//! A process that has no descriptor left for another connection.

use std::collections::HashSet;
use std::net::TcpStream;
use std::time::Duration;

use adieu::serve::Serve;
use adieu::{App, Signal, StopReport};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::client::Client;
use super::{anywhere, port, routes, tell_port};
use crate::scene::{play, say, scene};

/// So many connections have room.
const ROOM: usize = 12;

/// Says the errors that are told.
struct Errors;

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::ERROR
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        say(&format!("told{}", text.0));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn few_descriptors() -> StopReport {
    tracing::subscriber::set_global_default(Errors).expect("the first");
    let app = App::new("exhausted");
    let settings = Serve::new().linger(Duration::from_millis(50));
    let server = app.serve_with("api", anywhere(), routes(), settings);
    tell_port(&app, &server);
    drop(server);
    let limit = |_| async {
        let open = std::fs::read_dir("/proc/self/fd").expect("descriptors");
        let open: HashSet<u64> = open.filter_map(|one| one.ok()?.file_name().to_str()?.parse().ok()).collect();
        // New ones take the lowest numbers that are free, and none from the limit on.
        let most = (0..).filter(|fd| !open.contains(fd)).nth(ROOM).expect("numbers go on");
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: before.maximum }).expect("less");
        say("limited");
    };
    app.on_signal(Signal::USR2, limit).expect("subscribed");
    app.run()
}

/// CPU time of a process, in hundredths of a second (proc_pid_stat(5), USER_HZ is 100).
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit(") ").next().expect("fields").split(' ');
    fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}

#[test]
fn without_a_descriptor_left_it_waits_says_so_once_and_stops_on_time() {
    play(scene!(without_a_descriptor_left_it_waits_says_so_once_and_stops_on_time), few_descriptors, |mut service| {
        let port = port(&mut service);
        service.signal("USR2");
        service.hears("limited");
        let asks = || {
            let mut client = Client::connect(port);
            client.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n");
            client
        };
        let mut clients: Vec<Client<TcpStream>> = (0..3 * ROOM).map(|_| asks()).collect();
        let told = service.hears_of("told");
        assert!(told.contains("cannot accept") && told.contains("Too many open files"), "{told}");
        let (before, seconds) = (ticks(service.id()), 2);
        std::thread::sleep(Duration::from_secs(seconds));
        let spent = ticks(service.id()) - before;
        // A loop that spins takes all of a processor that it gets; this one tries a hundred times in a second.
        assert!(spent < seconds * 15, "{spent} hundredths of a second in {seconds} seconds");
        // Each that is answered and ends gives its place to one that waits: all are answered in the end.
        clients.reverse();
        while let Some(mut client) = clients.pop() {
            let answer = client.answer().expect("an answer");
            assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
        }
        // And again, up to the stop.
        let mut clients: Vec<Client<TcpStream>> = (0..3 * ROOM).map(|_| asks()).collect();
        clients[0].answer().expect("an answer");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.code(), Some(0), "{}", end.stderr);
        let told = end.said.iter().filter(|line| line.starts_with("told")).count();
        assert_eq!(told, 1, "{:?}", end.said);
    });
}
