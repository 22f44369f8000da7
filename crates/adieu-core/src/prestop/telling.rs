//! What is worth a line, and the summary at the end.

use std::time::Duration;

use super::{Action, Observation, Prestop, Summary, Verdict};
use crate::Timestamp;

/// So long after the last byte people are told that it is calm.
const CALM: Duration = Duration::from_millis(500);

/// What is going on, as far as people were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Traffic,
    Calm,
}

impl Prestop {
    /// Seconds since the beginning.
    pub(super) fn at(&self, now: Timestamp) -> f64 {
        now.since(self.began).as_secs_f64()
    }

    pub(super) fn tell(&mut self, now: Timestamp) {
        let last = self.last_traffic(now);
        let told = match (self.told, last) {
            (Told::Nothing, _) => {
                let ignored = self.totals.ignored;
                self.say(Observation::Began { at: self.at(now), connections: self.open.len(), ignored });
                match last.filter(|(at, _)| now.since(*at) < CALM) {
                    Some((_, peer)) => {
                        self.say(Observation::Traffic { at: self.at(now), peer });
                        Told::Traffic
                    }
                    None => Told::Calm,
                }
            }
            (Told::Traffic, Some((at, _))) if now.since(at) < CALM => Told::Traffic,
            (Told::Traffic, _) => {
                let since = last.map_or(0.0, |(at, _)| self.at(at));
                let (connections, received) = (self.totals.connections, self.totals.received);
                let owed = self.owed;
                self.say(Observation::Calm { at: self.at(now), since, connections, received, owed });
                Told::Calm
            }
            (Told::Calm, Some((at, peer))) if now.since(at) < CALM => {
                self.say(Observation::Traffic { at: self.at(now), peer });
                Told::Traffic
            }
            (Told::Calm, _) => Told::Calm,
        };
        self.told = told;
    }

    fn say(&mut self, observation: Observation) {
        self.actions.push_back(Action::Tell(observation));
    }

    pub(super) fn finish(&mut self, now: Timestamp, verdict: Verdict) {
        self.over = true;
        let last = self.last_traffic(now);
        let probes = self.sources.probes();
        let summary = Summary {
            verdict,
            at: self.at(now),
            last_traffic: last.map(|(at, _)| now.since(at).as_secs_f64()),
            last_peer: last.and_then(|(_, peer)| peer),
            owed: self.owed,
            given_up: self.given_up,
            open: self.open.len(),
            connections: self.totals.connections,
            received: self.totals.received,
            peers: self.totals.peers.len(),
            probes: probes.map(|(source, period, _)| (source.peer, source.size, period.as_secs_f64())).collect(),
        };
        self.actions.push_back(Action::Return(Box::new(summary)));
    }
}
