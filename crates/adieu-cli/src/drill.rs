//! `adieu drill` and `adieu demo`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct DrillArgs {}

#[derive(Debug, Args)]
pub(crate) struct DemoServerArgs {}

pub(crate) fn drill(_arguments: DrillArgs) -> i32 {
    2
}

pub(crate) fn demo() -> i32 {
    2
}

pub(crate) fn demo_server(_arguments: &DemoServerArgs) -> i32 {
    2
}
