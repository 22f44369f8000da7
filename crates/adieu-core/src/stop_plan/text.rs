use std::fmt;
use std::time::Duration;

use super::{ComponentId, Phase, Plan};
use crate::duration;

impl Plan {
    fn names(&self, ids: impl IntoIterator<Item = ComponentId>) -> String {
        ids.into_iter().map(|id| self.name(id)).collect::<Vec<_>>().join(", ")
    }

    /// The components of `levels` that have a hook in `phase`, numbered.
    fn steps(&self, levels: &[Vec<ComponentId>], phase: Phase) -> Vec<String> {
        let with_hook = |level: &Vec<ComponentId>| {
            let ids = level.iter().copied().filter(|id| self.hook(id.0, phase).is_some());
            self.names(ids)
        };
        numbered(levels.iter().rev().map(with_hook).filter(|names| !names.is_empty()))
    }
}

fn numbered(names: impl Iterator<Item = String>) -> Vec<String> {
    (1..).zip(names).map(|(number, names)| format!("{number} {names}")).collect()
}

fn limit(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| format!("at most {}", duration::format(limit)))
}

/// The plan for people: who starts when, which phase asks whom in which order, and how long it can take.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = self.levels();
        let starts = numbered(levels.iter().map(|level| self.names(level.iter().copied())));
        writeln!(f, "start     {}", starts.join("  "))?;
        let worst = self.worst_case();
        for (phase, longest) in worst.phases {
            let steps = self.steps(&levels, phase);
            if steps.is_empty() {
                writeln!(f, "{phase:<9} –")?;
            } else {
                writeln!(f, "{phase:<9} {}  ({})", steps.join("  "), limit(longest))?;
            }
        }
        let grace = self.policy().grace;
        write!(f, "deadline  {}", duration::format(grace))?;
        match worst.limits {
            Some(sum) if sum <= grace => write!(f, "; worst case {}", duration::format(sum)),
            Some(sum) => write!(f, "; the limits add up to {}, the deadline cuts them", duration::format(sum)),
            None => write!(f, "; nothing else ends a step without a limit"),
        }
    }
}
