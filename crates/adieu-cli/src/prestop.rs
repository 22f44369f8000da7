//! `adieu prestop`.

use std::time::Duration;

use adieu_core::duration;
use adieu_core::outcome::code;
use adieu_core::prestop::{Config, Network, Observation, Summary, Verdict};
use adieu_inspect::prestop::{self, Outlook, Sight};
use clap::Args;
use serde_json::json;

use crate::out::{complain, mention};

const HELP: &str = "\
For lifecycle.preStop.exec, instead of `sleep 15`. Returns when no peer has opened a connection or sent a byte for \
--quiet-for (ignored peers and probes aside), no connection is owed an answer, and --min has passed; at the latest \
when --budget is spent. It needs no privilege, only the server's network namespace.

Behind a service mesh all traffic comes from loopback: use --ignore nobody. A peer with three short connections or \
more, of the same size and regular as a clock, counts as a probe.

Exit codes: 0 the traffic has gone, 2 usage, 4 the budget is spent and the traffic has not gone, 5 nothing can be seen \
(the budget was waited for), 6 no process listens on the port. kubelet sends SIGTERM after each of them. For all codes \
but 0 it adds an event FailedPreStopHook with the output.";

/// What is waited for where nothing else is said.
const MIN: Duration = Duration::from_secs(5);
const QUIET_FOR: Duration = Duration::from_secs(3);

/// From one look to the next.
const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct PrestopArgs {
    /// Port that the server listens on (repeatable)
    #[arg(long, value_name = "PORT", required = true, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// Time without a new connection or a received byte [3s; three fifths of a budget of 3s or less]
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    quiet_for: Option<Duration>,
    /// Shortest wait [5s; four fifths of a budget of 5s or less]
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    min: Option<Duration>,
    /// Longest wait; leave the rest of terminationGracePeriodSeconds to the server's own stop
    #[arg(long, value_name = "D", default_value = "25s", value_parser = duration::parse)]
    budget: Duration,
    /// Leave a request that waits longer than this for its answer to the server's own stop
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration::parse)]
    answer_within: Duration,
    /// Peers whose connections are no traffic: an address, a CIDR, `loopback` or `nobody` (repeatable)
    #[arg(long, value_name = "CIDR", default_value = "loopback", value_delimiter = ',', value_parser = parse_ignored)]
    ignore: Vec<Ignored>,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Ignored {
    Nobody,
    Loopback,
    Of(Network),
}

fn parse_ignored(text: &str) -> Result<Ignored, String> {
    match text {
        "nobody" | "none" => Ok(Ignored::Nobody),
        "loopback" => Ok(Ignored::Loopback),
        _ => text.parse().map(Ignored::Of).map_err(|error: adieu_core::prestop::ParseNetworkError| error.to_string()),
    }
}

impl PrestopArgs {
    fn config(&self) -> Result<Config, String> {
        let too_long = |name: &str, value: Duration| {
            let (value, budget) = (duration::format(value), duration::format(self.budget));
            format!("{name} {value} is longer than --budget {budget}: it could never be waited for")
        };
        // Who gives a short budget and nothing else means all of it: a refusal would end the server at once.
        // Something is left for the last look, which comes before the end of the budget or not at all.
        let part = |usual: Duration, fifths: u32| if usual < self.budget { usual } else { self.budget * fifths / 5 };
        let min = self.min.unwrap_or_else(|| part(MIN, 4));
        let quiet_for = self.quiet_for.unwrap_or_else(|| part(QUIET_FOR, 3));
        if min > self.budget {
            return Err(too_long("--min", min));
        }
        if quiet_for > self.budget {
            return Err(too_long("--quiet-for", quiet_for));
        }
        if self.ignore.len() > 1 && self.ignore.contains(&Ignored::Nobody) {
            return Err("--ignore nobody contradicts the other --ignore".to_owned());
        }
        let ignored = |ignored: &Ignored| match ignored {
            Ignored::Nobody => Vec::new(),
            Ignored::Loopback => Network::LOOPBACK.to_vec(),
            Ignored::Of(network) => vec![*network],
        };
        Ok(Config {
            quiet_for,
            min,
            budget: self.budget,
            answer_within: self.answer_within,
            interval: INTERVAL,
            ignore: self.ignore.iter().flat_map(ignored).collect(),
        })
    }
}

pub(crate) fn prestop(arguments: &PrestopArgs) -> i32 {
    let config = match arguments.config() {
        Ok(config) => config,
        Err(message) => {
            complain(&message);
            return code::USAGE;
        }
    };
    let mut ports = arguments.port.clone();
    ports.sort_unstable();
    ports.dedup();
    let json = arguments.json;
    let mut blind = false;
    let look_out = |outlook: &Outlook| {
        blind = outlook.sight == Sight::Nothing;
        if json {
            let (sight, why) = (outlook.sight, &outlook.why);
            mention(
                json!({ "event": "watching", "ports": ports, "sight": sight, "why": why, "unused": outlook.unused }),
            );
        } else {
            let list: Vec<String> = ports.iter().map(u16::to_string).collect();
            mention(format_args!("{:>7.2} s  watching port {}: {outlook}", 0.0, list.join(", ")));
        }
    };
    let tell = |observation: &Observation| {
        if json {
            mention(serde_json::to_string(observation).unwrap_or_default());
        } else {
            mention(format_args!("{:>7.2} s  {observation}", observation.at()));
        }
    };
    match prestop::wait(&ports, config, look_out, tell) {
        Ok(summary) => {
            report(&summary, json);
            match summary.verdict {
                Verdict::Gone => code::DONE,
                Verdict::BudgetSpent if blind => code::NOT_PERMITTED,
                Verdict::BudgetSpent => code::STILL_THERE,
            }
        }
        Err(nobody) => {
            complain(&nobody);
            code::NO_TARGET
        }
    }
}

fn report(summary: &Summary, json: bool) {
    if json {
        mention(json!({ "event": "returned", "summary": summary }));
        return;
    }
    mention(format_args!("{:>7.2} s  {summary}", summary.at));
    for (peer, size, period) in &summary.probes {
        mention(format_args!("           no traffic: {peer}, {size} bytes every {period:.1} s, as a probe does"));
    }
}
