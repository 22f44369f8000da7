use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(millis: u64) -> Timestamp {
    // Not at the origin: what began before us has a time, too.
    Timestamp::from_origin(ms(1_000_000 + millis))
}

fn config() -> Config {
    Config {
        quiet_for: ms(3_000),
        min: ms(5_000),
        budget: ms(25_000),
        answer_within: ms(10_000),
        interval: ms(100),
        ignore: Network::LOOPBACK.to_vec(),
    }
}

/// What one connection does, in milliseconds.
#[derive(Debug, Clone)]
struct Life {
    peer: IpAddr,
    opens: i64,
    /// When each request comes.
    requests: Vec<i64>,
    /// How long each answer takes.
    answer: i64,
    closes: Option<i64>,
    size: u64,
}

fn peer(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

impl Life {
    /// One request on a connection of its own.
    fn short(peer: IpAddr, opens: i64, size: u64) -> Self {
        Self { peer, opens, requests: vec![opens], answer: 1, closes: Some(opens + 2), size }
    }

    fn heard(&self, now: i64) -> i64 {
        self.requests.iter().copied().filter(|at| *at <= now).max().unwrap_or(self.opens)
    }

    fn connection(&self, cookie: u64, now: i64) -> Connection {
        let asked = self.requests.iter().filter(|at| **at <= now).count() as u64;
        let answered = self.requests.iter().filter(|at| **at + self.answer <= now).count() as u64;
        let sent = self.requests.iter().map(|at| at + self.answer).filter(|at| *at <= now).max().unwrap_or(self.opens);
        let sample = Sample {
            cookie,
            state: State::Open,
            unread: 0,
            unsent_or_unacked: 0,
            last_data_sent_ms: u32::try_from(now - sent).expect("small"),
            last_data_recv_ms: u32::try_from(now - self.heard(now)).expect("small"),
            bytes_received: asked * self.size,
            bytes_acked: answered * 100,
            bytes_sent: answered * 100,
            segs_in: asked as u32,
            segs_out: answered as u32,
            has_owner: true,
            worked_on: false,
        };
        Connection { peer: self.peer, sample, counted: true }
    }
}

/// The machine against a world of connections.
fn wait_in(world: &[Life], config: Config) -> (i64, Summary, Vec<Observation>) {
    let mut machine = Prestop::new(at(0), config);
    let (mut told, mut last_look) = (Vec::new(), -1);
    let mut known: BTreeSet<u64> = BTreeSet::new();
    loop {
        let next = machine.poll_timeout().expect("it is not over");
        // A driver is never early and may be a little late.
        let now = i64::try_from(next.since(at(0)).as_micros().div_ceil(1000)).expect("small");
        machine.handle_timeout(at(now.unsigned_abs()));
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Look { complete } => {
                    let ended = |life: &Life| life.closes.is_some_and(|closes| closes <= now);
                    let lives = || (1u64..).zip(world);
                    let open: Vec<Connection> = lives()
                        .filter(|(cookie, life)| {
                            life.opens <= now && !ended(life) && (complete || known.contains(cookie))
                        })
                        .map(|(cookie, life)| life.connection(cookie, now))
                        .collect();
                    let closed = lives()
                        .filter(|(_, life)| ended(life) && life.closes.is_some_and(|closes| closes > last_look))
                        .map(|(cookie, life)| life.connection(cookie, now))
                        .collect();
                    known = open.iter().map(|connection| connection.sample.cookie).collect();
                    last_look = now;
                    let look = Look { open, complete, closed, unseen: false, received: true };
                    machine.handle(at(now.unsigned_abs()), Event::Looked(look));
                }
                Action::Tell(observation) => told.push(observation),
                Action::Return(summary) => {
                    assert!(machine.poll_timeout().is_none() && machine.poll_action().is_none());
                    return (now, *summary, told);
                }
            }
        }
    }
}

fn load(from: i64, to: i64, every: usize, peers: u8) -> impl Iterator<Item = Life> {
    (from..to).step_by(every).zip((0..peers).cycle()).map(|(opens, who)| Life::short(peer(100 + who), opens, 80))
}

fn probes(peer: IpAddr, first: i64, period: usize, size: u64) -> impl Iterator<Item = Life> {
    (first..30_000).step_by(period).map(move |opens| Life::short(peer, opens, size))
}

#[test]
fn nothing_at_all_is_waited_for_as_long_as_asked() {
    let (end, summary, _) = wait_in(&[], config());
    assert_eq!((end, summary.verdict, summary.last_traffic), (5_000, Verdict::Gone, None));
    let (end, ..) = wait_in(&[], Config { min: ms(0), ..config() });
    assert_eq!(end, 3_000, "what was closed before we came is not known");
}

#[test]
fn quiet_counts_from_the_last_byte() {
    let world: Vec<Life> = load(0, 9_000, 7, 3).collect();
    let (end, summary, told) = wait_in(&world, config());
    assert_eq!(summary.verdict, Verdict::Gone);
    assert!((11_990..=12_200).contains(&end), "{end}");
    assert!(matches!(told.last(), Some(Observation::Calm { .. })), "{told:?}");
    assert_eq!(summary.peers, 3);
}

#[test]
fn traffic_that_never_stops_is_left_at_the_budget() {
    let world: Vec<Life> = load(0, 30_000, 431, 2).collect();
    let (end, summary, _) = wait_in(&world, config());
    assert_eq!((end, summary.verdict), (25_000, Verdict::BudgetSpent));
}

#[test]
fn bytes_on_old_connections_are_traffic() {
    let pool = |to: i64| -> Vec<Life> {
        let one = |who| Life {
            peer: peer(who),
            opens: -60_000,
            requests: (0..to).step_by(900).collect(),
            answer: 5,
            closes: None,
            size: 50,
        };
        (1..5).map(one).collect()
    };
    let (end, summary, _) = wait_in(&pool(8_200), config());
    assert!((11_090..=11_300).contains(&end) && summary.open == 4, "{end}: {summary:?}");
    assert_eq!(wait_in(&pool(30_000), config()).0, 25_000);
    assert_eq!(wait_in(&pool(0), config()).0, 5_000, "idle ones are none");
}

#[test]
fn the_ignored_are_nobody() {
    let world: Vec<Life> = load(0, 30_000, 10, 1).map(|life| Life { peer: [127, 0, 0, 1].into(), ..life }).collect();
    assert_eq!(wait_in(&world, config()).0, 5_000);
    assert_eq!(wait_in(&world, Config { ignore: Vec::new(), ..config() }).0, 25_000);
}

#[test]
fn probes_are_found_and_told() {
    let world: Vec<Life> = load(0, 7_500, 11, 2).chain(probes(peer(1), 700, 2_000, 120)).collect();
    let (end, summary, told) = wait_in(&world, config());
    assert!((10_490..=10_700).contains(&end), "{end}");
    assert_eq!(summary.probes.len(), 1);
    // A FIN that was or was not there makes no difference.
    let fin: Vec<Life> =
        world.iter().zip(0..).map(|(life, n)| Life { size: life.size + n % 2, ..life.clone() }).collect();
    assert_eq!(wait_in(&fin, config()).1.probes.len(), 1);
    assert!(told.iter().any(|told| matches!(told, Observation::Probe { size: 120, .. })), "{told:?}");
    // The same requests at irregular times are traffic.
    let irregular = (0..14).map(|n: i64| Life::short(peer(1), n * 2_000 + n * n * 37 % 900, 120));
    let world: Vec<Life> = load(0, 7_500, 11, 2).chain(irregular).collect();
    assert_eq!(wait_in(&world, config()).0, 25_000);
}

#[test]
fn two_probes_of_one_node_are_found() {
    let both = probes(peer(1), 300, 2_000, 120).chain(probes(peer(1), 1_100, 2_000, 120));
    let world: Vec<Life> = load(0, 8_000, 11, 2).chain(both).collect();
    let (end, summary, _) = wait_in(&world, config());
    assert!((10_990..=11_200).contains(&end), "{end} {summary:?}");
}

#[test]
fn a_client_that_is_no_probe_any_more_is_traffic() {
    let gone_wild = (0..40).map(|n| Life::short(peer(1), 11_000 + n * 431, 120));
    let world: Vec<Life> =
        probes(peer(1), 0, 2_000, 120).take(6).chain(load(0, 9_000, 11, 2)).chain(gone_wild).collect();
    let (end, _, told) = wait_in(&world, config());
    assert_eq!(end, 25_000);
    assert!(told.iter().any(|told| matches!(told, Observation::NoProbe { .. })), "{told:?}");
}

#[test]
fn a_slow_answer_is_waited_for_until_nobody_believes_in_it() {
    let slow = |answer| Life { peer: peer(1), opens: -5, requests: vec![100], answer, closes: None, size: 50 };
    let (end, summary, _) = wait_in(&[slow(7_000)], config());
    assert!((7_100..7_400).contains(&end) && summary.owed == 0, "{end} {summary:?}");
    let (end, summary, _) = wait_in(&[slow(20_000)], config());
    assert!((10_100..10_400).contains(&end) && summary.given_up == 1, "{end} {summary:?}");
    let patient = Config { answer_within: ms(60_000), ..config() };
    assert_eq!(wait_in(&[slow(20_000)], patient.clone()).1.verdict, Verdict::Gone);
    let (end, summary, _) = wait_in(&[slow(40_000)], patient);
    assert_eq!((end, summary.owed, summary.verdict), (25_000, 1, Verdict::BudgetSpent));
}

#[test]
fn who_cannot_see_waits() {
    let mut machine = Prestop::new(at(0), config());
    let mut looks = 0;
    while let Some(next) = machine.poll_timeout() {
        machine.handle_timeout(next);
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Look { .. } => {
                    looks += 1;
                    machine.handle(next, Event::Blind);
                }
                Action::Tell(told) => panic!("nothing is known: {told:?}"),
                Action::Return(summary) => assert_eq!((summary.verdict, next), (Verdict::BudgetSpent, at(25_000))),
            }
        }
    }
    assert!(looks > 100);
}

/// What was received on connections whose bytes are not counted is traffic, whosever it is.
#[test]
fn without_counters_any_byte_counts() {
    for (received, expected) in [(true, 25_000), (false, 5_000)] {
        let mut machine = Prestop::new(at(0), config());
        let mut ended = None;
        while let Some(next) = machine.poll_timeout() {
            machine.handle_timeout(next);
            while let Some(action) = machine.poll_action() {
                match action {
                    Action::Look { complete } => {
                        let mut kept = Life { requests: vec![], ..Life::short(peer(1), -9_000, 0) }.connection(1, 0);
                        kept.counted = false;
                        let look = Look { open: vec![kept], complete, received, ..Look::default() };
                        machine.handle(next, Event::Looked(look));
                    }
                    Action::Tell(_) => {}
                    Action::Return(_) => ended = Some(next),
                }
            }
        }
        assert_eq!(ended, Some(at(expected)));
    }
}

/// A connection that is in no list any more and whose end was not told counts until it was last heard.
#[test]
fn ends_that_nobody_tells_are_traffic() {
    let mut machine = Prestop::new(at(0), config());
    let mut ended = None;
    while let Some(next) = machine.poll_timeout() {
        machine.handle_timeout(next);
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Look { complete } => {
                    let now = i64::try_from(next.since(at(0)).as_millis()).expect("small");
                    let open = (0..7_000i64).step_by(200).find(|opens| (*opens..*opens + 150).contains(&now));
                    let open = open.map(|opens| Life::short(peer(1), opens, 9).connection(opens.unsigned_abs(), now));
                    let look = Look { open: open.into_iter().collect(), complete, ..Look::default() };
                    machine.handle(next, Event::Looked(look));
                }
                Action::Tell(_) => {}
                Action::Return(_) => ended = Some(next),
            }
        }
    }
    assert!(ended >= Some(at(9_800)) && ended <= Some(at(10_100)), "{ended:?}");
}

#[derive(Debug, Clone)]
struct Case {
    world: Vec<Life>,
    /// Without the probes.
    traffic: Vec<Life>,
    config: Config,
    probed: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let load = (0i64..40, 10_500i64..20_000, 3usize..400, 1u8..5);
    let probe = proptest::option::of((0i64..2_000, 1_000usize..4_000));
    let slow = proptest::option::of(0i64..7_000);
    let pool = proptest::collection::vec((-60_000i64..0, 50usize..2_500, 1i64..400), 0..5);
    let times = (600u64..4_000, 0u64..9_000);
    (load, probe, slow, pool, times).prop_map(|((from, to, every, peers), probe, slow, pool, (quiet, min))| {
        let mut traffic: Vec<Life> = load_of(from, to, every, peers);
        traffic.extend(slow.into_iter().flat_map(|first| probes(peer(50), first, 7_000, 33)));
        traffic.extend(pool.into_iter().zip(60..).map(|((opens, every, answer), who)| Life {
            peer: peer(who),
            opens,
            requests: (0..to).step_by(every.max(answer.unsigned_abs() as usize + 20)).collect(),
            answer,
            closes: None,
            size: 40,
        }));
        let probes: Vec<Life> =
            probe.into_iter().flat_map(|(first, period)| probes(peer(1), first, period, 120)).collect();
        let config = Config { quiet_for: ms(quiet), min: ms(min), ..config() };
        let probed = !probes.is_empty();
        Case { world: traffic.iter().cloned().chain(probes).collect(), traffic, config, probed }
    })
}

fn load_of(from: i64, to: i64, every: usize, peers: u8) -> Vec<Life> {
    // Bursts: a load on the beat would be a probe.
    load(from, to, every, peers).enumerate().map(|(n, life)| jittered(life, (n * n * 7 % 13) as i64)).collect()
}

fn jittered(life: Life, by: i64) -> Life {
    Life::short(life.peer, life.opens + by * 11, life.size)
}

/// Looks at everything are no further apart.
const SEEN_WITHIN: i64 = 200;

/// Everything that was received by `now` from people.
fn last_heard(traffic: &[Life], now: i64) -> i64 {
    traffic.iter().filter(|life| life.opens <= now).map(|life| life.heard(now)).max().unwrap_or(0).max(0)
}

/// The first moment from `min` on at which people have been quiet for so long, and nobody comes before it must have been
/// seen.
fn first_calm(traffic: &[Life], min: i64, quiet: i64) -> Option<i64> {
    let opens = traffic.iter().map(|life| life.opens);
    let mut moments: Vec<i64> = opens.chain(traffic.iter().flat_map(|life| life.requests.iter().copied())).collect();
    moments.sort_unstable();
    let (mut coming, mut heard) = (moments.into_iter().peekable(), 0);
    (0..=25_000).find(|now| {
        while let Some(moment) = coming.next_if(|moment| moment <= now) {
            heard = moment.max(heard);
        }
        *now >= min && now - heard >= quiet && coming.peek().is_none_or(|next| next - now > SEEN_WITHIN)
    })
}

proptest! {
    // Nearly half of the cases are put aside below.
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn it_returns_when_the_traffic_has_gone_and_not_before(case in case()) {
        let quiet = i64::try_from(case.config.quiet_for.as_millis()).expect("small");
        let min = i64::try_from(case.config.min.as_millis()).expect("small");
        let (end, summary, _) = wait_in(&case.world, case.config.clone());
        // A load that happens to keep the beat for a while is taken for a probe.
        prop_assume!(summary.probes.iter().all(|(peer, ..)| *peer < self::peer(60)));
        prop_assert!(end >= min, "{} is before the minimum", end);
        prop_assert!(end <= 25_000, "{} is after the budget", end);
        // The slow client may be taken for a probe when it has come three times; it is no reason to wait either way, as long
        // as it comes less often than `quiet_for`.
        let heard = last_heard(&case.traffic, end);
        if summary.verdict == Verdict::Gone {
            prop_assert!(end >= heard + quiet || summary.probes.iter().any(|(peer, ..)| *peer == self::peer(50)),
                "{} is less than {} after {}", end, quiet, heard);
        } else {
            prop_assert_eq!(end, 25_000);
        }
        // Its end could not be missed: the first moment at which everybody has been quiet for long enough, plus one look.
        let calm = first_calm(&case.traffic, min, quiet);
        if let Some(calm) = calm.filter(|calm| *calm < 25_000 - SEEN_WITHIN) {
            prop_assert!(end <= calm + SEEN_WITHIN, "{} is later than {}, quiet since {} (probes: {})", end, calm, heard, case.probed);
        }
    }
}
