//! What a supervisor is told, over a real notify socket.

use std::process::Command;
use std::time::Duration;

use adieu::testing::{Fault, NotifySocket};
use adieu::{App, Shutdown, StopReport};

use crate::scene::{PATIENCE, Service, block_all_workers, play_under, say, scene};

/// Plays a service of type notify.
pub(crate) fn play(
    name: &str,
    service: fn() -> StopReport,
    more: &[(&str, &str)],
    happens: impl FnOnce(Service, &NotifySocket),
) {
    let socket = NotifySocket::bind().expect("a socket");
    let wrap = |program| {
        let mut command = Command::new(program);
        command.env("NOTIFY_SOCKET", socket.path()).envs(more.iter().copied());
        command
    };
    play_under(name, service, wrap, |service| happens(service, &socket));
}

/// The value of `key` in a message.
pub(crate) fn value<'a>(message: &'a [String], key: &str) -> Option<&'a str> {
    message.iter().find_map(|line| line.strip_prefix(key))
}

fn extension(message: &[String]) -> Option<Duration> {
    value(message, "EXTEND_TIMEOUT_USEC=").map(|text| Duration::from_micros(text.parse().expect("a number")))
}

#[test]
fn it_is_ready_when_all_has_started_and_asks_for_time_while_it_stops() {
    fn service() -> StopReport {
        let app = App::new("unit").grace(Duration::from_secs(20));
        app.component("slow")
            .start(|_| async {
                say("starting");
                tokio::time::sleep(Duration::from_millis(100)).await;
                say("started");
                Ok::<_, std::io::Error>(())
            })
            .drain(|_, _| async { tokio::time::sleep(Duration::from_millis(100)).await });
        app.run()
    }
    let name = scene!(it_is_ready_when_all_has_started_and_asks_for_time_while_it_stops);
    play(name, service, &[], |mut service, systemd| {
        assert_eq!(systemd.next(PATIENCE).expect("a message"), ["READY=1"]);
        service.hears("started");
        service.signal("TERM");
        let stopping = systemd.next(PATIENCE).expect("a message");
        assert_eq!(value(&stopping, "STOPPING="), Some("1"), "{stopping:?}");
        let asked = extension(&stopping).expect("more time");
        assert_eq!(asked, Duration::from_secs(21), "the grace period and a second to exit");
        let mut last = asked;
        for phase in ["announce", "quiesce", "drain", "cleanup", "close"] {
            let message = systemd.next(PATIENCE).expect("a message");
            assert_eq!(value(&message, "STATUS="), Some(phase));
            let left = extension(&message).expect("more time");
            assert!(left <= last && left > Duration::from_secs(10), "{left:?} after {last:?}");
            last = left;
        }
        assert_eq!(service.ends().code(), Some(0));
    });
}

/// As `adieu run` has it, and systemd in some containers: a name that is in no directory (unix(7)).
#[cfg(target_os = "linux")]
#[test]
fn a_supervisor_that_listens_at_an_abstract_address_is_told() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn service() -> StopReport {
        let app = App::new("unit");
        app.task("once", |context| async move {
            context.serving().await;
            context.close();
        });
        app.run()
    }
    let name = format!("adieu-test/{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let wrap = |program| {
        let mut command = Command::new(program);
        command.env("NOTIFY_SOCKET", format!("@{name}"));
        command
    };
    let scene = scene!(a_supervisor_that_listens_at_an_abstract_address_is_told);
    play_under(scene, service, wrap, |service| {
        let mut message = [0; 1024];
        let length = socket.recv(&mut message).expect("a message");
        assert_eq!(message[..length], *b"READY=1\n");
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn a_main_of_its_own_is_ready_when_it_says_so() {
    fn service() -> StopReport {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let shutdown = Shutdown::install("own", Duration::from_secs(20)).expect("handlers");
            if std::env::var_os("ADIEU_TEST_READY").is_some() {
                shutdown.ready();
            }
            shutdown.control().close();
            shutdown.finish().await
        })
    }
    let name = scene!(a_main_of_its_own_is_ready_when_it_says_so);
    play(name, service, &[("ADIEU_TEST_READY", "yes")], |service, systemd| {
        assert_eq!(systemd.next(PATIENCE).expect("a message"), ["READY=1"]);
        assert_eq!(service.ends().code(), Some(0));
    });
    play(name, service, &[], |service, systemd| {
        let first = systemd.next(PATIENCE).expect("a message");
        assert_eq!(value(&first, "STOPPING="), Some("1"), "{first:?}");
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn a_forced_stop_asks_for_less_time() {
    fn service() -> StopReport {
        let app = App::new("unit").grace(Duration::from_secs(60));
        app.component("hangs").drain(|_, context| async move {
            context.force();
            Fault::Hangs.happen().await
        });
        app.control().close();
        app.run()
    }
    play(scene!(a_forced_stop_asks_for_less_time), service, &[], |service, systemd| {
        let forced = loop {
            let message = systemd.next(PATIENCE).expect("a message");
            if value(&message, "STATUS=") == Some("force") {
                break message;
            }
        };
        assert!(extension(&forced).expect("a time") < Duration::from_secs(3), "{forced:?}");
        assert_eq!(service.ends().code(), Some(124));
    });
}

#[test]
fn the_watchdog_is_fed_while_the_runtime_is_alive_and_not_when_it_is_blocked() {
    fn service() -> StopReport {
        let app = App::new("unit").grace(Duration::from_millis(1500));
        app.task("ready", |context| async move {
            context.serving().await;
            say("serving");
        });
        app.on_signal(adieu::Signal::USR2, |_| async {
            block_all_workers();
        })
        .expect("subscribed");
        app.run()
    }
    let name = scene!(the_watchdog_is_fed_while_the_runtime_is_alive_and_not_when_it_is_blocked);
    play(name, service, &[("WATCHDOG_USEC", "200000")], |mut service, systemd| {
        service.hears("serving");
        let mut fed = 0;
        while fed < 5 {
            let message = systemd.next(PATIENCE).expect("a message");
            fed += usize::from(message == ["WATCHDOG=1"]);
        }
        service.signal("USR2");
        service.hears("all blocked");
        // What was sent before the last worker was blocked may still come; then there is silence.
        let silence = Duration::from_secs(2);
        let most = 20;
        let after = (0..most).take_while(|_| systemd.next(silence).is_ok()).count();
        assert!(after < most, "it is fed by a runtime that is blocked");
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(124));
    });
}
