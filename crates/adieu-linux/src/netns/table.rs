//! `/proc/net/tcp` and `/proc/net/tcp6` (`get_tcp4_sock` in `net/ipv4/tcp_ipv4.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One socket of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// TCP state, see [`crate::diag::state`]; 6 is TIME_WAIT.
    pub state: u8,
    /// Unsent or unacknowledged bytes.
    pub send_queue: u32,
    /// Unread bytes; for a listener the length of its accept queue.
    pub receive_queue: u32,
    /// Inode; 0 while no process has accepted it, or when none has it any more.
    pub inode: u64,
}

/// The rows of a table; what is no row (the heading, a line cut off) is passed over.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Row> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| row(std::str::from_utf8(line).ok()?)).collect()
}

fn row(line: &str) -> Option<Row> {
    // sl local remote st tx:rx tr:when retrnsmt uid timeout inode
    let mut fields = line.split_ascii_whitespace();
    fields.next()?.strip_suffix(':')?;
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (sent, received) = fields.next()?.split_once(':')?;
    let inode = fields.nth(4)?.parse().ok()?;
    let queue = |text| u32::from_str_radix(text, 16).ok();
    Some(Row { local, remote, state, send_queue: queue(sent)?, receive_queue: queue(received)?, inode })
}

/// `0100007F:1F90`: words of the address in the machine's order, the port in ours.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, place) in bytes.chunks_mut(4).enumerate() {
                place.copy_from_slice(&word(8 * at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::state;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn our_connections_are_in_the_table() {
        for (listener, reach, shown) in [
            ("127.0.0.1:0", "127.0.0.1", "127.0.0.1"),
            ("[::1]:0", "::1", "::1"),
            ("[::]:0", "127.0.0.1", "::ffff:127.0.0.1"),
        ] {
            let listener = TcpListener::bind(listener).expect("bind");
            let address = listener.local_addr().expect("address");
            let mut client = TcpStream::connect((reach, address.port())).expect("connect");
            let (_server, _) = listener.accept().expect("accept");
            client.write_all(b"hello").expect("write");
            let rows = crate::netns::tcp_table().expect("/proc is mounted");
            let of_listener = rows.iter().find(|row| row.local == address && row.state == state::LISTEN);
            assert!(of_listener.is_some(), "{address}: {rows:?}");
            let peer = client.local_addr().expect("address").port();
            let accepted = rows.iter().find(|row| row.local.port() == address.port() && row.remote.port() == peer);
            let accepted = accepted.expect("it is listed");
            assert_eq!(accepted.remote.ip(), shown.parse::<IpAddr>().expect("an address"));
            assert_eq!((accepted.state, accepted.receive_queue), (state::ESTABLISHED, 5));
            assert_ne!(accepted.inode, 0);
        }
    }

    #[test]
    fn what_is_no_row_is_passed_over() {
        for text in [
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0",
            "   0: 0100007F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1",
            "   0: 0100007F:1F90 00000000:0000 0A 00000000 00:00000000 00000000     0        0 1",
            "   0: 010000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1",
            "   0: 0100007Fé:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1",
            "   0: ééééé0:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1",
        ] {
            assert_eq!(parse(text.as_bytes()), [], "{text}");
        }
    }
}
