//! Signals with the semantics of Go's `os/signal`, and SIGPIPE.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use adieu::signals::{self, Subscription};
use adieu::{App, Outcome, Signal, StopReport};

use crate::scene::{play, play_under, say, scene};

/// Sent to this very thread, so that its handler has run when this returns; the hub's thread hears of it some time later.
fn raise(signal: Signal) {
    signal_hook::low_level::raise(signal.number()).expect("it is sent");
}

#[test]
fn every_subscriber_gets_a_copy_and_a_full_one_misses_it() {
    fn service() -> StopReport {
        let small = &mut signals::subscribe([Signal::USR1], 1).expect("subscribed");
        let large = &mut signals::subscribe([Signal::USR1, Signal::WINCH], 10).expect("subscribed");
        let mut last = signals::subscribe([Signal::USR2], 1).expect("subscribed");
        for _ in 0..3 {
            raise(Signal::USR1);
            // Equal signals that wait are one; so each is received before the next.
            assert_eq!(large.blocking_recv(), Some(Signal::USR1));
        }
        raise(Signal::WINCH);
        assert_eq!(large.blocking_recv(), Some(Signal::WINCH));
        raise(Signal::USR2);
        assert_eq!(last.blocking_recv(), Some(Signal::USR2));
        assert_eq!([small.try_recv(), small.try_recv(), large.try_recv()], [Some(Signal::USR1), None, None]);
        let app = App::new("fan out");
        app.control().close();
        app.run()
    }
    play(scene!(every_subscriber_gets_a_copy_and_a_full_one_misses_it), service, |service| {
        let end = service.ends();
        assert_eq!(end.code(), Some(0), "{}", end.stderr);
    });
}

#[test]
fn what_no_process_can_handle_is_refused() {
    for signal in [Signal::KILL, Signal::STOP, Signal::SEGV] {
        let error = signals::subscribe([signal], 1).expect_err("refused");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        assert!(signals::ignore([signal]).is_err());
    }
}

#[test]
fn an_application_and_a_subscriber_both_get_a_stop_signal() {
    fn service() -> StopReport {
        let mut copies = signals::subscribe([Signal::TERM], 1).expect("subscribed");
        let app = App::new("shared");
        // Not the application's: it neither keeps its signal from it nor takes it away.
        signals::ignore([Signal::USR2]).expect("ignored");
        app.task("copies", |context| async move {
            say("serving");
            say(&format!("{:?}", copies.recv().await.map(|signal| signal.to_string())));
            context.asked_to_end().await;
        });
        app.run()
    }
    play(scene!(an_application_and_a_subscriber_both_get_a_stop_signal), service, |mut service| {
        service.hears("serving");
        service.signal("USR2");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.events(), ["serving", "Some(\"SIGTERM\")"]);
        assert_eq!((end.code(), end.report().outcome), (Some(0), Outcome::Clean));
    });
}

/// What both programs are told to do, a letter each: `a` and `b` subscribe, `x` and `y` stop these subscriptions, `i` ignores,
/// `r` resets.
const STEPS: [char; 6] = ['a', 'b', 'x', 'y', 'i', 'r'];

/// The signal on which Go gives a disposition back that was there before. (On most it keeps its handler once it had one.)
const HANGUP: Signal = Signal::HUP;

/// Does `script`, sends itself the signal, and says who got it.
fn follow(script: &str) {
    let mut subscriptions: [Option<Subscription>; 2] = [None, None];
    for step in script.chars() {
        match step {
            'a' => subscriptions[0] = Some(signals::subscribe([HANGUP], 4).expect("subscribed")),
            'b' => subscriptions[1] = Some(signals::subscribe([HANGUP], 4).expect("subscribed")),
            'x' => subscriptions[0] = None,
            'y' => subscriptions[1] = None,
            'i' => signals::ignore([HANGUP]).expect("ignored"),
            'r' => signals::reset([HANGUP]),
            _ => panic!("no such step"),
        }
    }
    // Other signals say that this one has been dealt with: pending ones are looked at in the order of their numbers, again and
    // again, so between two of a higher number there is a look at this one.
    let mut fence = signals::subscribe([Signal::USR2], 1).expect("subscribed");
    raise(HANGUP);
    for _ in 0..2 {
        raise(Signal::USR2);
        assert_eq!(fence.blocking_recv(), Some(Signal::USR2));
    }
    let got = |of: &mut Option<Subscription>| of.as_mut().and_then(Subscription::try_recv).is_some();
    println!("\n> a={} b={}", got(&mut subscriptions[0]), got(&mut subscriptions[1]));
}

const GO: &str = r#"
package main

import ("fmt"; "os"; "os/signal"; "runtime"; "syscall")

// To this very thread: one sent to the process may be handled by another, after the next one.
func send(which syscall.Signal) { syscall.Tgkill(syscall.Getpid(), syscall.Gettid(), which) }

func main() {
	runtime.LockOSThread()
	a, b := make(chan os.Signal, 4), make(chan os.Signal, 4)
	for _, step := range os.Args[1] {
		switch step {
		case 'a': signal.Notify(a, syscall.SIGHUP)
		case 'b': signal.Notify(b, syscall.SIGHUP)
		case 'x': signal.Stop(a)
		case 'y': signal.Stop(b)
		case 'i': signal.Ignore(syscall.SIGHUP)
		case 'r': signal.Reset(syscall.SIGHUP)
		}
	}
	fence := make(chan os.Signal, 1)
	signal.Notify(fence, syscall.SIGUSR2)
	send(syscall.SIGHUP)
	for round := 0; round < 2; round++ {
		send(syscall.SIGUSR2)
		<-fence
	}
	fmt.Printf("\n> a=%v b=%v\n", len(a) > 0, len(b) > 0)
}
"#;

/// How a program that follows a script ends: what it says, or the signal that it ends by.
fn outcome(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.strip_prefix("> ")).map(str::to_owned);
    match (output.status.signal(), said) {
        (Some(signal), _) => format!("ended by {signal}"),
        (None, Some(said)) => said,
        (None, None) => panic!("{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn the_same_calls_have_the_same_effect_as_in_go() {
    if let Ok(script) = std::env::var("ADIEU_TEST_SCRIPT") {
        follow(&script);
        std::process::exit(0);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (source, go) = (directory.path().join("main.go"), directory.path().join("program"));
    std::fs::write(&source, GO).expect("the source");
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(&go).arg(&source).current_dir(directory.path());
    let built = build.env("GOCACHE", directory.path().join("cache")).env("GOFLAGS", "-mod=mod").output();
    let built = built.expect("go is not installed: `cargo xtask test` installs it");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    // Every script of up to three steps; as a proof, of four.
    let longest = if std::env::var_os("ADIEU_PROVE").is_some() { 4 } else { 3 };
    let mut scripts = vec![String::new()];
    let mut all = scripts.clone();
    for _ in 0..longest {
        scripts = scripts.iter().flat_map(|script| STEPS.map(|step| format!("{script}{step}"))).collect();
        all.extend(scripts.clone());
    }
    let name = scene!(the_same_calls_have_the_same_effect_as_in_go);
    let (_, name) = name.split_once("::").expect("a path");
    let ours = std::env::current_exe().expect("this program");
    let mut seen = std::collections::BTreeSet::new();
    for script in &all {
        // An inherited "ignore" is where each begins, too.
        for ignored in ["", "trap '' HUP; "] {
            let run = |program: &PathBuf| {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("{ignored}exec \"$@\""), "sh"]).arg(program);
                command
            };
            let mut theirs = run(&go);
            theirs.arg(script);
            let mut mine = run(&ours);
            mine.args([name, "--exact", "--nocapture", "--test-threads=1"]).env("ADIEU_TEST_SCRIPT", script);
            let mine = outcome(mine);
            assert_eq!(mine, outcome(theirs), "after {ignored:?} and {script:?}");
            seen.insert(mine);
        }
    }
    // All kinds of ends have been there, or the comparison proves nothing.
    let expected = ["a=false b=false", "a=false b=true", "a=true b=false", "a=true b=true", "ended by 1"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// Writes until somebody stops it.
fn talks(ends: bool) -> StopReport {
    if ends {
        signals::end_on_closed_stdout();
    }
    loop {
        println!("a line");
    }
}

/// The status of a program whose standard output nobody reads any more after the first line.
fn after_head(name: &str, service: fn() -> StopReport, check: fn(std::process::ExitStatus, &str)) {
    play_under(
        name,
        service,
        |program| {
            let mut command = Command::new("bash");
            // The status of the program itself, and not of `head`.
            command.args(["-c", r#""$@" | head -n 20 >/dev/null; exit "${PIPESTATUS[0]}""#, "bash"]).arg(program);
            command
        },
        |service| {
            let end = service.ends();
            check(end.status, &end.stderr);
        },
    );
}

#[test]
fn a_closed_standard_output_ends_a_program_as_unix_expects() {
    after_head(
        scene!(a_closed_standard_output_ends_a_program_as_unix_expects),
        || talks(true),
        |status, stderr| {
            assert_eq!(status.code(), Some(128 + 13), "{stderr}");
            assert!(!stderr.contains("panicked"), "{stderr}");
        },
    );
}

#[test]
fn without_that_rust_panics() {
    // The negative control.
    after_head(
        scene!(without_that_rust_panics),
        || talks(false),
        |status, stderr| {
            assert_ne!(status.code(), Some(128 + 13));
            assert!(stderr.contains("failed printing to stdout"), "{stderr}");
        },
    );
}

#[test]
fn a_closed_socket_is_only_an_error() {
    fn service() -> StopReport {
        signals::end_on_closed_stdout();
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        drop(theirs);
        let bytes = [std::io::IoSlice::new(b"x")];
        let error = std::io::Write::write_vectored(&mut ours, &bytes).expect_err("nobody is there");
        say(&format!("{:?}", error.kind()));
        let app = App::new("socket");
        app.control().close();
        app.run()
    }
    play(scene!(a_closed_socket_is_only_an_error), service, |service| {
        let end = service.ends();
        assert_eq!((end.events(), end.code()), (vec!["BrokenPipe"], Some(0)));
    });
}
