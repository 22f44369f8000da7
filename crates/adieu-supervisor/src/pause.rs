//! Stops this process right before or after a named action of the switch, so that a test can put a fault exactly there.
//!
//! Only built with the feature `pauses`, which the tests of `adieu-cli` ask for and nothing that is shipped has. The
//! variable `ADIEU_PAUSE` says where, as `before spawn 2`: the action's name in the timeline, and its generation. The first
//! time that it is reached, this process stops itself (SIGSTOP), as long as nobody continues it.

use std::sync::Mutex;

use adieu_core::signal::Signal;
use adieu_core::switch::Action;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::process;
use serde_json::Value;

/// Where to stop; taken out when it has been reached.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Reads the variable; before the first action.
pub(crate) fn prepare() {
    if let Ok(mut place) = PLACE.lock() {
        *place = std::env::var("ADIEU_PAUSE").ok();
    }
}

/// Stops here if this is the place.
pub(crate) fn at(moment: &str, action: Action) {
    let Ok(mut place) = PLACE.lock() else { return };
    if place.as_ref().is_some_and(|place| Some(place) == name(moment, action).as_ref()) {
        *place = None;
        drop(Pidfd::open(process::own_pid()).and_then(|own| own.send(Signal::STOP)));
    }
}

fn name(moment: &str, action: Action) -> Option<String> {
    let Ok(Value::Object(action)) = serde_json::to_value(action) else { return None };
    let (name, about) = action.into_iter().next()?;
    let generation = about.as_array().and_then(|all| all.first()).unwrap_or(&about).clone();
    Some(format!("{moment} {name} {generation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_as_the_timeline_names_actions() {
        assert_eq!(name("before", Action::Switch(2)).as_deref(), Some("before switch 2"));
        assert_eq!(name("after", Action::Spawn(3, Some(1))).as_deref(), Some("after spawn 3"));
        assert_eq!(name("before", Action::WatchQueues(1)).as_deref(), Some("before watch_queues 1"));
    }
}
