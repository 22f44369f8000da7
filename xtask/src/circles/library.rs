//! What is known of the standard library: what its containers' methods return and hand to closures, and which method names
//! are so common that they say nothing.

use super::lower::Ty;

/// What `method` of `receiver` returns; `closure` is what the closure among its arguments does.
pub(super) fn returned(receiver: &Ty, method: &str, closure: Ty) -> Ty {
    let Ty::Other(name, arguments) = receiver else {
        return match method {
            "clone" | "to_owned" | "as_ref" | "as_mut" | "borrow" | "borrow_mut" => receiver.clone(),
            _ => Ty::Unknown,
        };
    };
    let wrapped = |name: &str, inside: Ty| Ty::other(name, inside);
    match method {
        "unwrap" | "expect" | "unwrap_or" | "unwrap_or_else" | "unwrap_or_default" | "unwrap_or_log" | "or_default"
        | "or_insert" | "or_insert_with" | "get_or_insert" | "get_or_insert_with" | "get_or_init" | "swap_remove"
        | "into_inner" | "insert_entry" => receiver.inside(),
        "remove" if name == "Vec" => receiver.inside(),
        "borrow" | "borrow_mut" if name == "RefCell" => receiver.inside(),
        "lock" | "read" | "write" | "try_lock" => wrapped("Result", receiver.inside()),
        "get" | "get_mut" | "first" | "last" | "first_mut" | "last_mut" | "front" | "back" | "front_mut"
        | "back_mut" | "pop" | "pop_front" | "pop_back" | "remove" | "ok" | "upgrade" | "recv" | "try_recv" => {
            wrapped("Option", receiver.inside())
        }
        "next" | "next_back" | "find" | "max_by_key" | "min_by_key" | "max" | "min" | "max_by" | "min_by" | "nth"
        | "reduce" | "peek" => wrapped("Option", receiver.each()),
        "pop_first" | "first_key_value" | "last_key_value" | "get_key_value" => wrapped("Option", receiver.each()),
        "entry" => wrapped("Entry", receiver.inside()),
        "iter" | "iter_mut" | "into_iter" | "drain" | "extract_if" | "range" | "range_mut" => {
            wrapped("Iter", receiver.each())
        }
        "values" | "values_mut" | "into_values" => wrapped("Iter", receiver.inside()),
        "keys" | "into_keys" => wrapped("Iter", arguments.first().cloned().unwrap_or(Ty::Unknown)),
        "enumerate" => wrapped("Iter", Ty::Tuple(vec![Ty::Unknown, receiver.inside()])),
        "zip" => wrapped("Iter", Ty::Tuple(vec![receiver.inside(), Ty::Unknown])),
        "windows" | "chunks" | "split" => wrapped("Iter", receiver.clone()),
        "collect" => wrapped("Vec", receiver.inside()),
        "partition" => Ty::Tuple(vec![wrapped("Vec", receiver.inside()), wrapped("Vec", receiver.inside())]),
        "flatten" if name == "Iter" => wrapped("Iter", receiver.inside().each()),
        "flatten" => receiver.inside(),
        "map" => wrapped(name, closure),
        "and_then" | "then" | "is_some_and" | "map_or" | "map_or_else" | "fold" => closure,
        "filter_map" | "flat_map" => wrapped("Iter", closure.each()),
        "find_map" => closure,
        _ => receiver.clone(),
    }
}

/// What `method` of `receiver` hands to a closure.
pub(super) fn given(receiver: &Ty, method: &str) -> Vec<Ty> {
    match (receiver, method) {
        // The error, of which nothing is known.
        (_, "unwrap_or_else" | "map_err" | "or_else" | "or_insert_with" | "get_or_insert_with" | "sort_by") => {
            Vec::new()
        }
        (Ty::Other(name, arguments), "retain") if name.ends_with("Map") => arguments.clone(),
        (Ty::Other(..), "fold") => vec![Ty::Unknown, receiver.each()],
        (Ty::Other(..), "reduce" | "max_by" | "min_by") => vec![receiver.each(), receiver.each()],
        (Ty::Other(..), "and_modify") => vec![receiver.inside()],
        (Ty::Other(..), _) => vec![receiver.each()],
        _ => Vec::new(),
    }
}

/// Method names that many types of the standard library have: of a receiver of unknown type they say nothing.
#[rustfmt::skip]
pub(super) const COMMON: &[&str] = &[
    "accept", "add", "all", "and", "and_then", "any", "as_bytes", "as_fd", "as_mut", "as_raw_fd", "as_ref",
    "as_slice", "as_str", "bind", "borrow", "borrow_mut", "call", "chain", "chars", "clear", "clone", "cloned",
    "close", "cmp", "code", "collect", "connect", "contains", "contains_key", "copied", "count", "drain", "elapsed",
    "end", "entry", "enumerate", "eq", "err", "expect", "extend", "file_name", "fill", "filled", "filter",
    "filter_map", "find", "first", "flat_map", "flush", "fmt", "fold", "get", "get_mut", "hash", "id", "index",
    "insert", "into", "into_inner", "into_iter", "ip", "is_alive", "is_empty", "is_err", "is_none", "is_ok",
    "is_some", "iter", "iter_mut", "join", "keys", "kill", "kind", "last", "len", "lines", "listen", "local_addr",
    "lock", "map", "map_err", "max", "min", "name", "new", "next", "now", "ok", "open", "or_default", "parent",
    "parse", "path", "peek", "poll", "poll_flush", "poll_read", "poll_ready", "poll_shutdown", "poll_write", "pop",
    "port", "position", "push", "push_back", "push_front", "push_str", "read", "recv", "remaining", "remove",
    "replace", "reserve", "reset", "retain", "rev", "run", "send", "set", "set_len", "shutdown", "size", "skip",
    "sort", "spawn", "split", "start", "state", "status", "stop", "swap", "take", "then", "to_owned", "to_string",
    "trim", "truncate", "try_from", "try_into", "unwrap", "update", "values", "wait", "write", "zip",
];
