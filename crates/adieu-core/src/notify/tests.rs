use proptest::prelude::*;

use super::*;

fn fields(datagram: &[u8]) -> Vec<Field> {
    let message = parse(datagram).expect("read");
    assert_eq!(message.issues(), []);
    message.fields().to_vec()
}

fn issues(datagram: &[u8]) -> Vec<String> {
    parse(datagram).expect("read").issues().iter().map(Issue::to_string).collect()
}

#[test]
fn datagrams_of_the_manual() {
    assert_eq!(fields(b"READY=1"), [Field::Ready]);
    let reload = [Field::Reloading, Field::MonotonicUsec(123_456), Field::Status("Reading".to_owned())];
    assert_eq!(fields(b"RELOADING=1\nMONOTONIC_USEC=123456\nSTATUS=Reading\n"), reload);
    let failed = [Field::Status("Failed to start up: No such file".to_owned()), Field::Errno(2)];
    assert_eq!(fields(b"STATUS=Failed to start up: No such file\nERRNO=2"), failed);
    assert_eq!(fields(b"READY=1\nMAINPID=4711\n\n"), [Field::Ready, Field::MainPid(Pid::new(4711))]);
    assert_eq!(fields(b"STOPPING=1\0"), [Field::Stopping]);
    assert_eq!(fields(b"WATCHDOG=1\nWATCHDOG_USEC=20000000"), [Field::WatchdogAlive, Field::WatchdogUsec(20_000_000)]);
    assert_eq!(fields(b"WATCHDOG=trigger"), [Field::WatchdogTrigger]);
    assert_eq!(fields(b"EXTEND_TIMEOUT_USEC=5000000"), [Field::ExtendTimeoutUsec(5_000_000)]);
    assert_eq!(fields(b"BARRIER=1"), [Field::Barrier]);
    assert_eq!(fields(b""), []);
    assert_eq!(fields(b"STATUS="), [Field::Status(String::new())]);
    assert_eq!(fields(b"STATUS=a=b"), [Field::Status("a=b".to_owned())]);
}

#[test]
fn what_is_not_known_is_kept_as_it_came() {
    let other = |key: &str, value: &[u8]| Field::Other { key: key.to_owned(), value: value.to_vec() };
    assert_eq!(
        fields(b"X_MINE=\xff\xfe\nX_MINE=2\nFDSTORE=1"),
        [other("X_MINE", b"\xff\xfe"), other("X_MINE", b"2"), other("FDSTORE", b"1")]
    );
}

#[test]
fn foreign_bytes_have_a_typed_outcome() {
    assert_eq!(parse(&[b'A'; LONGEST + 1]), Err(BadMessage::TooLong));
    assert!(parse(&[b'A'; LONGEST]).is_ok());
    assert_eq!(parse(b"READY=1\0STOPPING=1"), Err(BadMessage::Nul));
    assert_eq!(parse(b"READY=1\0\0"), Err(BadMessage::Nul));
    assert_eq!(parse(b"BARRIER=1\nREADY=1"), Err(BadMessage::BarrierNotAlone));
    assert_eq!(parse(b"BARRIER=1\nnonsense"), Err(BadMessage::BarrierNotAlone));
    assert_eq!(issues(b"ready=1"), ["\"ready=1\" is not of the form KEY=value"]);
    assert_eq!(
        issues(b"READY\n=1\n\xff=1"),
        [
            "\"READY\" is not of the form KEY=value",
            "\"=1\" is not of the form KEY=value",
            "\"\u{fffd}=1\" is not of the form KEY=value",
        ]
    );
    assert_eq!(issues(b"STATUS=\xff"), ["STATUS can't be \"\u{fffd}\""]);
    for (key, values) in [
        ("READY", &["0", "", "yes", "11", " 1"][..]),
        ("ERRNO", &["-2", "+2", "4096", "ENOENT", "", "0x2"]),
        ("MAINPID", &["0", "-1", "2147483648", "+1", "1 "]),
        ("WATCHDOG_USEC", &["18446744073709551616", "-1", "1s", ""]),
        ("WATCHDOG", &["2", "Trigger"]),
    ] {
        for value in values {
            assert_eq!(issues(format!("{key}={value}").as_bytes()), [format!("{key} can't be {value:?}")]);
        }
    }
    // What is wrong does not take the rest with it, and the first counts.
    let message = parse(b"nonsense\nREADY=1\nSTATUS=a\nSTATUS=b\nREADY=1\nERRNO=x").expect("read");
    assert_eq!(message.fields(), [Field::Ready, Field::Status("a".to_owned())]);
    assert_eq!(message.issues().len(), 4);
    assert!(message.ready());
}

#[test]
fn only_what_concerns_the_whole_service_is_passed_on() {
    let all = b"READY=1\nSTOPPING=1\nRELOADING=1\nMONOTONIC_USEC=1\nMAINPID=2\nX=3\nSTATUS=fine\nWATCHDOG=1\nWATCHDOG_USEC=4\nERRNO=5\nEXTEND_TIMEOUT_USEC=6";
    let lines = parse(all).expect("read").lines_to_pass_on();
    assert_eq!(lines, ["STATUS=fine", "WATCHDOG=1", "WATCHDOG_USEC=4", "ERRNO=5", "EXTEND_TIMEOUT_USEC=6"]);
    assert_eq!(parse(b"BARRIER=1").expect("read").lines_to_pass_on(), [""; 0]);
}

#[test]
fn nothing_is_written_that_would_be_read_as_something_else() {
    let status = |text: &str| Field::Status(text.to_owned());
    assert_eq!(format(&[Field::Ready, status("up")]), Ok(b"READY=1\nSTATUS=up".to_vec()));
    for field in [status("a\nMAINPID=1"), status("a\0"), Field::Other { key: "a".to_owned(), value: Vec::new() }] {
        assert!(matches!(format(&[field]), Err(Unwritable::NotOneLine { .. })));
    }
    assert_eq!(format(&[status(&"a".repeat(LONGEST))]), Err(Unwritable::TooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_written_back(
        datagram in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "((READY|STATUS|MAINPID|WATCHDOG|ERRNO|BARRIER|X_[A-Z]{0,3}|[a-z=\u{e9}]{0,4})=(1|trigger|[0-9]{1,12}|\\PC{0,12})?\n?){0,8}"
                .prop_map(String::into_bytes),
        ],
    ) {
        if let Ok(message) = parse(&datagram) {
            let written = format(message.fields()).expect("what was read can be written");
            let again = parse(&written).expect("what was written can be read");
            prop_assert_eq!(again.fields(), message.fields());
            prop_assert!(again.issues().is_empty());
            for line in message.lines_to_pass_on() {
                prop_assert!(!line.contains(['\n', '\0']));
            }
        }
    }
}

#[test]
fn a_program_that_ends_its_connections_itself_says_so() {
    let says = |datagram: &[u8]| parse(datagram).expect("a message").drains_itself();
    assert!(says(b"READY=1\nX_ADIEU_DRAINS=1\n"));
    assert!(!says(b"READY=1\n") && !says(b"READY=1\nX_ADIEU_DRAINS=0\n"));
}
