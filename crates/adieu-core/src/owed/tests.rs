//! Single connections by table, and a small world of clients whose truth is known.

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_origin(Duration::from_millis(ms))
}

/// Answered a long time ago.
const IDLE: Sample = Sample {
    cookie: 1,
    state: State::Open,
    unread: 0,
    unsent_or_unacked: 0,
    last_data_sent_ms: 5_000,
    last_data_recv_ms: 5_010,
    bytes_received: 100,
    bytes_acked: 500,
    bytes_sent: 500,
    segs_in: 5,
    segs_out: 5,
    has_owner: true,
    worked_on: false,
};

fn standing(counts: Counts) -> &'static str {
    match counts {
        Counts { owed: 1, unknown: 0, quiet: 0, expired: 0, gone: 0 } => "owed",
        Counts { owed: 0, unknown: 1, quiet: 0, expired: 0, gone: 0 } => "unknown",
        Counts { owed: 0, unknown: 0, quiet: 1, expired: 0, gone: 0 } => "quiet",
        Counts { owed: 0, unknown: 0, quiet: 0, expired: 1, gone: 0 } => "expired",
        Counts { owed: 0, unknown: 0, quiet: 0, expired: 0, gone: 1 } => "gone",
        other => panic!("not exactly one: {other:?}"),
    }
}

/// The connection's clocks go on, nothing else happens.
fn later(sample: Sample, ms: u64) -> Sample {
    let ms = ms as u32;
    Sample {
        last_data_sent_ms: sample.last_data_sent_ms + ms,
        last_data_recv_ms: sample.last_data_recv_ms + ms,
        ..sample
    }
}

/// How `sample` stands when it is first seen and after it has been still for so many milliseconds.
fn over_time(sample: Sample, after: &[u64]) -> Vec<&'static str> {
    let mut ledger = Ledger::new(Config::default());
    let stand = |ms: &u64| {
        ledger.handle_samples(at(10_000 + ms), &[later(sample, *ms)]);
        assert_eq!(ledger.is_drained(), ledger.counts().owed + ledger.counts().unknown == 0);
        assert_eq!(ledger.poll_timeout().is_none(), ledger.is_drained());
        standing(ledger.counts())
    };
    after.iter().map(stand).collect()
}

#[test]
fn the_table() {
    let times = [0, 40, 70, 190, 220, 1_990, 2_000];
    let owed = ["owed", "owed", "owed", "owed", "owed", "owed", "expired"];
    let now = Sample { last_data_sent_ms: 0, last_data_recv_ms: 0, ..IDLE };
    let rows: [(&str, Sample, [&str; 7]); 19] = [
        ("idle for long", IDLE, ["quiet"; 7]),
        (
            "answered just now",
            Sample { last_data_recv_ms: 8, ..now },
            ["unknown", "unknown", "quiet", "quiet", "quiet", "quiet", "quiet"],
        ),
        (
            "answered a while ago, by a clock that ticks",
            Sample { last_data_sent_ms: 52, last_data_recv_ms: 60, ..IDLE },
            ["unknown", "quiet", "quiet", "quiet", "quiet", "quiet", "quiet"],
        ),
        ("asked just now", Sample { last_data_sent_ms: 4, ..now }, owed),
        ("asked long ago", Sample { last_data_sent_ms: 6_000, ..IDLE }, owed),
        ("both at once", now, ["unknown", "unknown", "unknown", "unknown", "quiet", "quiet", "quiet"]),
        ("both at once, long ago", Sample { last_data_recv_ms: 5_000, ..IDLE }, ["quiet"; 7]),
        ("asked in the first tick", Sample { bytes_sent: 0, bytes_acked: 0, ..now }, owed),
        ("unread", Sample { unread: 1, ..IDLE }, owed),
        ("unacknowledged", Sample { unsent_or_unacked: 1, ..IDLE }, owed),
        ("worked on", Sample { worked_on: true, ..IDLE }, owed),
        ("not accepted", Sample { has_owner: false, ..IDLE }, owed),
        ("handshake", Sample { state: State::Handshake, has_owner: false, ..now }, owed),
        (
            "said nothing yet",
            Sample { bytes_received: 0, bytes_sent: 0, bytes_acked: 0, ..now },
            ["owed", "owed", "owed", "owed", "owed", "quiet", "quiet"],
        ),
        ("never said anything", Sample { bytes_received: 0, bytes_sent: 0, bytes_acked: 0, ..IDLE }, ["quiet"; 7]),
        ("closed, delivered", Sample { state: State::ClosedByProgram, unread: 7, ..now }, ["gone"; 7]),
        ("closed, being delivered", Sample { state: State::ClosedByProgram, unsent_or_unacked: 1, ..now }, owed),
        ("none of a listener", Sample { state: State::NoConnection, ..now }, ["gone"; 7]),
        ("the client has left and was answered", Sample { state: State::from_kernel(8), ..IDLE }, ["quiet"; 7]),
    ];
    for (name, sample, expected) in rows {
        assert_eq!(over_time(sample, &times), expected, "{name}");
    }
}

#[test]
fn kernel_states() {
    let of = |wanted| (0..=255).filter(|number| State::from_kernel(*number) == wanted).collect::<Vec<u8>>();
    assert_eq!((of(State::Open), of(State::Handshake)), (vec![1, 8], vec![3, 12]));
    assert_eq!(of(State::ClosedByProgram), [4, 5, 9, 11]);
}

#[test]
fn a_tie_is_decided_by_what_two_samples_saw() {
    let tie = Sample { last_data_sent_ms: 0, last_data_recv_ms: 0, ..IDLE };
    let second = |change: fn(Sample) -> Sample| {
        let mut ledger = Ledger::new(Config::default());
        ledger.handle_samples(at(0), &[tie]);
        ledger.handle_samples(at(2), &[change(tie)]);
        ledger.handle_samples(at(302), &[later(change(tie), 300)]);
        standing(ledger.counts())
    };
    assert_eq!(second(|s| Sample { bytes_received: 200, ..s }), "owed", "a request came after the answer");
    assert_eq!(second(|s| Sample { bytes_received: 200, bytes_acked: 501, ..s }), "owed", "and acknowledged it");
    assert_eq!(
        second(|s| Sample { bytes_sent: 900, bytes_acked: 900, ..s }),
        "quiet",
        "an answer came after the request"
    );
    assert_eq!(
        second(|s| Sample { bytes_received: 200, bytes_sent: 900, bytes_acked: 900, ..s }),
        "quiet",
        "cannot be told"
    );
}

#[test]
fn any_counter_that_moves_puts_the_end_off() {
    let owed = Sample { last_data_sent_ms: 6_000, ..IDLE };
    let moves: [fn(&mut Sample); 8] = [
        |s| s.bytes_received += 1,
        |s| s.bytes_acked += 1,
        |s| s.bytes_sent += 1,
        |s| s.segs_in = s.segs_in.wrapping_add(u32::MAX),
        |s| s.segs_out += 1,
        |s| s.unread += 1,
        |s| s.unsent_or_unacked += 1,
        |s| s.state = State::Handshake,
    ];
    for change in moves {
        let mut ledger = Ledger::new(Config::default());
        let mut moved = owed;
        change(&mut moved);
        for (ms, sample, expected) in
            [(0, owed, "owed"), (1_999, moved, "owed"), (3_998, moved, "owed"), (3_999, moved, "expired")]
        {
            ledger.handle_samples(at(ms), &[sample]);
            assert_eq!(standing(ledger.counts()), expected, "{ms} ms {moved:?}");
        }
    }
}

#[test]
fn only_the_set_counts() {
    let mut ledger = Ledger::new(Config::default());
    assert!(!ledger.is_drained() && ledger.poll_timeout() == Some(Timestamp::ZERO));
    ledger.restrict([1, 2, 2, 3]);
    assert!(!ledger.is_drained(), "not sampled yet");
    let foreign = Sample { cookie: 9, unread: 1, ..IDLE };
    let owed = Sample { cookie: 2, unread: 1, ..IDLE };
    ledger.handle_samples(at(100), &[IDLE, owed, foreign]);
    assert_eq!(ledger.counts(), Counts { owed: 1, quiet: 1, gone: 1, ..Counts::default() });
    assert_eq!(ledger.poll_timeout(), Some(at(120)));
    ledger.handle_samples(at(120), &[foreign, Sample { cookie: 3, ..IDLE }]);
    assert_eq!(ledger.counts(), Counts { quiet: 1, gone: 2, ..Counts::default() });
    assert!(ledger.is_drained());
    ledger.handle_samples(at(140), &[owed]);
    assert!(!ledger.is_drained(), "a dump can miss a connection once: it is not forgotten");
    ledger.restrict([]);
    assert!(ledger.is_drained() && ledger.counts() == Counts::default());
}

/// One connection as it really is.
#[derive(Debug, Clone, Copy)]
struct Client {
    sample: Sample,
    sent_at: u64,
    received_at: u64,
    moved_at: u64,
    /// The program has a request that it has not answered.
    pending: bool,
    closed: bool,
}

const TICK: u64 = 4;

#[derive(Debug, Clone, Copy)]
enum Act {
    Ask(usize),
    Read(usize),
    Answer(usize),
    Acknowledge(usize),
    Close(usize),
    Wait(u64),
    Sample,
}

impl Client {
    fn new(cookie: u64, now: u64) -> Self {
        let sample =
            Sample { cookie, bytes_received: 0, bytes_acked: 0, bytes_sent: 0, segs_in: 1, segs_out: 1, ..IDLE };
        Self { sample, sent_at: now, received_at: now, moved_at: now, pending: false, closed: false }
    }

    fn act(&mut self, act: Act, now: u64) {
        let sample = &mut self.sample;
        match act {
            // One request at a time: the next one follows the answer.
            Act::Ask(_) if !self.pending && sample.unread == 0 => {
                (sample.bytes_received, sample.unread, sample.segs_in) =
                    (sample.bytes_received + 10, 10, sample.segs_in + 1);
                (sample.bytes_acked, sample.unsent_or_unacked) = (sample.bytes_sent, 0);
                (self.received_at, self.pending) = (now, true);
            }
            Act::Read(_) if sample.unread > 0 => sample.unread = 0,
            Act::Answer(_) if self.pending && sample.unread == 0 => {
                (sample.bytes_sent, sample.unsent_or_unacked) = (sample.bytes_sent + 50, sample.unsent_or_unacked + 50);
                sample.segs_out += 1;
                (self.sent_at, self.pending) = (now, false);
            }
            Act::Acknowledge(_) if sample.unsent_or_unacked > 0 => {
                (sample.bytes_acked, sample.unsent_or_unacked, sample.segs_in) =
                    (sample.bytes_sent, 0, sample.segs_in + 1);
            }
            Act::Close(_) if !self.pending => self.closed = true,
            _ => return,
        }
        self.moved_at = now;
    }

    fn sample(&self, now: u64) -> Sample {
        let ago = |then: u64| ((now / TICK - then / TICK) * TICK) as u32;
        Sample { last_data_sent_ms: ago(self.sent_at), last_data_recv_ms: ago(self.received_at), ..self.sample }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let who = 0..3usize;
    prop_oneof![
        2 => who.clone().prop_map(Act::Ask),
        2 => who.clone().prop_map(Act::Read),
        2 => who.clone().prop_map(Act::Answer),
        1 => who.clone().prop_map(Act::Acknowledge),
        1 => who.prop_map(Act::Close),
        3 => prop_oneof![0..10u64, 0..80u64, 0..2_500u64].prop_map(Act::Wait),
        4 => Just(Act::Sample),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Request and answer, one at a time: what is drained has been answered, but for the documented exceptions.
    #[test]
    fn nothing_owed_is_taken_for_drained(acts in prop::collection::vec(act(), 1..120)) {
        let config = Config::default();
        let mut now = 100_000;
        let mut clients = [Client::new(1, now), Client::new(2, now), Client::new(3, now)];
        let mut ledger = Ledger::new(config);
        ledger.restrict([1, 2, 3]);
        let show = |ledger: &mut Ledger, clients: &[Client], now: u64| {
            let open: Vec<Sample> = clients.iter().filter(|c| !c.closed).map(|c| c.sample(now)).collect();
            ledger.handle_samples(at(now), &open);
        };
        for act in acts {
            match act {
                Act::Wait(ms) => now += ms,
                Act::Ask(n) | Act::Read(n) | Act::Answer(n) | Act::Acknowledge(n) | Act::Close(n) => {
                    if !clients[n].closed {
                        clients[n].act(act, now);
                    }
                }
                Act::Sample => {
                    show(&mut ledger, &clients, now);
                    let counts = ledger.counts();
                    prop_assert_eq!(counts.owed + counts.unknown + counts.quiet + counts.expired + counts.gone, 3);
                    for client in clients.iter().filter(|c| ledger.is_drained() && c.pending && !c.closed) {
                        let still = u128::from(now - client.moved_at);
                        let same_tick = client.received_at / TICK == client.sent_at / TICK;
                        let excused = still >= config.drain_quiet.as_millis()
                            || (same_tick && still + 10 >= config.unknown_quiet.as_millis());
                        prop_assert!(excused, "{client:?} is owed an answer at {now}");
                    }
                }
            }
        }
        // Whatever happened: without any further movement it ends.
        show(&mut ledger, &clients, now);
        show(&mut ledger, &clients, now + 2_000);
        prop_assert!(ledger.is_drained(), "{:?}", ledger.counts());
    }

    #[test]
    fn any_sample_is_judged(
        numbers in prop::collection::vec((any::<[u64; 3]>(), any::<[u32; 6]>(), any::<u8>(), any::<bool>()), 0..20),
        times in prop::collection::vec(any::<u64>(), 1..5),
    ) {
        let mut ledger = Ledger::new(Config::default());
        for time in times {
            let samples: Vec<Sample> = numbers.iter().map(|(long, short, state, has_owner)| Sample {
                cookie: long[0] % 4, state: State::from_kernel(*state), unread: short[0], unsent_or_unacked: short[1],
                last_data_sent_ms: short[2], last_data_recv_ms: short[3], bytes_received: long[1], bytes_acked: long[2],
                bytes_sent: long[2] ^ time, segs_in: short[4], segs_out: short[5], has_owner: *has_owner, worked_on: long[0] % 2 == 1,
            }).collect();
            ledger.handle_samples(Timestamp::from_origin(Duration::from_micros(time)), &samples);
            let counts = ledger.counts();
            prop_assert_eq!(ledger.is_drained(), counts.owed + counts.unknown == 0);
        }
    }
}
