//! What is refused, and how a plan reads.

use super::*;

fn refusal(components: Vec<Component>) -> String {
    Plan::new(components, Policy::default()).expect_err("no plan").to_string()
}

#[test]
fn impossible_plans_are_refused_with_the_reason() {
    let close = &[Phase::Close][..];
    assert_eq!(
        refusal(vec![component("a", &["c"], close), component("b", &["a"], close), component("c", &["b"], close)]),
        "components come after each other in a circle: a → c → b → a"
    );
    assert_eq!(refusal(vec![component("a", &["a"], close)]), "components come after each other in a circle: a → a");
    assert_eq!(refusal(vec![component("a", &[], &[]), component("a", &[], &[])]), "two components are named \"a\"");
    assert_eq!(refusal(vec![component("", &[], &[])]), "a component has an empty name");
    assert_eq!(refusal(vec![component("a", &["x"], &[])]), "\"a\" comes after \"x\", which is no component");
    assert_eq!(refusal(vec![component("a", &[], &[Phase::Close, Phase::Close])]), "\"a\" has two close hooks");
    assert_eq!(refusal(vec![component("a", &[], &[Phase::Force])]), "\"a\" has a force hook and ends in close");
}

#[test]
fn an_edge_against_the_phases_is_refused() {
    // spring-framework#28277: a dependency across phases is counted, and awaited, in the wrong one.
    let feed = Component { ends_in: Phase::Quiesce, ..component("feed", &[], &[Phase::Quiesce]) };
    let api = component("api", &["feed"], &[Phase::Close]);
    assert_eq!(
        refusal(vec![feed.clone(), api]),
        "\"api\" comes after \"feed\", which ends before it: quiesce is before close"
    );
    // The other way round is what a consumer of a queue does.
    let feed = Component { after: vec!["queue".to_owned()], ..feed };
    assert!(Plan::new(vec![component("queue", &[], &[Phase::Close]), feed.clone()], Policy::default()).is_ok());
    let late = Component { hooks: vec![Hook { phase: Phase::Drain, limit: None }], after: Vec::new(), ..feed };
    assert_eq!(refusal(vec![late]), "\"feed\" has a drain hook and ends in quiesce");
    let admin = Component { last: true, ..component("admin", &["redis"], &[Phase::Close]) };
    assert_eq!(
        refusal(vec![admin, component("redis", &[], &[])]),
        "\"admin\" comes after \"redis\", which ends before it: \"admin\" is last"
    );
}

#[test]
fn a_plan_reads_from_start_to_deadline() {
    let admin = Component { last: true, ..component("admin", &[], &[Phase::Close]) };
    let limited = Component {
        hooks: vec![Hook { phase: Phase::Cleanup, limit: Some(Duration::from_secs(3)) }],
        ..component("routes", &["redis"], &[])
    };
    let text = plan(vec![
        component("redis", &[], &[Phase::Close]),
        component("postgres", &[], &[Phase::Close]),
        limited,
        component("api", &["routes", "postgres"], &[Phase::Quiesce, Phase::Drain, Phase::Close]),
        admin,
    ])
    .to_string();
    let expected = "\
start     1 admin  2 redis, postgres  3 routes  4 api
announce  –
quiesce   1 api  (at most 30s)
drain     1 api  (at most 30s)
cleanup   1 routes  (at most 3.5s)
close     1 api  2 redis, postgres  3 admin  (at most 30s)
deadline  30s; the limits add up to 1m33.5s, the deadline cuts them";
    assert_eq!(text, expected);
}

#[test]
fn the_worst_case_is_the_longest_chain() {
    let timed = |name, after: &[&str], seconds| Component {
        hooks: vec![Hook { phase: Phase::Close, limit: Some(Duration::from_secs(seconds)) }],
        ..component(name, after, &[])
    };
    let worst = plan(vec![timed("a", &[], 2), timed("b", &["a"], 3), timed("c", &[], 4)]).worst_case();
    assert_eq!(worst.total, Duration::from_secs(6), "3 + 2 and half a second to join each; c runs beside them");
    let open = Policy { close: None, ..Policy::default() };
    let worst = Plan::new(vec![component("a", &[], &[Phase::Close])], open).expect("a plan").worst_case();
    assert_eq!((worst.limits, worst.total), (None, Duration::from_secs(30)));
}
