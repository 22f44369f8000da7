//! Generated component graphs and orders of events through the whole library, in paused time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::testing::{Fault, paused};
use adieu::{App, Component, Phase, StopReport, Verdict};
use proptest::prelude::*;

const PHASES: [Phase; 5] = [Phase::Announce, Phase::Quiesce, Phase::Drain, Phase::Cleanup, Phase::Close];

/// What a start or a hook does.
#[derive(Debug, Clone, Copy)]
enum Does {
    Takes(u64),
    Fails(Fault),
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        12 => (0..3000u64).prop_map(Does::Takes),
        1 => Just(Does::Fails(Fault::Errs)),
        1 => Just(Does::Fails(Fault::Panics)),
        1 => Just(Does::Fails(Fault::Hangs)),
    ]
}

#[derive(Debug, Clone)]
struct Node {
    after: u16,
    start: Does,
    hooks: [Option<Does>; 5],
}

fn node() -> impl Strategy<Value = Node> {
    let start = prop_oneof![20 => (0..500u64).prop_map(Does::Takes), 1 => does()];
    let hooks = proptest::array::uniform5(proptest::option::weighted(0.4, does()));
    (any::<u16>(), start, hooks).prop_map(|(after, start, hooks)| Node { after, start, hooks })
}

/// What is asked for and when, in milliseconds from the beginning.
#[derive(Debug, Clone, Copy)]
enum Asks {
    Close(u64),
    Force(u64),
}

fn asks() -> impl Strategy<Value = Asks> {
    prop_oneof![4 => (0..4000u64).prop_map(Asks::Close), 1 => (0..20_000u64).prop_map(Asks::Force)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Began,
    Ended,
}

/// In order: which component, which phase (`None`: its start), what.
type Log = Arc<Mutex<Vec<(usize, Option<Phase>, What)>>>;

/// Notes its beginning and, dropped, its end: whether it returned, fell or was cut.
struct Noted(Log, usize, Option<Phase>);

impl Noted {
    fn new(log: &Log, id: usize, phase: Option<Phase>) -> Self {
        log.lock().expect("the log").push((id, phase, What::Began));
        Self(Arc::clone(log), id, phase)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.lock().expect("the log").push((self.1, self.2, What::Ended));
    }
}

async fn happen(noted: Noted, does: Does) -> Result<(), adieu::BoxError> {
    let _noted = noted;
    match does {
        Does::Takes(ms) => Fault::Takes(Duration::from_millis(ms)).happen().await,
        Does::Fails(fault) => fault.happen().await,
    }
}

fn describe(app: &App, nodes: &[Node], log: &Log) {
    let mut made: Vec<Component<'_, ()>> = Vec::new();
    for (id, node) in nodes.iter().enumerate() {
        let started = Arc::clone(log);
        let start = node.start;
        let mut component =
            app.component(format!("c{id}")).start(move |_| happen(Noted::new(&started, id, None), start));
        for (phase, does) in PHASES.into_iter().zip(node.hooks) {
            let Some(does) = does else { continue };
            let log = Arc::clone(log);
            let hook = move |_, _| happen(Noted::new(&log, id, Some(phase)), does);
            component = match phase {
                Phase::Announce => component.announce(hook),
                Phase::Quiesce => component.quiesce(hook),
                Phase::Drain => component.drain(hook),
                Phase::Cleanup => component.cleanup(hook),
                Phase::Close | Phase::Force => component.stop(hook),
            };
        }
        for other in needed(node, id) {
            component = component.after(&made[other]);
        }
        made.push(component);
    }
}

fn needed(node: &Node, id: usize) -> Vec<usize> {
    (0..id).filter(|other| node.after >> other & 1 == 1).collect()
}

/// Runs it; what comes back is the report and the log.
fn run(nodes: &[Node], asked: &[Asks]) -> (StopReport, Vec<(usize, Option<Phase>, What)>) {
    let log = Log::default();
    let app = App::new("generated").grace(Duration::from_secs(30)).dump_signals([]);
    describe(&app, nodes, &log);
    let asked = asked.to_vec();
    let report = paused(app, |control| async move {
        for ask in asked {
            let (Asks::Close(ms) | Asks::Force(ms)) = ask;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            match ask {
                Asks::Close(_) => control.close(),
                Asks::Force(_) => control.force(),
            }
        }
        control.close();
    });
    let log = log.lock().expect("the log").clone();
    (report, log)
}

fn check(nodes: &[Node], report: &StopReport, log: &[(usize, Option<Phase>, What)]) {
    assert!(report.took <= Duration::from_secs(30), "over the deadline:\n{report}");
    let at = |what: What| {
        let mut places: HashMap<(usize, Option<Phase>), usize> = HashMap::new();
        for (place, (id, phase, _)) in log.iter().enumerate().filter(|(_, entry)| entry.2 == what) {
            assert_eq!(places.insert((*id, *phase), place), None, "twice: c{id} {phase:?} {what:?}\n{report}");
        }
        places
    };
    let (began, ended) = (at(What::Began), at(What::Ended));
    let stopped = |id: usize| report.hooks.iter().any(|hook| hook.component == format!("c{id}"));
    for (id, node) in nodes.iter().enumerate() {
        for other in needed(node, id) {
            if let Some(start) = began.get(&(id, None)) {
                assert!(ended[&(other, None)] < *start, "c{id} started before c{other} had\n{report}");
            }
            for phase in PHASES {
                let before = (began.get(&(other, Some(phase))), began.get(&(id, Some(phase))));
                if let (Some(needed), Some(_)) = before {
                    let over = ended.get(&(id, Some(phase)));
                    assert!(
                        over.is_some_and(|over| over < needed),
                        "{phase}: c{other} before c{id} was over\n{report}"
                    );
                }
            }
        }
        // Phases follow each other for everybody.
        for (one, other) in (0..PHASES.len()).flat_map(|one| (one + 1..PHASES.len()).map(move |other| (one, other))) {
            if let Some(later) = began.get(&(id, Some(PHASES[other]))) {
                let earlier = (0..nodes.len()).filter_map(|any| ended.get(&(any, Some(PHASES[one]))));
                assert!(
                    earlier.copied().all(|over| over < *later),
                    "{} before {}\n{report}",
                    PHASES[other],
                    PHASES[one]
                );
            }
        }
        for (phase, does) in PHASES.into_iter().zip(node.hooks).filter_map(|(phase, does)| Some((phase, does?))) {
            let ran = began.contains_key(&(id, Some(phase)));
            let verdicts = report.hooks.iter().filter(|hook| hook.component == format!("c{id}") && hook.phase == phase);
            let verdicts: Vec<Verdict> = verdicts.map(|hook| hook.verdict).collect();
            if !stopped(id) {
                assert!(!ran, "a hook of what never started\n{report}");
                continue;
            }
            let [verdict] = verdicts[..] else { panic!("c{id} {phase}: {verdicts:?}\n{report}") };
            match (verdict, does) {
                (Verdict::Done, Does::Takes(_))
                | (Verdict::Failed, Does::Fails(Fault::Errs))
                | (Verdict::Panicked, Does::Fails(Fault::Panics))
                | (Verdict::Cut, Does::Takes(_) | Does::Fails(Fault::Hangs)) => assert!(ran),
                // Cut or skipped by force, before it came to what it does.
                (Verdict::Cut, _) => assert!(report.phases.iter().any(|of| of.phase == Phase::Force), "{report}"),
                (Verdict::Skipped, _) => assert!(!ran && !phase.survives_force(), "{report}"),
                (verdict, does) => panic!("c{id} {phase} does {does:?} and is {verdict:?}\n{report}"),
            }
        }
    }
}

/// 10,000 of them are a proof (`ADIEU_PROVE=1`); the ordinary count finds a mistake of yesterday.
fn cases() -> u32 {
    if std::env::var_os("ADIEU_PROVE").is_some() { 10_000 } else { 150 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn order_holds_and_every_hook_runs_exactly_once(
        nodes in proptest::collection::vec(node(), 1..9), asked in proptest::collection::vec(asks(), 0..4)
    ) {
        let (report, log) = run(&nodes, &asked);
        check(&nodes, &report, &log);
    }
}
