//! This process's network namespace as `/proc/net` shows it (proc_pid_net(5)): what is left where netlink is refused.
//!
//! The parsers take bytes and read or skip whatever they are given.

mod counters;
mod table;

use std::io;

pub use self::counters::Counters;
pub use self::table::Row;
use crate::whole::read_whole;

/// The TCP sockets of both families, those in TIME_WAIT included.
///
/// # Errors
/// ENOENT without /proc. A kernel without IPv6 is none.
pub fn tcp_table() -> io::Result<Vec<Row>> {
    let mut rows = table::parse(&read_whole("/proc/net/tcp")?);
    match read_whole("/proc/net/tcp6") {
        Ok(bytes) => rows.extend(table::parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(rows)
}

/// What TCP has counted so far, both families together.
///
/// # Errors
/// ENOENT without /proc; InvalidData where TCP is not counted.
pub fn tcp_counters() -> io::Result<Counters> {
    counters::parse(&read_whole("/proc/net/snmp")?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// For the fuzz targets and their seeds.
pub mod parse {
    pub use super::counters::parse as counters;
    pub use super::table::parse as table;
}
