//! What people are told while they wait, and at the end.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

/// Something worth a line. Times are seconds since the beginning.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Observation {
    /// The first look.
    Began {
        /// When.
        at: f64,
        /// Connections that are open, the ignored aside.
        connections: usize,
        /// Connections of the ignored.
        ignored: usize,
    },
    /// Somebody sends, after a calm.
    Traffic {
        /// When.
        at: f64,
        /// Who, if that is known.
        peer: Option<IpAddr>,
    },
    /// Nobody sends any more.
    Calm {
        /// When that is told.
        at: f64,
        /// When the last byte came.
        since: f64,
        /// Connections so far.
        connections: usize,
        /// Bytes received so far.
        received: u64,
        /// Connections that are owed an answer.
        owed: usize,
    },
    /// A peer behaves like a probe and is no traffic any more.
    Probe {
        /// When.
        at: f64,
        /// Who.
        peer: IpAddr,
        /// Bytes it sends each time.
        size: u64,
        /// Seconds from one to the next.
        period: f64,
    },
    /// A peer does not behave like a probe any more.
    NoProbe {
        /// When.
        at: f64,
        /// Who.
        peer: IpAddr,
        /// Bytes it sends each time.
        size: u64,
    },
}

/// Why the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The traffic has gone.
    Gone,
    /// The budget is spent, and the traffic has not gone.
    BudgetSpent,
}

/// The end of the wait. Times are seconds; the ignored count nowhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Why.
    pub verdict: Verdict,
    /// How long it took.
    pub at: f64,
    /// How long ago the last traffic was; none if there was never any.
    pub last_traffic: Option<f64>,
    /// Whose it was, if that is known.
    pub last_peer: Option<IpAddr>,
    /// Connections that are owed an answer.
    pub owed: usize,
    /// Connections that are owed one for too long.
    pub given_up: usize,
    /// Connections that are open.
    pub open: usize,
    /// Connections that were seen, probes included.
    pub connections: usize,
    /// Bytes received on them since each was first seen, and before on those that were open at the beginning.
    pub received: u64,
    /// Different peers.
    pub peers: usize,
    /// Who behaved like a probe: peer, bytes each time, seconds from one to the next.
    pub probes: Vec<(IpAddr, u64, f64)>,
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { connections, ignored, .. } => {
                write!(f, "{}, {ignored} ignored", counted(*connections, "connection"))
            }
            Self::Traffic { peer, .. } => write!(f, "traffic from {}", whom(*peer)),
            Self::Calm { since, connections, received, owed, .. } => {
                let so_far = counted(*connections, "connection");
                write!(f, "quiet since {since:.2} s; so far {so_far}, {received} bytes received")?;
                if *owed > 0 { write!(f, "; {} owed an answer", counted(*owed, "connection")) } else { Ok(()) }
            }
            Self::Probe { peer, size, period, .. } => {
                write!(f, "{peer} behaves like a probe ({size} bytes every {period:.1} s): ignored from now on")
            }
            Self::NoProbe { peer, size, .. } => {
                write!(f, "{peer} does not behave like a probe any more ({size} bytes off the beat): traffic")
            }
        }
    }
}

impl Observation {
    /// Seconds since the beginning.
    #[must_use]
    pub fn at(&self) -> f64 {
        match self {
            Self::Began { at, .. }
            | Self::Traffic { at, .. }
            | Self::Calm { at, .. }
            | Self::Probe { at, .. }
            | Self::NoProbe { at, .. } => *at,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.verdict, self.last_traffic) {
            (Verdict::Gone, Some(ago)) => write!(f, "the traffic has gone: quiet for {ago:.2} s, nothing owed")?,
            (Verdict::Gone, None) => write!(f, "the traffic has gone: there was none")?,
            (Verdict::BudgetSpent, _) => {
                write!(f, "the budget is spent")?;
                if let Some(ago) = self.last_traffic {
                    write!(f, ": last traffic {ago:.2} s ago from {}", whom(self.last_peer))?;
                }
                if self.owed > 0 {
                    write!(f, "; {} owed an answer", counted(self.owed, "connection"))?;
                }
            }
        }
        let (connections, peers) = (counted(self.connections, "connection"), counted(self.peers, "peer"));
        write!(f, " ({connections} from {peers}, {} bytes received", self.received)?;
        if self.given_up > 0 {
            write!(f, ", {} owed an answer for too long", self.given_up)?;
        }
        if self.open > 0 {
            write!(f, ", {} still open", self.open)?;
        }
        write!(f, ")")
    }
}

fn whom(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "somebody unseen".to_owned(), |peer| peer.to_string())
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
