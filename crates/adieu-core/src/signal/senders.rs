//! Who sends a signal, and when: the kernel, terminals, and what runs containers and services.
//!
//! Invariant: what is said of systemd's process 1 is what systemd(1) lists, of terminals and the kernel what signal(7) and
//! termios(3) do.

use serde::Serialize;

use super::{REAL_TIME_MIN, Signal};

/// One that sends a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sender {
    /// Who.
    pub by: &'static str,
    /// When, to whom, and what changes it.
    pub when: &'static str,
}

macro_rules! senders {
    ($($name:ident { $($by:literal: $when:literal;)* })*) => {
        const SENDERS: &[(Signal, &[Sender])] = &[$((Signal::$name, &[$(Sender { by: $by, when: $when },)*]),)*];
    };
}

senders! {
    HUP {
        "terminal": "closed, or its connection is lost: to the session's leader, and to the foreground when the leader ends";
        "systemd": "`systemctl reload` where ExecReload= says so; after the stop signal with SendSIGHUP=yes";
        "logrotate": "postrotate scripts of programs that reopen their logs on it";
    }
    INT {
        "terminal": "Ctrl-C: to the foreground process group";
        "kernel": "Ctrl-Alt-Del: to process 1";
        "Docker": "`docker stop` where the image's STOPSIGNAL is SIGINT (postgres); Ctrl-C in `docker run`";
        "systemd": "`systemctl stop` where KillSignal=SIGINT";
    }
    QUIT {
        "terminal": "Ctrl-\\: to the foreground process group";
        "Docker": "`docker stop` where the image's STOPSIGNAL is SIGQUIT (nginx, php-fpm)";
        "Kubernetes": "instead of SIGTERM where the image's STOPSIGNAL is SIGQUIT";
        "people": "thread dump of a JVM, goroutines of a Go program (which ends)";
    }
    ILL { "kernel": "the processor does not know an instruction: to the thread that executes it"; }
    TRAP { "kernel": "a breakpoint: to the thread that meets it"; }
    ABRT {
        "program": "to itself: abort(3), a failed assertion, a panic without unwinding";
        "systemd": "the service's watchdog was not fed in time (WatchdogSignal=)";
    }
    BUS { "kernel": "memory behind a mapping is gone, such as a truncated file: to the thread that touches it"; }
    FPE { "kernel": "division of integers by zero: to the thread that does it"; }
    KILL {
        "Docker": "`docker kill`; `docker stop` when its time-out (10 s) is over: to the container's process 1";
        "Kubernetes": "terminationGracePeriodSeconds (30 s) are over, preStop included";
        "systemd": "TimeoutStopSec= (90 s) is over, unless SendSIGKILL=no";
        "kernel": "out of memory, in the machine or the cgroup; process 1 of a pid namespace has ended: to all others in it";
        "people": "`kill -9`";
    }
    USR1 { "logrotate": "postrotate scripts: nginx, Apache httpd"; "people": "whatever the program's manual says"; }
    SEGV { "kernel": "memory that is not mapped, or not for this: to the thread that touches it"; }
    USR2 { "people": "whatever the program's manual says"; }
    PIPE {
        "kernel": "to a thread that writes to a pipe or socket whose other end is closed; systemd starts services with it ignored \
                   (IgnoreSIGPIPE=)";
    }
    ALRM { "kernel": "a timer of alarm(2) or setitimer(2) runs out"; }
    TERM {
        "Docker": "`docker stop`: to the container's process 1, unless STOPSIGNAL or --stop-signal says otherwise";
        "Kubernetes": "a pod ends, after its preStop hook: to each container's process 1, unless STOPSIGNAL says otherwise";
        "systemd": "`systemctl stop`, and at shutdown: to all processes of the service (KillSignal=, KillMode=)";
        "people": "`kill` without more";
    }
    CHLD { "kernel": "a child has ended, stopped or continued: to its parent"; }
    CONT {
        "shell": "`fg`, `bg`";
        "systemd": "right after the stop signal, so that a stopped process gets it";
    }
    STOP { "people": "`kill -STOP`"; "debugger": "to look at it"; }
    TSTP { "terminal": "Ctrl-Z: to the foreground process group"; }
    TTIN { "terminal": "to a background process group that reads from it"; }
    TTOU { "terminal": "to a background process group that writes to it, with `stty tostop`, or changes its settings"; }
    URG { "kernel": "out-of-band data on a socket with an owner"; "Go": "its runtime to its own threads, some hundred times a second"; }
    XCPU { "kernel": "RLIMIT_CPU is used up (systemd: LimitCPU=)"; }
    XFSZ { "kernel": "a file would grow beyond RLIMIT_FSIZE"; }
    VTALRM { "kernel": "a timer of setitimer(2) that counts the program's own time runs out"; }
    PROF { "kernel": "a timer of setitimer(2) that counts processor time runs out: profilers ask for it"; }
    WINCH {
        "terminal": "its size has changed: to the foreground process group";
        "Docker": "`docker stop` where the image's STOPSIGNAL is SIGWINCH (httpd)";
    }
    IO { "kernel": "a descriptor with O_ASYNC is ready (fcntl(2), F_SETOWN)"; }
    PWR { "LXC": "`lxc-stop`: to the container's process 1"; "power supply daemon": "to process 1, at a power failure"; }
    SYS {
        "kernel": "a system call that a seccomp filter answers with a trap (Docker's default profile answers with an error instead)";
    }
}

/// Real-time signals that mean something to systemd as process 1, from SIGRTMIN on.
const SYSTEMD: &[(u8, Sender)] = {
    const fn asks(when: &'static str) -> Sender {
        Sender { by: "people", when }
    }
    &[
        (0, asks("systemd as process 1: starts default.target")),
        (1, asks("systemd as process 1: starts rescue.target")),
        (2, asks("systemd as process 1: starts emergency.target")),
        (
            3,
            Sender {
                by: "Podman, systemd-nspawn, machinectl",
                when: "stop a container whose process 1 is systemd: it halts",
            },
        ),
        (4, Sender { by: "machinectl poweroff", when: "systemd as process 1: powers off" }),
        (5, asks("systemd as process 1: reboots")),
        (6, asks("systemd as process 1: reboots by kexec")),
        (7, asks("systemd as process 1: reboots user space only")),
        (13, asks("systemd as process 1: halts at once")),
        (14, asks("systemd as process 1: powers off at once")),
        (15, asks("systemd as process 1: reboots at once")),
        (16, asks("systemd as process 1: reboots by kexec at once")),
        (17, asks("systemd as process 1: reboots user space only, at once")),
        (20, asks("systemd as process 1: shows status messages on the console")),
        (21, asks("systemd as process 1: shows no status messages")),
        (22, asks("systemd as process 1: logs debug messages")),
        (23, asks("systemd as process 1: logs as configured again")),
        (24, Sender { by: "systemd", when: "to a user's systemd: exits at once" }),
    ]
};

/// Below SIGRTMIN.
const C_LIBRARY: &[Sender] =
    &[Sender { by: "C library", when: "to the program's own threads: pthread_cancel(3), setuid(2) in all of them" }];

impl Signal {
    /// Who is known to send it; empty where nobody is.
    #[must_use]
    pub fn senders(self) -> &'static [Sender] {
        if let Some((_, senders)) = SENDERS.iter().find(|(signal, _)| *signal == self) {
            return senders;
        }
        match self.0.checked_sub(REAL_TIME_MIN) {
            Some(after) => {
                SYSTEMD.iter().find(|(at, _)| *at == after).map_or(&[], |(_, sender)| std::slice::from_ref(sender))
            }
            None if self.row().is_none() => C_LIBRARY,
            None => &[],
        }
    }
}
