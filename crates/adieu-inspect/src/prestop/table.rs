//! The server's connections as `/proc/net/tcp` has them: who is connected and what waits to be read or sent, but not what was
//! received. Beside it what TCP has counted in this namespace, all ports together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use adieu_core::Timestamp;
use adieu_core::owed::{Sample, State};
use adieu_core::prestop::{Connection, Look};
use adieu_linux::clock;
use adieu_linux::diag::state;
use adieu_linux::netns::{Counters, Row, tcp_counters, tcp_table};

pub(super) struct Table {
    ports: Vec<u16>,
    /// Connections to any listener, by their addresses: a number that names each, and since when it is known.
    known: BTreeMap<(SocketAddr, SocketAddr), (u64, Timestamp)>,
    named: u64,
    counted: Option<Counters>,
}

impl Table {
    /// Begins to watch. Beside it the ports that nobody listens on or is connected to.
    pub(super) fn open(ports: &[u16]) -> io::Result<(Self, Vec<u16>)> {
        let rows = tcp_table()?;
        let used: BTreeSet<u16> = rows.iter().filter(|row| is_of_server(row)).map(|row| row.local.port()).collect();
        let unused = ports.iter().copied().filter(|port| !used.contains(port)).collect();
        Ok((Self { ports: ports.to_vec(), known: BTreeMap::new(), named: 0, counted: None }, unused))
    }

    pub(super) fn look(&mut self) -> io::Result<Look> {
        let now = clock::now();
        // Before the table: what moves between the two counts next time.
        let counted = tcp_counters().ok();
        let rows = tcp_table()?;
        let listening = rows.iter().filter(|row| row.state == state::LISTEN).map(|row| row.local.port());
        let listening: BTreeSet<u16> = listening.chain(self.ports.iter().copied()).collect();
        let connected = rows.iter().filter(|row| is_connection(row) && listening.contains(&row.local.port()));
        let before = std::mem::take(&mut self.known);
        let (mut open, mut new) = (Vec::new(), 0);
        for row in connected {
            let addresses = (row.local, row.remote);
            let (name, since) = match before.get(&addresses) {
                Some(known) => *known,
                None => {
                    (new, self.named) = (new + 1, self.named + 1);
                    (self.named, now)
                }
            };
            self.known.insert(addresses, (name, since));
            if self.ports.contains(&row.local.port()) {
                open.push(connection(row, name, now.since(since).as_millis()));
            }
        }
        let moved = counted.zip(self.counted);
        let opened = moved.map(|(now, before)| now.passive_opens.saturating_sub(before.passive_opens));
        let unseen = opened.is_none_or(|opened| opened > new) && self.counted.is_some();
        let received = moved.is_none_or(|(now, before)| now.segments_in != before.segments_in);
        self.counted = counted.or(self.counted);
        Ok(Look { open, complete: true, closed: Vec::new(), unseen, received })
    }
}

fn is_connection(row: &Row) -> bool {
    State::from_kernel(row.state) != State::NoConnection
}

fn is_of_server(row: &Row) -> bool {
    row.state == state::LISTEN || is_connection(row)
}

fn connection(row: &Row, name: u64, age: u128) -> Connection {
    let age = u32::try_from(age).unwrap_or(u32::MAX);
    let sample = Sample {
        cookie: name,
        state: State::from_kernel(row.state),
        unread: row.receive_queue,
        unsent_or_unacked: row.send_queue,
        last_data_sent_ms: age,
        last_data_recv_ms: age,
        bytes_received: 0,
        bytes_acked: 0,
        bytes_sent: 0,
        segs_in: 0,
        segs_out: 0,
        has_owner: row.inode != 0,
        worked_on: false,
    };
    Connection { peer: row.remote.ip().to_canonical(), sample, counted: false }
}
