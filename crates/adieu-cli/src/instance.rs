//! Which instance of `adieu run` is meant.

use std::convert::Infallible;

use adieu_core::outcome::code;
use adieu_supervisor::names;

use crate::out::complain;

/// The name in NAME or @NAME: no name begins with @, which tells a name from a pid where both may stand.
pub(crate) fn name(text: &str) -> Result<String, Infallible> {
    Ok(text.strip_prefix('@').unwrap_or(text).to_owned())
}

/// The one that is named or, where none is, the only one that runs.
pub(crate) fn or_the_only_one(named: Option<String>) -> Result<String, i32> {
    if let Some(name) = named {
        return Ok(name);
    }
    let mut all = names();
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            complain(&format!("several instances run, name one of them: {}, {last}", all.join(", ")));
            Err(code::USAGE)
        }
        (None, _) => {
            complain(&"no instance is running");
            Err(code::NO_TARGET)
        }
    }
}

/// Says which names there are, for a command that takes none by itself.
pub(crate) fn list() {
    match names().as_slice() {
        [] => complain(&"no instance is running"),
        all => complain(&format!("running instances: {}", all.join(", "))),
    }
}
