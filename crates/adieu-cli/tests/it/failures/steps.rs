//! A kill at each named step of a switch: of the new generation, of the old one, of their keepers, of the supervisor.
//!
//! The supervisor stops itself right before or after an action of its core (`ADIEU_FAILPOINT`, which only tests build in), so
//! the victim dies exactly there. Two requests that take longer than the test are with the old generation all the time:
//! they are what it is owed for.

use std::net::TcpStream;

use rustix::process::{Pid, Signal};

use super::{service, slow_request};
use crate::harness::crowd::{CLIENTS, Crowd, Ends};
use crate::harness::proc::{command_line, kill, kill_for_good, parent, state};
use crate::harness::{Begun, Instance, Told, come, until};

/// Every action of a good reload from the first generation to the second, in order.
const STEPS: [&str; 8] = [
    "before spawn 2",
    "after spawn 2",
    "before switch 2",
    "before serving 2",
    "before watch_queues 1",
    "before watch_owed 1",
    "before ask_main 1",
    "before retire 1",
];

/// Which process of a generation.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Main,
    Keeper,
}

/// A service, a crowd and a reload that stands still at a step.
struct Scenario {
    service: Instance,
    crowd: Crowd,
    reload: Begun,
    stuck: Vec<TcpStream>,
}

impl Scenario {
    fn stop_at(step: &str, options: &[&str]) -> Self {
        let service = service().env("ADIEU_FAILPOINT", step).options(options).serving();
        let stuck: Vec<TcpStream> = (0..2).map(|_| slow_request(&service)).collect();
        let owed = || service.generation(1).map(|generation| generation["connections"]["owed"].clone());
        until("two requests are under way", || owed().is_some_and(|owed| owed.as_u64() >= Some(2)));
        let crowd = Crowd::at(&service);
        let reload = service.begin_reload(&["--wait", "drained"]);
        until(&format!("it stops {step}"), || state(service.pid) == Some('T'));
        Self { service, crowd, reload, stuck }
    }

    /// Kills a process of a generation and lets the supervisor go on.
    fn kill_and_go_on(&self, generation: u64, who: Who) {
        if let Some(victim) = self.find(generation, who) {
            let keeper = parent(victim).filter(|_| who == Who::Main);
            kill_for_good(victim);
            if let Some(keeper) = keeper {
                // What the supervisor hears next is this death, and not what it does itself when it goes on.
                until("its keeper has told of it", || {
                    state(victim).is_none() && matches!(state(keeper), None | Some('S' | 'Z'))
                });
            }
        }
        kill(self.service.pid, Signal::CONT);
    }

    /// The supervisor cannot be asked now: processes are found by what they are. The main process of a generation whose
    /// start has begun is waited for.
    fn find(&self, generation: u64, who: Who) -> Option<Pid> {
        let main = come(&format!("generation {generation} has a main process"), || {
            self.service.tree().into_iter().find(|pid| is_main_of(*pid, generation))
        });
        if who == Who::Main {
            return Some(main);
        }
        let keeper = parent(main)?;
        assert_ne!(keeper, self.service.pid, "a generation has a keeper");
        Some(keeper)
    }

    /// Waits for the end of the reload; what the crowd has seen until some time after it.
    fn end(self) -> (Instance, Told, Ends) {
        let Self { service, crowd, reload, stuck } = self;
        let told = reload.end();
        crowd.ask_more();
        let ends = crowd.end();
        drop(stuck);
        (service, told, ends)
    }
}

fn is_main_of(pid: Pid, generation: u64) -> bool {
    let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let wanted = format!("ADIEU_GENERATION={generation}");
    variables.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes())
        && command_line(pid).contains("server.py")
}

/// Nobody was refused, no more was lost than one death can cost, and this generation serves alone in the end.
fn went_well(step: &str, service: Instance, told: &Told, ends: &Ends, serves: u64) {
    let account = || format!("{step}: {told:?}\n{ends:?}\n{}", service.account());
    assert_eq!(ends.refused, 0, "{}", account());
    assert!(ends.lost() <= CLIENTS, "{}", account());
    assert_eq!(service.answers(), serves, "{}", account());
    until(&format!("it serves alone\n{}", account()), || {
        service.status_json()["generations"].as_array().is_some_and(|all| all.len() == 1)
    });
    service.end();
}

#[test]
fn the_new_generation_is_killed() {
    for step in &STEPS[1..6] {
        let scenario = Scenario::stop_at(step, &[]);
        scenario.kill_and_go_on(2, Who::Main);
        let (service, told, ends) = scenario.end();
        assert_eq!(told.code, 7, "{step}: {told:?}\n{}", service.account());
        let why = if *step == "after spawn 2" {
            "before it was ready"
        } else {
            "right after the switch; the one before serves again"
        };
        assert!(told.error.contains(&format!("generation 2 was ended by SIGKILL {why}")), "{step}: {told:?}");
        went_well(step, service, &told, &ends, 1);
    }
}

/// Once the old one is being stopped, the new one is all there is: its death is the end of the run, or a restart.
#[test]
fn the_new_generation_is_killed_when_the_old_one_cannot_come_back() {
    for step in &STEPS[6..] {
        let scenario = Scenario::stop_at(step, &[]);
        scenario.kill_and_go_on(2, Who::Main);
        let Scenario { mut service, crowd, reload, stuck: _stuck } = scenario;
        let told = reload.end();
        // When the old one was gone already, the reload was over.
        let why = "generation 2 was ended by SIGKILL right after the switch, and none was left to take over";
        let fits = if *step == "before retire 1" { told.code == 0 } else { told.code == 1 && told.error.contains(why) };
        assert!(fits, "{step}: {told:?}\n{}", service.output());
        assert_eq!(service.wait(), 137, "{step}: {}", service.output());
        service.scene.nobody_is_left();
        drop(crowd.end());

        let scenario = Scenario::stop_at(step, &["--restart", "on-failure"]);
        scenario.kill_and_go_on(2, Who::Main);
        scenario.crowd.wait_for_answers_of(3, 5);
        let (service, told, ends) = scenario.end();
        went_well(step, service, &told, &ends, 3);
    }
}

#[test]
fn the_old_generation_is_killed() {
    for step in &STEPS[..7] {
        let scenario = Scenario::stop_at(step, &[]);
        scenario.kill_and_go_on(1, Who::Main);
        let (service, told, ends) = scenario.end();
        assert_eq!(told.code, 0, "{step}: {told:?}\n{}", service.account());
        // Its requests are lost with it, and told to be, unless they had been given up before.
        let timeline = service.timeline();
        let (lost, given_up) = ("generation 1 has died: ", "generation 1: gave up 2 connections");
        let line = timeline.lines().find_map(|line| line.split_once(lost)).map(|(_, line)| line);
        let owed = line.and_then(|line| line.split_once(" connections were owed an answer")?.0.parse::<usize>().ok());
        let told_of = if *step == "before ask_main 1" { timeline.contains(given_up) } else { owed >= Some(2) };
        assert!(told_of, "{step}: {owed:?}\n{}", service.account());
        went_well(step, service, &told, &ends, 2);
    }
}

#[test]
fn the_keeper_of_the_new_generation_is_killed() {
    for step in &STEPS[1..] {
        let scenario = Scenario::stop_at(step, &[]);
        scenario.kill_and_go_on(2, Who::Keeper);
        let (service, told, ends) = scenario.end();
        assert_eq!(told.code, 0, "{step}: {told:?}\n{}", service.account());
        assert_eq!(ends.lost(), 0, "{step}: {ends:?}\n{}", service.account());
        went_well(step, service, &told, &ends, 2);
    }
}

#[test]
fn the_keeper_of_the_old_generation_is_killed() {
    for step in &STEPS[..7] {
        let scenario = Scenario::stop_at(step, &[]);
        scenario.kill_and_go_on(1, Who::Keeper);
        let (service, told, ends) = scenario.end();
        assert_eq!(told.code, 0, "{step}: {told:?}\n{}", service.account());
        assert_eq!(ends.lost(), 0, "{step}: {ends:?}\n{}", service.account());
        went_well(step, service, &told, &ends, 2);
    }
}

/// The keepers end what they keep, and nothing is left that would be in the next one's way.
#[test]
fn the_supervisor_is_killed() {
    for step in STEPS {
        let Scenario { mut service, crowd, reload, stuck } = Scenario::stop_at(step, &["--grace", "1s"]);
        kill_for_good(service.pid);
        let told = reload.end();
        assert!(told.code == 1 && told.error.contains("the instance ended before it answered"), "{step}: {told:?}");
        assert_eq!(service.wait(), 137);
        service.scene.nobody_is_left();
        drop((crowd.end(), stuck));
        let told = service.stop();
        assert_eq!(told.code, 6, "{step}: {told:?}");
        let again = service.scene.adieu(&["run", "--name", "s", "--", "true"]);
        assert_eq!(again.code, 0, "{step}: {again:?}");
    }
}
