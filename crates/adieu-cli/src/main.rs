//! The `adieu` command.

fn main() {}
