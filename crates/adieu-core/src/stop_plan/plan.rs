use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::graph::{self, After};
use super::{ComponentId, JOIN, Phase, Policy};

/// A component as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Component {
    /// Its name; unique, not empty.
    pub name: String,
    /// The names of those it needs: it starts after them and stops before them.
    pub after: Vec<String>,
    /// The longest time its start may take.
    pub start_limit: Option<Duration>,
    /// Its hooks, at most one in each phase.
    pub hooks: Vec<Hook>,
    /// The phase in which it ends: no hook of it in a later one, and none of those it needs ends earlier.
    pub ends_in: Phase,
    /// Whether it starts before and stops after every component that is not last (the admin endpoint).
    pub last: bool,
}

impl Component {
    /// A component without hooks.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let (after, hooks) = (Vec::new(), Vec::new());
        Self { name: name.into(), after, start_limit: None, hooks, ends_in: Phase::Close, last: false }
    }
}

/// A hook of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hook {
    /// When it runs.
    pub phase: Phase,
    /// The longest time it may take.
    pub limit: Option<Duration>,
}

/// Why components make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A component without a name.
    #[error("a component has an empty name")]
    Unnamed,
    /// Two components of one name.
    #[error("two components are named \"{name}\"")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An edge to nobody.
    #[error("\"{component}\" comes after \"{after}\", which is no component")]
    Unknown {
        /// Whose edge.
        component: String,
        /// The name that is none.
        after: String,
    },
    /// Components that wait for each other.
    #[error("components come after each other in a circle: {}", circle(.path))]
    Cycle {
        /// Their names, each before the one that it comes after.
        path: Vec<String>,
    },
    /// An edge against the order of the phases.
    #[error("\"{component}\" comes after \"{after}\", which ends before it: {because}")]
    Contradiction {
        /// Whose edge.
        component: String,
        /// The one that ends too early.
        after: String,
        /// What is against it.
        because: String,
    },
    /// A second hook in a phase.
    #[error("\"{component}\" has two {phase} hooks")]
    DuplicateHook {
        /// Whose hooks.
        component: String,
        /// In which phase.
        phase: Phase,
    },
    /// A hook in a phase in which it does not live any more, or in force.
    #[error("\"{component}\" has a {phase} hook and ends in {ends_in}")]
    HookAfterEnd {
        /// Whose hook.
        component: String,
        /// Its phase.
        phase: Phase,
        /// Where the component ends.
        ends_in: Phase,
    },
}

fn circle(path: &[String]) -> String {
    let first = path.first().into_iter();
    path.iter().chain(first).map(String::as_str).collect::<Vec<_>>().join(" → ")
}

/// Components whose order is known to be possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    components: Vec<Component>,
    policy: Policy,
    after: After,
    dependents: After,
    order: Vec<usize>,
}

/// Cheap rather than thorough: a machine's states are told apart by everything else.
impl std::hash::Hash for Plan {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.order.hash(hasher);
    }
}

impl Plan {
    /// Checks the components against each other.
    ///
    /// # Errors
    /// The first of the [`PlanError`]s, in the order of the components.
    pub fn new(components: Vec<Component>, policy: Policy) -> Result<Self, PlanError> {
        for (index, component) in components.iter().enumerate() {
            check_alone(component)?;
            if components.iter().take(index).any(|other| other.name == component.name) {
                return Err(PlanError::Duplicate { name: component.name.clone() });
            }
        }
        let mut after =
            components.iter().map(|component| edges(component, &components)).collect::<Result<After, _>>()?;
        graph::order(&after).map_err(|path| named(&path, &components))?;
        for (component, edges) in components.iter().zip(&after) {
            edges
                .iter()
                .filter_map(|edge| components.get(*edge))
                .try_for_each(|needed| check_edge(component, needed))?;
        }
        let last: Vec<usize> =
            (0..).zip(&components).filter(|(_, component)| component.last).map(|(at, _)| at).collect();
        for (_, edges) in components.iter().zip(&mut after).filter(|(component, _)| !component.last) {
            edges.extend(last.iter().copied());
            edges.sort_unstable();
            edges.dedup();
        }
        // No new circle: nothing that is last comes after anything that is not.
        let order = graph::order(&after).map_err(|path| named(&path, &components))?;
        let dependents = graph::reversed(&after);
        Ok(Self { components, policy, after, dependents, order })
    }

    /// All components, in the order of registration.
    pub fn components(&self) -> impl ExactSizeIterator<Item = (ComponentId, &Component)> {
        self.components.iter().enumerate().map(|(index, component)| (ComponentId(index), component))
    }

    /// The name of a component.
    #[must_use]
    pub fn name(&self, id: ComponentId) -> &str {
        self.components.get(id.0).map_or("", |component| &component.name)
    }

    /// The limits.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Who `id` comes after.
    pub(super) fn after(&self, id: usize) -> impl Iterator<Item = usize> {
        self.after.get(id).into_iter().flatten().copied()
    }

    /// Who comes after `id`.
    pub(super) fn dependents(&self, id: usize) -> impl Iterator<Item = usize> {
        self.dependents.get(id).into_iter().flatten().copied()
    }

    /// The order of starting, one after the other.
    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// The hook of a component in a phase.
    pub(super) fn hook(&self, id: usize, phase: Phase) -> Option<&Hook> {
        self.components.get(id)?.hooks.iter().find(|hook| hook.phase == phase)
    }

    /// The components in levels: each level starts when the one before it has started. In truth a component waits only for
    /// those it comes after.
    #[must_use]
    pub fn levels(&self) -> Vec<Vec<ComponentId>> {
        let mut level = vec![0usize; self.components.len()];
        let mut levels: Vec<Vec<ComponentId>> = Vec::new();
        for id in self.order.iter().copied() {
            let own = self.after(id).filter_map(|dep| level.get(dep)).max().map_or(0, |highest| highest + 1);
            level.get_mut(id).into_iter().for_each(|level| *level = own);
            levels.resize_with(levels.len().max(own + 1), Vec::new);
            levels.get_mut(own).into_iter().for_each(|level| level.push(ComponentId(id)));
        }
        levels
    }

    /// The longest that a stop can take, cancelled hooks included.
    #[must_use]
    pub fn worst_case(&self) -> WorstCase {
        let phases = Phase::WORK.map(|phase| (phase, self.worst_of(phase)));
        let sum = phases.iter().try_fold(Duration::ZERO, |sum, (_, worst)| Some(sum.saturating_add((*worst)?)));
        WorstCase { phases, limits: sum, total: sum.unwrap_or(Duration::MAX).min(self.policy.grace) }
    }

    fn worst_of(&self, phase: Phase) -> Option<Duration> {
        let mut chains = vec![Some(Duration::ZERO); self.components.len()];
        for id in self.order.iter().rev().copied() {
            let before = self.dependents(id).filter_map(|of| chains.get(of).copied());
            let before = before.reduce(|a, b| Some(a?.max(b?))).unwrap_or(Some(Duration::ZERO));
            let own = self.hook(id, phase).map_or(Some(Duration::ZERO), |hook| Some(hook.limit?.saturating_add(JOIN)));
            let chain = before.zip(own).map(|(before, own)| before.saturating_add(own));
            chains.get_mut(id).into_iter().for_each(|of| *of = chain);
        }
        let longest = chains.into_iter().reduce(|a, b| Some(a?.max(b?))).unwrap_or(Some(Duration::ZERO));
        match (longest, self.policy.limit(phase)) {
            (Some(longest), Some(limit)) => Some(longest.min(limit)),
            (one, other) => one.or(other),
        }
    }
}

/// The longest that a stop can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstCase {
    /// The longest of each phase by the limits; `None`: only the deadline ends it.
    pub phases: [(Phase, Option<Duration>); 5],
    /// The sum of all; `None` if one has no limit.
    pub limits: Option<Duration>,
    /// The sum, or the grace period if that is shorter: the deadline cuts what does not fit.
    pub total: Duration,
}

fn check_alone(component: &Component) -> Result<(), PlanError> {
    if component.name.is_empty() {
        return Err(PlanError::Unnamed);
    }
    for (index, hook) in component.hooks.iter().enumerate() {
        let (name, phase) = (component.name.clone(), hook.phase);
        if phase > component.ends_in || phase == Phase::Force {
            return Err(PlanError::HookAfterEnd { component: name, phase, ends_in: component.ends_in });
        }
        if component.hooks.iter().take(index).any(|other| other.phase == phase) {
            return Err(PlanError::DuplicateHook { component: name, phase });
        }
    }
    Ok(())
}

fn edges(component: &Component, components: &[Component]) -> Result<Vec<usize>, PlanError> {
    let find = |name: &String| {
        let found = components.iter().position(|other| other.name == *name);
        found.ok_or_else(|| PlanError::Unknown { component: component.name.clone(), after: name.clone() })
    };
    component.after.iter().map(find).collect()
}

fn check_edge(component: &Component, needed: &Component) -> Result<(), PlanError> {
    let because = if component.ends_in > needed.ends_in {
        format!("{} is before {}", needed.ends_in, component.ends_in)
    } else if component.last && !needed.last {
        format!("\"{}\" is last", component.name)
    } else {
        return Ok(());
    };
    Err(PlanError::Contradiction { component: component.name.clone(), after: needed.name.clone(), because })
}

fn named(path: &[usize], components: &[Component]) -> PlanError {
    PlanError::Cycle { path: path.iter().filter_map(|id| components.get(*id)).map(|of| of.name.clone()).collect() }
}
