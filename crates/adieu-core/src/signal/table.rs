//! The standard signals: one row each, with the numbers and actions of signal(7) and `include/linux/signal.h`.
//!
//! Invariant: on every architecture each number from 1 to 31 is in exactly one row.

use super::{Architecture, DefaultAction, Signal};

/// One signal.
pub(super) struct Row {
    /// With SIG.
    pub(super) name: &'static str,
    /// On Generic, Alpha and SPARC, MIPS, PA-RISC; 0 where there is none.
    numbers: [u8; 4],
    pub(super) action: DefaultAction,
    pub(super) purpose: &'static str,
}

impl Row {
    pub(super) const fn number_on(&self, architecture: Architecture) -> Option<u8> {
        match on(architecture, self.numbers) {
            0 => None,
            number => Some(number),
        }
    }
}

const fn on(architecture: Architecture, [generic, alpha_sparc, mips, parisc]: [u8; 4]) -> u8 {
    match architecture {
        Architecture::Generic => generic,
        Architecture::Alpha | Architecture::Sparc => alpha_sparc,
        Architecture::Mips => mips,
        Architecture::Parisc => parisc,
    }
}

/// Other names for signals of the table, without SIG.
pub(super) const ALIASES: [(&str, Signal); 5] = [
    ("IOT", Signal::ABRT),
    ("CLD", Signal::CHLD),
    ("POLL", Signal::IO),
    // SIGLOST on SPARC, SIGINFO on Alpha; on most machines neither exists.
    ("INFO", Signal::PWR),
    ("UNUSED", Signal::SYS),
];

macro_rules! signals {
    ($($name:ident $numbers:tt $action:ident $purpose:literal;)*) => {
        impl Signal {
            $(
                #[doc = concat!("SIG", stringify!($name), ": ", $purpose, ".")]
                pub const $name: Self = Self(on(Architecture::HERE, $numbers));
            )*
        }

        /// Signals that every architecture has, and the two that some have.
        pub(super) const TABLE: &[Row] = &[
            $(Row {
                name: concat!("SIG", stringify!($name)),
                numbers: $numbers,
                action: DefaultAction::$action,
                purpose: $purpose,
            },)*
            Row { name: "SIGSTKFLT", numbers: [16, 0, 0, 7], action: DefaultAction::Terminate, purpose: "not used" },
            Row { name: "SIGEMT", numbers: [0, 7, 7, 0], action: DefaultAction::Core, purpose: "emulator trap" },
        ];
    };
}

signals! {
    HUP [1, 1, 1, 1] Terminate "the terminal is gone; by custom: read the configuration again";
    INT [2, 2, 2, 2] Terminate "Ctrl-C";
    QUIT [3, 3, 3, 3] Core "Ctrl-\\; some servers: stop gracefully (nginx, php-fpm)";
    ILL [4, 4, 4, 4] Core "illegal instruction";
    TRAP [5, 5, 5, 5] Core "breakpoint";
    ABRT [6, 6, 6, 6] Core "abort(3)";
    BUS [7, 10, 10, 10] Core "memory that cannot be reached";
    FPE [8, 8, 8, 8] Core "arithmetic error";
    KILL [9, 9, 9, 9] Terminate "end at once; cannot be handled";
    USR1 [10, 30, 16, 16] Terminate "up to the program; often: reopen the logs";
    SEGV [11, 11, 11, 11] Core "memory that is not mapped";
    USR2 [12, 31, 17, 17] Terminate "up to the program; some servers: upgrade in place";
    PIPE [13, 13, 13, 13] Terminate "writing to what nobody reads";
    ALRM [14, 14, 14, 14] Terminate "alarm(2)";
    TERM [15, 15, 15, 15] Terminate "please end";
    CHLD [17, 20, 18, 18] Ignore "a child has ended or stopped";
    CONT [18, 19, 25, 26] Continue "go on after a stop";
    STOP [19, 17, 23, 24] Stop "stop; cannot be handled";
    TSTP [20, 18, 24, 25] Stop "Ctrl-Z";
    TTIN [21, 21, 26, 27] Stop "reading from the terminal in the background";
    TTOU [22, 22, 27, 28] Stop "writing to the terminal in the background";
    URG [23, 16, 21, 29] Ignore "urgent data on a socket; Go's preemption";
    XCPU [24, 24, 30, 12] Core "processor time limit";
    XFSZ [25, 25, 31, 30] Core "file size limit";
    VTALRM [26, 26, 28, 20] Terminate "virtual timer";
    PROF [27, 27, 29, 21] Terminate "profiling timer";
    WINCH [28, 28, 20, 23] Ignore "the terminal has another size; Apache httpd: stop gracefully";
    IO [29, 23, 22, 22] Terminate "a descriptor is ready";
    PWR [30, 29, 19, 19] Terminate "power failure; to a container's init: shut down";
    SYS [31, 12, 12, 31] Core "a system call that does not exist, or that seccomp forbids";
}
