//! `/proc/net/snmp` (`snmp_seq_show` in `net/ipv4/proc.c`): a line of names and one of numbers for each protocol.

/// What TCP counts, of both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections that were accepted by the kernel for a listener, so far.
    pub passive_opens: u64,
    /// Segments that came in, so far.
    pub segments_in: u64,
}

/// Reads the lines of TCP.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Counters> {
    let lines = || bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut of_tcp = lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, numbers) = (of_tcp.next()?, of_tcp.next()?);
    let number = |wanted: &str| {
        let at = names.split_ascii_whitespace().position(|name| name == wanted)?;
        numbers.split_ascii_whitespace().nth(at)?.parse().ok()
    };
    Some(Counters { passive_opens: number("PassiveOpens")?, segments_in: number("InSegs")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let before = crate::netns::tcp_counters().expect("/proc is mounted");
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        drop((client, listener.accept().expect("accept")));
        let after = crate::netns::tcp_counters().expect("/proc is mounted");
        assert!(after.passive_opens > before.passive_opens && after.segments_in > before.segments_in);
    }

    #[test]
    fn names_say_which_number_is_which() {
        let text = "Ip: A\nIp: 1\nTcp: InSegs New PassiveOpens\nTcp: 7 8 9\nUdp: InSegs\nUdp: 3\n";
        assert_eq!(parse(text.as_bytes()), Some(Counters { passive_opens: 9, segments_in: 7 }));
        for text in
            ["", "Tcp: PassiveOpens InSegs\n", "Tcp: PassiveOpens\nTcp: 1\n", "Tcp: PassiveOpens InSegs\nTcp: 1 -2\n"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
