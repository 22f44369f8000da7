//! The program that picks a member: classic BPF as plain data, for SO_ATTACH_REUSEPORT_CBPF (socket(7)).
//!
//! Invariant: whatever the packet, the program returns one of the route's indices or, for the probe's port only, the
//! probe's index. (The kernel's exception: a packet too short for a load returns 0; a TCP header is never cut off here.)

/// One instruction: the fields of `struct sock_filter` (`linux/filter.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

// Operations, composed as in linux/bpf_common.h. "A" is the accumulator.
pub(super) const LOAD_WORD: u16 = 0x20; // A = packet[k..k+4]      BPF_LD  | BPF_W   | BPF_ABS
pub(super) const LOAD_HALF: u16 = 0x28; // A = packet[k..k+2]      BPF_LD  | BPF_H   | BPF_ABS
pub(super) const LOAD_BYTE: u16 = 0x30; // A = packet[k]           BPF_LD  | BPF_B   | BPF_ABS
pub(super) const ADD: u16 = 0x04; //       A += k, wrapping         BPF_ALU | BPF_ADD | BPF_K
pub(super) const SHIFT_RIGHT: u16 = 0x74; // A >>= k                BPF_ALU | BPF_RSH | BPF_K
pub(super) const MODULO: u16 = 0x94; //    A %= k                   BPF_ALU | BPF_MOD | BPF_K
pub(super) const JUMP_EQUAL: u16 = 0x15; // skip A == k ? jt : jf   BPF_JMP | BPF_JEQ | BPF_K
pub(super) const JUMP_AT_LEAST: u16 = 0x35; // skip A >= k ? jt : jf BPF_JMP | BPF_JGE | BPF_K
pub(super) const RETURN: u16 = 0x06; //    return k                 BPF_RET | BPF_K
pub(super) const RETURN_A: u16 = 0x16; //  return A                 BPF_RET | BPF_A

/// Packet offsets from here on count from the network header (SKF_NET_OFF = -0x100000).
pub(super) const NETWORK_HEADER: u32 = 0x100000u32.wrapping_neg();
/// A random number instead of packet bytes (SKF_AD_OFF + SKF_AD_RANDOM = -0x1000 + 56).
pub(super) const RANDOM: u32 = 0x1000u32.wrapping_neg() + 56;

/// Where the source port is in a TCP packet over IPv4 without options, and over IPv6 without extension headers.
const SOURCE_PORT_4: u32 = NETWORK_HEADER + 20;
const SOURCE_PORT_6: u32 = NETWORK_HEADER + 40;

/// A stretch of neighbouring indices takes three instructions. The kernel refuses programs that exceed
/// `net.core.optmem_max`, 20 KiB before Linux 6.8, when translated; this many stretches take less than half of that.
const MOST_STRETCHES: usize = 256;

/// Where new connections go: to these indices, each with the same share. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    indices: Vec<u32>,
}

impl Route {
    /// A route to `indices`, in any order; `None` for none.
    #[must_use]
    pub fn to(mut indices: Vec<u32>) -> Option<Self> {
        indices.sort_unstable();
        indices.dedup();
        (!indices.is_empty()).then_some(Self { indices })
    }

    /// The indices, ascending.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The program to attach. With `probe`, connections from that source port go to that index instead: so a readiness
    /// probe reaches a generation that is not the target. Connections with IPv4 options or IPv6 extension headers are not
    /// recognized as the probe's; no system sends them unasked.
    ///
    /// Indices in more than 256 separate stretches: those beyond get no new connections.
    #[must_use]
    pub fn program(&self, probe: Option<(u16, u32)>) -> Vec<Instruction> {
        let mut program = Vec::new();
        if let Some((port, index)) = probe {
            program.extend(probe_to(port, index));
        }
        self.pick(&mut program);
        program
    }

    /// A random rank below the number of indices; each stretch turns its ranks into indices by adding a constant.
    fn pick(&self, program: &mut Vec<Instruction>) {
        let stretches = self.stretches();
        let count: u32 = stretches.iter().map(|stretch| stretch.count).sum();
        if let ([only], 1) = (stretches.as_slice(), count) {
            program.push(plain(RETURN, only.first));
            return;
        }
        program.extend([plain(LOAD_WORD, RANDOM), plain(MODULO, count)]);
        let mut rank = 0;
        for stretch in stretches {
            let end = rank + stretch.count;
            if end < count {
                program.push(Instruction { code: JUMP_AT_LEAST, jt: 2, jf: 0, k: end });
            }
            program.extend([plain(ADD, stretch.first.wrapping_sub(rank)), plain(RETURN_A, 0)]);
            rank = end;
        }
    }

    fn stretches(&self) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for index in &self.indices {
            match stretches.last_mut() {
                Some(last) if last.first.checked_add(last.count) == Some(*index) => last.count += 1,
                _ => stretches.push(Stretch { first: *index, count: 1 }),
            }
        }
        stretches.truncate(MOST_STRETCHES);
        stretches
    }
}

struct Stretch {
    first: u32,
    count: u32,
}

const fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

/// Returns `index` for packets from `port`, falls through for all others. A listener on `[::]` sees both IP versions.
fn probe_to(port: u16, index: u32) -> [Instruction; 8] {
    let port = u32::from(port);
    [
        plain(LOAD_BYTE, NETWORK_HEADER),
        plain(SHIFT_RIGHT, 4),
        Instruction { code: JUMP_EQUAL, jt: 2, jf: 0, k: 6 },
        plain(LOAD_HALF, SOURCE_PORT_4),
        Instruction { code: JUMP_EQUAL, jt: 2, jf: 3, k: port },
        plain(LOAD_HALF, SOURCE_PORT_6),
        Instruction { code: JUMP_EQUAL, jt: 0, jf: 1, k: port },
        plain(RETURN, index),
    ]
}
