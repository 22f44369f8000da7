//! The supervisor: the only place that knows all parts. One thread, one poll loop.
//!
//! A turn of the loop waits ([`turn`]), hands what has come to a handler ([`dispatch`]), and lets every part go on with what
//! takes time. A handler asks the parts, in an order that one can read in it, and answers with [`steps`]: the machine is told
//! something, a note is made, another handler has its turn. The steps are worked off depth first: what an event brings about
//! is done before the step after it. So no handler calls another one back, and nothing is re-entrant.
//!
//! Three stories to read first: a reload ([`reload`]), an end ([`ends`]), a stop ([`stop`]).

mod dispatch;
mod ending;
mod ends;
mod housekeeping;
mod machine;
mod probing;
mod reload;
mod requests;
mod signals;
mod start;
mod state;
mod status;
mod steps;
mod stop;
mod turn;

pub(crate) use self::state::Supervisor;
