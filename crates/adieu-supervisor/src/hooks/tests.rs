use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use adieu_core::outcome::Cause;
use adieu_core::signal::Signal;
use adieu_linux::wait::Change;

use super::*;
use crate::options::HttpTarget;
use crate::processes::{Processes, Role};
use crate::testing::{World, alone, processes, until};

const FIRST: Generation = Generation::FIRST;
const BUDGET: Duration = Duration::from_secs(5);
const DONE: Event = Event::PreStopDone(FIRST);

fn command(script: &str) -> Hook {
    Hook::Command(script.to_owned())
}

/// A run with these hooks; generation 1 is asked to end.
fn world(pre_stop: Option<Hook>, post_stop: Option<Hook>) -> World {
    let mut world = World::serving();
    (world.options.pre_stop, world.options.post_stop) = (pre_stop, post_stop);
    world
}

/// The parts that have to do with hooks.
struct Bench {
    hooks: Hooks,
    processes: Processes,
    out: Out,
}

impl Bench {
    fn new() -> Self {
        Self { hooks: Hooks::new("web"), processes: processes(&["true"]), out: Out::default() }
    }

    fn pre_stop(&mut self, world: &World) {
        let view = world.view();
        let mut shell = self.processes.shell(&view, FIRST);
        self.hooks.run_pre_stop(&view, FIRST, Some(Pid::new(4711)), BUDGET, &mut shell, &mut self.out);
    }

    fn post_stop(&mut self, world: &World, outcome: Outcome, end: &TreeEnd) {
        let view = world.view();
        let mut shell = self.processes.shell(&view, FIRST);
        self.hooks.run_post_stop(&view, FIRST, outcome, end, &mut shell, &mut self.out);
    }

    /// Hands on the ends of commands and lets requests go on, until no hook runs.
    fn finish(&mut self, world: &World) {
        until("the end of all hooks", || {
            for (pid, change) in self.processes.reap() {
                if self.processes.role_of(pid, change) == Role::Command {
                    self.hooks.command_ended(pid, change == Change::Exited(0), &mut self.out);
                }
            }
            self.hooks.advance(&world.view(), &mut self.out);
            self.hooks.are_over()
        });
    }
}

fn end(cause: Cause) -> TreeEnd {
    TreeEnd { main: Some(Pid::new(4711)), started: adieu_linux::clock::now(), cause }
}

#[test]
fn without_a_pre_stop_hook_it_is_over_at_once() {
    let mut bench = Bench::new();
    bench.pre_stop(&world(None, Some(command("true"))));
    assert_eq!((bench.out.events(), bench.out.texts()), (vec![DONE], vec![]));
    assert!(bench.hooks.are_over());
}

#[test]
fn a_pre_stop_command_is_over_when_it_has_ended() {
    drop(alone(|| {
        let world =
            world(Some(command("env > environment; cat > input; while ! [ -e end ]; do sleep 0.01; done")), None);
        let mut bench = Bench::new();
        bench.pre_stop(&world);
        assert_eq!(bench.hooks.next(), Some(world.now + BUDGET));
        bench.hooks.advance(&world.view(), &mut bench.out);
        assert!(bench.out.events().is_empty() && !bench.hooks.are_over());
        // Somebody else's end is not its own.
        bench.hooks.command_ended(Pid::new(i32::MAX), true, &mut bench.out);
        assert!(bench.out.events().is_empty());
        fs::write("end", "").expect("a file");
        bench.finish(&world);
        assert_eq!((bench.out.events(), bench.out.texts()), (vec![DONE], vec![]));
        assert_eq!(bench.hooks.next(), None);
        let found = fs::read_to_string("environment").expect("it was written");
        for wanted in ["ADIEU_EVENT=pre-stop\n", "ADIEU_PID=4711\n", "ADIEU_NAME=web\n", "ADIEU_GENERATION=1\n"] {
            assert!(found.contains(wanted), "{wanted} in {found}");
        }
        assert_eq!(fs::read("input").expect("it was written"), b"");
    }));
}

#[test]
fn a_pre_stop_command_that_fails_is_told_of_and_over() {
    drop(alone(|| {
        let world = world(Some(command("exit 1")), None);
        let mut bench = Bench::new();
        bench.pre_stop(&world);
        bench.finish(&world);
        assert_eq!(bench.out.events(), [DONE]);
        assert_eq!(bench.out.texts(), ["generation 1: pre-stop ended with an error"]);
    }));
}

#[test]
fn a_pre_stop_command_that_cannot_be_started_is_told_of_and_over() {
    let mut bench = Bench::new();
    bench.pre_stop(&world(Some(command("nul\0")), None));
    assert_eq!(bench.out.events(), [DONE]);
    let texts = bench.out.texts();
    assert!(texts.len() == 1 && texts[0].starts_with("generation 1: pre-stop failed: "), "{texts:?}");
    assert!(bench.hooks.are_over());
}

#[test]
fn a_command_that_has_spent_its_time_is_killed_with_all_below_it() {
    drop(alone(|| {
        let script = "sleep 1000 & echo > up; while ! [ -e go ]; do sleep 0.01; done; echo > went; wait";
        let mut world = world(Some(command(script)), None);
        let mut bench = Bench::new();
        bench.pre_stop(&world);
        until("it is up", || fs::read("up").is_ok_and(|up| !up.is_empty()));
        world.now = world.now + (BUDGET - Duration::from_micros(1));
        bench.hooks.advance(&world.view(), &mut bench.out);
        fs::write("go", "").expect("a file");
        until("what it does with the time that it still has", || fs::read("went").is_ok_and(|went| !went.is_empty()));
        assert!(bench.out.events().is_empty());
        world.now = world.now + Duration::from_micros(1);
        bench.finish(&world);
        assert_eq!(bench.out.events(), [DONE]);
        assert_eq!(bench.out.texts(), ["generation 1: pre-stop ended with an error"]);
        until("nobody is left", || {
            bench.processes.reap().is_empty() && process::descendants(process::own_pid()).is_empty()
        });
    }));
}

/// A server for one request, which it answers with `answer`; what it was asked.
fn server(answer: &'static str) -> (Hook, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let request = read_request(&mut stream);
        stream.write_all(answer.as_bytes()).expect("it reads");
        drop(stream.shutdown(Shutdown::Write));
        request
    };
    (Hook::Url(HttpTarget { address, path: "/hook?x=1".to_owned() }), std::thread::spawn(serve))
}

/// Head and body.
fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
            if body.len() >= length.parse().expect("a number") {
                return text;
            }
        }
        let got = stream.read(&mut buffer).expect("bytes");
        assert!(got > 0, "cut short: {text}");
        bytes.extend_from_slice(&buffer[..got]);
    }
}

#[test]
fn a_url_is_over_when_it_has_answered_and_trouble_is_told() {
    for (answer, told) in [
        ("HTTP/1.1 200 OK\r\n\r\n", None),
        ("HTTP/1.1 399 Odd\r\n\r\n", None),
        ("HTTP/1.1 400 Bad\r\n\r\n", Some("generation 1: pre-stop was answered with status 400")),
        ("HTTP/1.1 199 Odd\r\n\r\n", Some("generation 1: pre-stop was answered with status 199")),
        ("HTTP/1.1 500 Oh\r\n\r\n", Some("generation 1: pre-stop was answered with status 500")),
        ("", Some("generation 1: pre-stop failed: unexpected end of file")),
    ] {
        let (hook, server) = server(answer);
        let world = world(Some(hook), None);
        let mut bench = Bench::new();
        bench.pre_stop(&world);
        assert!(!bench.hooks.are_over() || !bench.out.events().is_empty());
        assert_eq!(bench.hooks.next(), Some(world.now + BUDGET));
        let mut interests = Interests::default();
        bench.hooks.interests(&mut interests);
        assert_eq!(interests.into_sources(), [Source::Other]);
        until("the answer", || {
            bench.hooks.advance(&world.view(), &mut bench.out);
            bench.hooks.are_over()
        });
        assert_eq!(bench.out.events(), [DONE], "{answer:?}");
        assert_eq!(bench.out.texts(), told.into_iter().collect::<Vec<_>>());
        let request = server.join().expect("no panic");
        assert!(request.starts_with("POST /hook?x=1 HTTP/1.1\r\n") && request.ends_with("\r\n\r\n"), "{request}");
        let mut interests = Interests::default();
        bench.hooks.interests(&mut interests);
        assert!(interests.into_sources().is_empty());
    }
}

#[test]
fn a_url_where_nobody_listens_is_told_of_and_over() {
    drop(alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let world = world(Some(Hook::Url(HttpTarget { address, path: "/".to_owned() })), None);
        let mut bench = Bench::new();
        bench.pre_stop(&world);
        until("the refusal", || {
            bench.hooks.advance(&world.view(), &mut bench.out);
            bench.hooks.are_over()
        });
        assert_eq!(bench.out.events(), [DONE]);
        assert!(bench.out.texts()[0].starts_with("generation 1: pre-stop failed: Connection refused"));
    }));
}

#[test]
fn a_url_that_does_not_answer_is_over_when_its_time_is_spent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut world = world(Some(Hook::Url(HttpTarget { address, path: "/".to_owned() })), None);
    let mut bench = Bench::new();
    bench.pre_stop(&world);
    bench.hooks.advance(&world.view(), &mut bench.out);
    assert!(bench.out.events().is_empty());
    world.now = world.now + BUDGET;
    bench.hooks.advance(&world.view(), &mut bench.out);
    bench.hooks.advance(&world.view(), &mut bench.out);
    assert_eq!(bench.out.events(), [DONE]);
    assert_eq!(bench.out.texts(), ["generation 1: pre-stop failed: timed out"]);
}

#[test]
fn without_a_post_stop_hook_nothing_runs() {
    let mut bench = Bench::new();
    bench.post_stop(&world(Some(command("true")), None), Outcome::Exited(0), &end(Cause::Exit));
    assert!(bench.hooks.are_over() && bench.out.texts().is_empty() && bench.out.events().is_empty());
}

fn variable(environment: &str, name: &str) -> String {
    let value = environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {environment}")).to_owned()
}

#[test]
fn a_post_stop_command_is_told_how_it_was_in_its_environment_and_as_json() {
    drop(alone(|| {
        let wall_before = clock::wall().as_secs_f64();
        for (outcome, cause, code, signal) in [
            (Outcome::Exited(3), Cause::Exit, 3, ""),
            (Outcome::Signaled(Signal::KILL), Cause::Oom, 137, "SIGKILL"),
            (Outcome::Signaled(Signal::SEGV), Cause::Signal, 139, "SIGSEGV"),
        ] {
            let mut world = world(None, Some(command("env > environment; cat > input")));
            let end = TreeEnd { main: Some(Pid::new(4711)), started: world.now, cause };
            world.now = world.now + Duration::from_secs(100);
            let mut bench = Bench::new();
            bench.post_stop(&world, outcome, &end);
            assert_eq!(bench.hooks.next(), Some(world.now + world.options.grace));
            bench.finish(&world);
            assert!(bench.out.events().is_empty() && bench.out.texts().is_empty(), "the machine does not wait for it");
            let found = fs::read_to_string("environment").expect("it was written");
            let json: serde_json::Value =
                serde_json::from_slice(&fs::read("input").expect("it was written")).expect("it is JSON");
            let get = |name: &str| variable(&found, name);
            assert_eq!((get("ADIEU_EVENT"), get("ADIEU_CAUSE")), ("post-stop".to_owned(), cause.name().to_owned()));
            assert_eq!((get("ADIEU_CODE"), get("ADIEU_SIGNAL")), (code.to_string(), signal.to_owned()));
            assert_eq!((get("ADIEU_PID"), get("ADIEU_GENERATION")), ("4711".to_owned(), "1".to_owned()));
            assert_eq!((&json["name"], &json["generation"], &json["pid"]), (&"web".into(), &1.into(), &4711.into()));
            assert_eq!((&json["cause"], &json["code"]), (&cause.name().into(), &code.into()));
            let expected = if signal.is_empty() { serde_json::Value::Null } else { signal.into() };
            assert_eq!(json["signal"], expected);
            let instance = get("ADIEU_INSTANCE");
            assert_eq!(json["instance"], instance);
            let shape = format!("web-{}-", process::own_pid());
            assert!(instance.starts_with(&shape) && instance.ends_with("-1"), "{instance}");
            let moment = |name: &str| get(name).parse::<f64>().expect("a number");
            let (started, ended) = (moment("ADIEU_STARTED"), moment("ADIEU_ENDED"));
            assert!((ended - started - 100.0).abs() < 0.002 && ended >= wall_before - 0.001, "{started} {ended}");
            for (key, text) in [("started", started), ("ended", ended)] {
                let number = json[key].as_f64().expect("a number");
                assert!((number - text).abs() < 0.001);
            }
        }
    }));
}

#[test]
fn a_post_stop_hook_that_fails_is_told_of_and_no_pre_stop_is_over_by_it() {
    drop(alone(|| {
        let world = world(None, Some(command("exit 1")));
        let mut bench = Bench::new();
        bench.post_stop(&world, Outcome::Exited(0), &end(Cause::Exit));
        bench.finish(&world);
        assert!(bench.out.events().is_empty());
        assert_eq!(bench.out.texts(), ["generation 1: post-stop ended with an error"]);
    }));
}

#[test]
fn a_post_stop_hook_that_cannot_be_started_is_told_of() {
    let mut bench = Bench::new();
    bench.post_stop(&world(None, Some(command("nul\0"))), Outcome::Exited(0), &end(Cause::Exit));
    assert!(bench.hooks.are_over() && bench.out.events().is_empty());
    assert!(bench.out.texts()[0].starts_with("generation 1: post-stop failed: "));
}

#[test]
fn a_post_stop_url_gets_the_json() {
    let (hook, server) = server("HTTP/1.1 204 No Content\r\n\r\n");
    let world = world(None, Some(hook));
    let mut bench = Bench::new();
    bench.post_stop(&world, Outcome::Exited(0), &TreeEnd { main: None, started: world.now, cause: Cause::CrashLoop });
    until("the answer", || {
        bench.hooks.advance(&world.view(), &mut bench.out);
        bench.hooks.are_over()
    });
    let request = server.join().expect("no panic");
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    let json: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
    assert_eq!((&json["cause"], &json["pid"]), (&"crash-loop".into(), &0.into()));
    assert!(bench.out.texts().is_empty() && bench.out.events().is_empty());
}

#[test]
fn the_first_deadline_is_the_next_and_each_hook_ends_by_itself() {
    drop(alone(|| {
        let world = world(Some(command("exec sleep 1000")), Some(command("exit 0")));
        let mut bench = Bench::new();
        bench.post_stop(&world, Outcome::Exited(0), &end(Cause::Exit));
        bench.pre_stop(&world);
        assert_eq!(bench.hooks.next(), Some(world.now + BUDGET));
        until("one of them is over", || {
            for (pid, change) in bench.processes.reap() {
                bench.hooks.command_ended(pid, change == Change::Exited(0), &mut bench.out);
            }
            bench.hooks.runs.len() == 1
        });
        assert_eq!(bench.hooks.runs[0].moment, Moment::PreStop);
        assert!(bench.out.events().is_empty() && !bench.hooks.are_over());
    }));
}
