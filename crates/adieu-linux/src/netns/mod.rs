//! This process's network namespace as `/proc/net` shows it (proc_pid_net(5)): what is left where netlink is refused.
//!
//! The parsers take bytes and read or skip whatever they are given.

mod counters;
mod table;

use std::io;

pub use self::counters::Counters;
pub use self::table::Row;
use crate::process::read_whole;

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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// True when something was understood.
    type Parser = fn(&[u8]) -> bool;

    /// The seeds of the fuzz targets, cut off at every length and with every byte changed.
    #[test]
    fn seeds_are_read_or_refused() {
        let parsers: [(&str, Parser); 2] = [
            ("net_tcp", |bytes| !super::parse::table(bytes).is_empty()),
            ("net_snmp", |bytes| super::parse::counters(bytes).is_some()),
        ];
        for (name, parse) in parsers {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
            let mut understood = 0;
            for seed in fs::read_dir(folder).expect("there are seeds").flatten() {
                let whole = fs::read(seed.path()).expect("a seed can be read");
                understood += usize::from(parse(&whole));
                for at in 0..whole.len() {
                    parse(&whole[..at]);
                    parse(&whole[at..]);
                    for other in [0, b'\n', b' ', b':', b'F', b'9', 0xff] {
                        let mut changed = whole.clone();
                        changed[at] = other;
                        parse(&changed);
                    }
                }
            }
            assert!(understood > 0, "no seed of {name} is understood");
        }
    }
}
