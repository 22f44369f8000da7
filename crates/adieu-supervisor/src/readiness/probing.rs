//! The probe of a generation that starts: begun, gone on with, concluded.

use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::switch::{Event, Generation};

use super::Readiness;
use super::probe::{Need, Probe, ProbeStart, ask, prepare};
use crate::options::ReadyWhen;
use crate::process_table::ProcessTable;
use crate::processes::{Shell, kill_tree};
use crate::sockets::Sockets;
use crate::view::{Out, View};

const PROBE_EVERY: Duration = Duration::from_millis(50);
const PROBE_TIME: Duration = Duration::from_secs(2);

impl Readiness {
    /// Begins probing `generation`, where readiness is found out that way.
    pub(crate) fn begin_probing(&mut self, view: &View<'_>, sockets: &Sockets, generation: Generation) {
        let by_accept = view.options.ready == ReadyWhen::Auto && sockets.has_passed(generation);
        if by_accept || matches!(view.options.ready, ReadyWhen::Http(_) | ReadyWhen::Tcp(_) | ReadyWhen::Exec(_)) {
            self.probe = Some(Probe::new(generation, view.now));
        }
    }

    /// Goes on with the probe. Returns what it needs of others.
    pub(crate) fn advance(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        out: &mut Out,
    ) -> Need {
        let Some(mut probe) = self.probe.take() else { return Need::Nothing };
        if view.switch.starting() != Some(probe.generation) {
            // A command that went on would ask another one.
            probe.command().into_iter().for_each(kill_tree);
            return Need::Release;
        }
        if probe.is_pausing() && view.now >= probe.next {
            probe.next = view.now + PROBE_EVERY;
            let prepared = prepare(view, table, sockets, probe.generation);
            let probe = self.probe.insert(probe);
            return match prepared {
                Ok(Some(start)) => Need::Start(start),
                Ok(None) => Need::Nothing,
                Err(why) => {
                    probe.failure = Some(why);
                    Need::Nothing
                }
            };
        }
        let passed = probe.go_on(view.now, sockets);
        self.conclude(probe, passed, view.now, out)
    }

    /// The command `pid` has ended; `None` when it was not the probe's.
    pub(crate) fn command_ended(&mut self, pid: Pid, success: bool, now: Timestamp, out: &mut Out) -> Option<Need> {
        let probe = self.probe.take_if(|probe| probe.command() == Some(pid))?;
        let passed = if success { Ok(()) } else { Err("the command ended with an error".to_owned()) };
        Some(self.conclude(probe, Some(passed), now, out))
    }

    fn conclude(
        &mut self,
        mut probe: Probe,
        passed: Option<Result<(), String>>,
        now: Timestamp,
        out: &mut Out,
    ) -> Need {
        match passed {
            None => {
                if !probe.is_pausing() {
                    probe.next = now + PROBE_EVERY / 10;
                }
                self.probe = Some(probe);
                Need::Nothing
            }
            Some(Err(why)) => {
                probe.failed(why);
                probe.next = now + PROBE_EVERY;
                self.probe = Some(probe);
                Need::Release
            }
            Some(Ok(())) => {
                out.event(Event::Ready(probe.generation));
                Need::Release
            }
        }
    }

    /// Makes the probe that was asked for, now that its port is steered, or could not be.
    pub(crate) fn start_probe(
        &mut self,
        now: Timestamp,
        start: ProbeStart,
        steered: std::io::Result<()>,
        shell: &mut Shell<'_>,
    ) {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.generation == start.generation) else { return };
        match ask(now + PROBE_TIME, start, steered, shell) {
            Ok(state) => {
                probe.state = state;
                probe.next = now + PROBE_EVERY / 10;
            }
            Err(error) => probe.failure = Some(error.to_string()),
        }
    }
}
