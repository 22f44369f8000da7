//! What the kernel shows of one connection at one moment: the input of the ledger.

/// What a TCP state means for what is owed (`include/net/tcp_states.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// SYN_RECV: the client's SYN was answered, its ACK is awaited.
    Handshake,
    /// ESTABLISHED, or CLOSE_WAIT: the client has finished sending and may await an answer.
    Open,
    /// FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK: the program has finished sending; the kernel delivers what is left even if
    /// the program ends.
    ClosedByProgram,
    /// TIME_WAIT, CLOSE, and what is no connection of a listener: LISTEN, SYN_SENT. Unknown numbers too.
    NoConnection,
}

impl State {
    /// From the number that sock_diag(7) and `tcpi_state` give.
    #[must_use]
    pub const fn from_kernel(number: u8) -> Self {
        match number {
            1 | 8 => Self::Open,
            // TCP_NEW_SYN_RECV, which the kernel itself shows as SYN_RECV.
            3 | 12 => Self::Handshake,
            4 | 5 | 9 | 11 => Self::ClosedByProgram,
            _ => Self::NoConnection,
        }
    }
}

/// One connection at one moment (sock_diag(7) and `struct tcp_info` in `linux/tcp.h`). Counters that the kernel does not
/// give, as for handshakes, are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Names the connection for as long as the machine is up, from its handshake on.
    pub cookie: u64,
    /// Its state.
    pub state: State,
    /// Bytes received that the program has not read, a FIN included.
    pub unread: u32,
    /// Bytes that the program has sent and the client has not acknowledged, a FIN included.
    pub unsent_or_unacked: u32,
    /// Milliseconds since data was last sent.
    pub last_data_sent_ms: u32,
    /// Milliseconds since data was last received; since the handshake if none was.
    pub last_data_recv_ms: u32,
    /// Bytes received in all, a FIN included.
    pub bytes_received: u64,
    /// Bytes sent and acknowledged in all.
    pub bytes_acked: u64,
    /// Bytes sent in all, retransmissions included.
    pub bytes_sent: u64,
    /// Segments received; wraps.
    pub segs_in: u32,
    /// Segments sent; wraps.
    pub segs_out: u32,
    /// Whether a process has accepted it (its inode is not 0).
    pub has_owner: bool,
    /// Its program is at work on it, as far as is known from elsewhere than the connection: it is read without O_NONBLOCK,
    /// and no thread waits to read from it.
    pub worked_on: bool,
}

impl Sample {
    /// Whether nothing has moved between the two.
    pub(super) fn has_same_counters(&self, other: &Self) -> bool {
        let counters = |s: &Self| {
            (
                [s.bytes_received, s.bytes_acked, s.bytes_sent],
                [s.unread, s.unsent_or_unacked, s.segs_in, s.segs_out],
                s.has_owner,
            )
        };
        self.state == other.state && counters(self) == counters(other)
    }
}
