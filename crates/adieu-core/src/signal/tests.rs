use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn every_standard_number_is_one_signal_on_every_architecture() {
    for architecture in Architecture::ALL {
        let mut numbers: Vec<u8> = table::TABLE.iter().filter_map(|row| row.number_on(architecture)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=STANDARD_MAX).collect::<Vec<u8>>(), "{architecture:?}");
    }
    let names: BTreeSet<&str> = table::TABLE.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), table::TABLE.len());
}

#[test]
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn numbers_are_those_of_the_manual() {
    let numbers = [
        (Signal::HUP, 1),
        (Signal::INT, 2),
        (Signal::QUIT, 3),
        (Signal::KILL, 9),
        (Signal::USR1, 10),
        (Signal::USR2, 12),
        (Signal::TERM, 15),
        (Signal::CHLD, 17),
        (Signal::CONT, 18),
        (Signal::STOP, 19),
        (Signal::WINCH, 28),
        (Signal::SYS, 31),
    ];
    for (signal, number) in numbers {
        assert_eq!((signal.number(), Signal::from_number(number)), (number, Some(signal)));
    }
    assert_eq!(Signal::ALL.len(), 64);
    assert_eq!("RTMIN+3".parse(), Ok(Signal(37)), "what systemd takes for halt");
    assert_eq!("RTMAX-1".parse(), Ok(Signal(63)));
    assert_eq!(Signal::USR1.number_on(Architecture::Mips), Some(16));
    assert_eq!(Signal(16).name(), "SIGSTKFLT");
    assert_eq!(Signal(16).number_on(Architecture::Sparc), None);
    assert_eq!(Signal(40).number_on(Architecture::Parisc), Some(40));
}

#[test]
fn default_actions_are_those_of_the_kernel() {
    let of = |action| Signal::ALL.into_iter().filter(|s| s.default_action() == action).collect::<BTreeSet<_>>();
    let sorted = |signals: &[Signal]| signals.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(of(DefaultAction::Ignore), sorted(&[Signal::CHLD, Signal::WINCH, Signal::URG]));
    assert_eq!(of(DefaultAction::Continue), sorted(&[Signal::CONT]));
    assert_eq!(of(DefaultAction::Stop), sorted(&[Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU]));
    let core = [
        Signal::QUIT,
        Signal::ILL,
        Signal::TRAP,
        Signal::ABRT,
        Signal::FPE,
        Signal::SEGV,
        Signal::BUS,
        Signal::SYS,
        Signal::XCPU,
        Signal::XFSZ,
    ];
    assert!(of(DefaultAction::Core).is_superset(&sorted(&core)));
    let caught: Vec<Signal> = Signal::ALL.into_iter().filter(|s| !s.is_catchable()).collect();
    assert_eq!(sorted(&caught), sorted(&[Signal::KILL, Signal::STOP]));
}

#[test]
fn names_are_read_as_people_write_them() {
    for text in ["TERM", "SIGTERM", "term", "SigTerm", "15", "015"] {
        assert_eq!(text.parse(), Ok(Signal::TERM), "{text}");
    }
    for signal in Signal::ALL {
        for text in [signal.name().into_owned(), signal.number().to_string(), signal.to_string().to_lowercase()] {
            assert_eq!(text.parse(), Ok(signal), "{text}");
        }
        assert!(!signal.purpose().is_empty());
        let json = serde_json::to_string(&signal).expect("json");
        assert_eq!(json, format!("\"{signal}\""));
        assert_eq!(serde_json::from_str::<Signal>(&json).expect("signal"), signal);
    }
    assert_eq!("IOT".parse(), Ok(Signal::ABRT));
    assert_eq!("SIGCLD".parse(), Ok(Signal::CHLD));
    assert_eq!("poll".parse(), Ok(Signal::IO));
    assert_eq!("RTMAX".parse(), Ok(Signal(REAL_TIME_MAX)));
    assert_eq!("rtmin".parse::<Signal>().map(|s| (s.name(), s.is_real_time())), Ok(("SIGRTMIN".into(), true)));
    assert_eq!(Signal(33).name(), "SIG33");
    assert!(!Signal(33).is_real_time());
}

#[test]
fn refusals_say_what_was_meant() {
    let refusal = |text: &str| text.parse::<Signal>().expect_err("refused").to_string();
    for (text, meant) in [
        ("TREM", "SIGTERM"),
        ("SIGTEM", "SIGTERM"),
        ("HPU", "SIGHUP"),
        ("SIGQIT", "SIGQUIT"),
        ("KILLL", "SIGKILL"),
        ("WINHC", "SIGWINCH"),
        ("USR", "SIGUSR1"),
        ("SIG_INT", "SIGINT"),
    ] {
        assert_eq!(refusal(text), format!("unknown signal {text:?}: did you mean {meant}?"));
    }
    for text in [
        "",
        "SIG",
        "XYZ",
        "SIGSIGTERM",
        "TERM ",
        "RTMIN+",
        "RTMIN-1",
        "RTMAX+1",
        "RTMIN+x",
        "RTMINI",
        "-9",
        "+9",
        "\0",
        "é",
    ] {
        assert!(refusal(text).starts_with(&format!("unknown signal {text:?}")), "{}", refusal(text));
    }
    assert_eq!(refusal("xyz"), "unknown signal \"xyz\"");
    assert_eq!(refusal("0"), format!("there is no signal 0: signals have the numbers 1 to {REAL_TIME_MAX}"));
    assert!(refusal("99999999999999999999").starts_with("there is no signal 9999"));
    for text in ["RTMIN+94", "SIGRTMAX-94", "RTMIN+999999999999"] {
        assert!(refusal(text).contains("is outside the real-time signals"), "{text}");
    }
}

#[test]
fn findings_are_read_as_what_they_are() {
    let signal = |signal| Ok(Reading::Signal(signal));
    for text in ["TERM", "sigterm", "15", "015", "-15"] {
        assert_eq!(Reading::of(text), signal(Signal::TERM), "{text}");
    }
    assert_eq!(Reading::of("RTMIN+3").ok(), "37".parse().map(Reading::Signal).ok());
    for (number, name) in [(129, Signal::HUP), (130, Signal::INT), (137, Signal::KILL), (143, Signal::TERM)] {
        assert_eq!(Reading::of(&number.to_string()), Ok(Reading::ExitCode(number, name)));
    }
    let mask = |mask, signals: &[Signal]| Ok(Reading::Mask(mask, signals.to_vec()));
    assert_eq!(Reading::of("0x4002"), mask(0x4002, &[Signal::INT, Signal::TERM]));
    assert_eq!(Reading::of("0000000000004002"), mask(0x4002, &[Signal::INT, Signal::TERM]), "as /proc writes it");
    assert_eq!(Reading::of("0000000180000000").map(|reading| matches!(reading, Reading::Mask(..))), Ok(true));
    assert_eq!(Reading::of("0X0"), mask(0, &[]));
    for (text, words) in [
        ("TREM", "unknown signal \"TREM\": did you mean SIGTERM?"),
        ("-TERM", "unknown signal \"-TERM\""),
        ("", "unknown signal \"\""),
        ("-", "unknown signal \"-\""),
        ("0x", "\"0x\" is no mask"),
        ("0xg", "\"0xg\" is no mask"),
        ("0x+1", "\"0x+1\" is no mask"),
        ("0x00000000000000001", "\"0x00000000000000001\" is no mask"),
        ("0", "0 is neither a signal"),
        ("128", "128 is neither a signal"),
        ("-143", "-143 is neither a signal"),
        ("255", "255 is neither a signal"),
        ("99999999999999999999", "99999999999999999999 is neither a signal"),
    ] {
        let error = Reading::of(text).expect_err(text).to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn whoever_sends_a_signal_is_named() {
    let by = |signal: Signal| signal.senders().iter().map(|sender| sender.by).collect::<Vec<_>>();
    for platform in ["Docker", "Kubernetes", "systemd"] {
        assert!(by(Signal::TERM).contains(&platform) && by(Signal::KILL).contains(&platform), "{platform}");
    }
    for keyboard in [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::HUP, Signal::TTIN, Signal::TTOU, Signal::WINCH] {
        assert!(by(keyboard).contains(&"terminal"), "{keyboard}");
    }
    // Nobody sends SIGSTKFLT, and of the real-time signals only those that systemd listens for mean anything.
    let nobody: Vec<Signal> = Signal::ALL.into_iter().filter(|s| !s.is_real_time() && s.senders().is_empty()).collect();
    assert_eq!(nobody.iter().map(|signal| signal.name()).collect::<Vec<_>>(), ["SIGSTKFLT"]);
    let halt: Signal = "RTMIN+3".parse().expect("a signal");
    assert!(halt.senders().iter().any(|sender| sender.when.contains("halts")), "{:?}", halt.senders());
    assert_eq!("RTMIN+8".parse::<Signal>().map(Signal::senders), Ok(&[][..]));
}

#[test]
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn a_signal_that_is_missing_here_is_known() {
    let missing: Vec<_> = Signal::elsewhere().map(|elsewhere| (elsewhere.name, elsewhere.numbers)).collect();
    let on = [Architecture::Alpha, Architecture::Sparc, Architecture::Mips].map(|architecture| (architecture, 7));
    assert_eq!(missing, [("SIGEMT", on.to_vec())]);
    assert_eq!(Signal::ABRT.aliases().collect::<Vec<_>>(), ["SIGIOT"]);
}

#[test]
fn numbers_out_of_range_are_no_signals() {
    for number in [i32::MIN, -1, 0, i32::from(REAL_TIME_MAX) + 1, 256 + 15, i32::MAX] {
        assert_eq!(Signal::from_number(number), None);
    }
}

#[test]
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn masks_as_proc_shows_them() {
    assert_eq!(Signal::decode_mask(0), []);
    assert_eq!(Signal::decode_mask(u64::MAX), Signal::ALL);
    assert_eq!(Signal::decode_mask(1), [Signal::HUP]);
    assert_eq!(Signal::decode_mask(0x4002), [Signal::INT, Signal::TERM]);
    assert_eq!(Signal::decode_mask(0x1_8000_0000), [Signal(32), Signal(33)], "SigCgt of every program with threads");
}

proptest! {
    #[test]
    fn any_finding_is_read_or_refused(text in "\\PC{0,20}|-?[0-9]{0,25}|(0[xX])?[0-9a-fA-F]{0,20}") {
        match Reading::of(&text) {
            Ok(Reading::Mask(mask, signals)) => {
                let again = signals.iter().fold(0u64, |mask, signal| mask | 1 << (signal.number() - 1));
                prop_assert_eq!(again, mask, "every bit of 64 is a signal");
            }
            Ok(Reading::ExitCode(code, signal)) => prop_assert_eq!(code, 128 + signal.number()),
            Ok(Reading::Signal(signal)) => prop_assert_eq!(Reading::of(&signal.name()), Ok(Reading::Signal(signal))),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,20}|(?i)(sig)?(rt(min|max)[+-]?)?[0-9a-z+]{0,8}") {
        match text.parse::<Signal>() {
            Ok(signal) => prop_assert_eq!(signal.name().parse(), Ok(signal)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
