//! The plans are carried out on a simulated kernel group; the programs on an interpreter.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::program::{
    ADD, JUMP_AT_LEAST, JUMP_EQUAL, LOAD_BYTE, LOAD_HALF, LOAD_WORD, MODULO, NETWORK_HEADER, RANDOM, RETURN, RETURN_A,
    SHIFT_RIGHT,
};
use super::*;

/// What `bpf_check_classic` refuses, this panics at. `packet` begins with the network header.
fn run(program: &[Instruction], packet: &[u8], random: u32) -> u32 {
    assert!(program.len() <= 4096, "BPF_MAXINSNS");
    let (mut a, mut at) = (0u32, 0usize);
    let byte = |k: u32, i: usize| u32::from(packet[k.wrapping_sub(NETWORK_HEADER) as usize + i]);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        match code {
            LOAD_WORD => {
                assert_eq!(k, RANDOM);
                a = random;
            }
            LOAD_HALF => a = byte(k, 0) << 8 | byte(k, 1),
            LOAD_BYTE => a = byte(k, 0),
            ADD => a = a.wrapping_add(k),
            SHIFT_RIGHT => a >>= k,
            MODULO => a %= k,
            JUMP_EQUAL => at += usize::from(if a == k { jt } else { jf }),
            JUMP_AT_LEAST => at += usize::from(if a >= k { jt } else { jf }),
            RETURN => return k,
            RETURN_A => return a,
            other => panic!("unknown operation {other:#x}"),
        }
    }
}

const PROBE_PORT: u16 = 40_000;

/// The owner that is generation `number`.
const fn of(number: u32) -> Owner {
    Owner::Of(Generation::new(number))
}

const fn id(number: u64) -> SocketId {
    SocketId::new(number)
}

fn packet(version: u8, source_port: u16) -> Vec<u8> {
    let mut packet = vec![0xff; 60];
    let header = if version == 6 { 40 } else { 20 };
    packet[0] = version << 4 | 5;
    packet[header..header + 2].copy_from_slice(&source_port.to_be_bytes());
    packet
}

/// The kernel's side.
#[derive(Clone)]
struct Kernel {
    sockets: Vec<SocketId>,
    program: Vec<Instruction>,
    dropping: BTreeSet<SocketId>,
}

impl Kernel {
    fn new(group: &Group) -> Self {
        let program = group.route().map(|route| route.program(None)).unwrap_or_default();
        Self { sockets: group.members().iter().map(|member| member.id).collect(), program, dropping: BTreeSet::new() }
    }

    /// Every socket that may be given a new connection while `number` counts as the number of sockets.
    fn picks(&self, number: usize) -> BTreeSet<SocketId> {
        let packet = packet(4, 1);
        let index = |random| run(&self.program, &packet, random) as usize;
        let picked: BTreeSet<usize> = (0..self.sockets.len() as u32 * 2).map(index).collect();
        if picked.iter().any(|index| *index >= number) {
            return self.sockets[..number].iter().copied().collect();
        }
        picked.into_iter().map(|index| self.sockets[index]).collect()
    }

    fn assert_safe(&self, group: &Group, number: usize, moment: &str) {
        for id in self.picks(number) {
            let of_target = group.members().iter().any(|m| m.id == id && Some(m.owner) == group.target());
            assert!(of_target || self.dropping.contains(&id), "{moment}: {id} is picked in {:?}", self.sockets);
        }
    }

    fn perform(&mut self, step: &CloseStep, group: &mut Group) {
        match step {
            CloseStep::Route(route) => self.program = route.program(None),
            CloseStep::DropNew(id) => drop(self.dropping.insert(*id)),
            CloseStep::Close(id) => {
                let index = self.sockets.iter().position(|socket| socket == id).expect("it is open");
                let last = self.sockets.len() - 1;
                // As __reuseport_detach_sock does it: the swap is visible before the smaller number.
                self.sockets[index] = self.sockets[last];
                self.assert_safe(group, last + 1, "in the middle of a close");
                self.sockets.truncate(last);
                self.assert_safe(group, last, "right after a close");
                group.left(*id);
            }
        }
    }
}

/// Carries out the plan for `owner` and checks every moment of it.
fn close(group: &mut Group, owner: Owner) -> Vec<CloseStep> {
    let mut kernel = Kernel::new(group);
    let before = group.clone();
    let plan = group.close_plan(owner);
    assert_eq!(*group, before, "a plan applies nothing");
    for step in &plan {
        kernel.assert_safe(group, kernel.sockets.len(), "before a step");
        kernel.perform(step, group);
        kernel.assert_safe(group, kernel.sockets.len(), "after a step");
    }
    let drops: Vec<_> =
        plan.iter().filter_map(|s| if let CloseStep::DropNew(id) = s { Some(*id) } else { None }).collect();
    assert!(drops.len() <= 1, "at most one socket drops: {plan:?}");
    for id in drops {
        assert!(before.members().iter().any(|m| m.id == id && m.owner == owner), "only what goes may drop");
    }
    assert!(group.indices_of(owner).is_empty(), "all are closed");
    assert_eq!(
        kernel.sockets,
        group.members().iter().map(|m| m.id).collect::<Vec<_>>(),
        "the model is the kernel's array"
    );
    let all_of_target: BTreeSet<_> =
        group.members().iter().filter(|m| Some(m.owner) == group.target()).map(|m| m.id).collect();
    assert_eq!(kernel.picks(kernel.sockets.len()), all_of_target, "in the end the whole target serves");
    plan
}

/// A group whose members, in order, belong to the generations with these numbers.
fn group(generations: &[u32], target: u32) -> Group {
    let mut group = Group::new();
    for (number, generation) in (1..).zip(generations) {
        group.listened(id(number), of(*generation));
    }
    group.set_target(of(target));
    group
}

/// All orders in which generations 1..=3 can have listened with the given numbers of sockets.
fn orders(left: [usize; 3]) -> Vec<Vec<u32>> {
    if left == [0; 3] {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (generation, index) in (1..).zip(0..3) {
        if left[index] > 0 {
            let mut rest = left;
            rest[index] -= 1;
            all.extend(orders(rest).into_iter().map(|order| [vec![generation], order].concat()));
        }
    }
    all
}

#[test]
fn three_generations_in_every_order_with_every_target() {
    let mut plans = 0;
    for counts in (0..64).map(|n| [n % 4, n / 4 % 4, n / 16]) {
        for order in orders(counts) {
            for target in (1..=3).filter(|target| order.contains(target)) {
                let others: Vec<u32> = (1..=3).filter(|g| *g != target).collect();
                for others in [[others[0], others[1]], [others[1], others[0]]] {
                    let mut group = group(&order, target);
                    for other in others {
                        close(&mut group, of(other));
                        plans += 1;
                    }
                }
            }
        }
    }
    assert!(plans > 10_000, "{plans}");
}

#[test]
fn one_for_one_needs_neither_a_drop_nor_a_second_chance() {
    let mut group = group(&[1, 2], 2);
    let to = |index| CloseStep::Route(Route::to(vec![index]).expect("an index"));
    assert_eq!(close(&mut group, of(1)), [to(1), CloseStep::Close(id(1)), to(0)]);
}

#[test]
fn several_for_one_drop_once() {
    let mut group = group(&[1, 1, 1, 2], 2);
    let to = |index| CloseStep::Route(Route::to(vec![index]).expect("an index"));
    let plan =
        [CloseStep::DropNew(id(1)), to(0), CloseStep::Close(id(1)), CloseStep::Close(id(3)), CloseStep::Close(id(2))];
    assert_eq!(close(&mut group, of(1)), plan);
}

#[test]
fn a_generation_that_still_drains_is_left_alone() {
    // The first is gone while the second could still be rolled back to.
    let mut group = group(&[1, 2, 3], 3);
    let plan = close(&mut group, of(1));
    assert!(!plan.contains(&CloseStep::DropNew(id(2))), "{plan:?}");
    group.set_target(of(2));
    assert_eq!(group.route().map(|route| route.indices().to_vec()), Some(vec![1]));
}

#[test]
fn several_for_several_never_drop() {
    let mut group = group(&[1, 1, 2, 2], 2);
    let plan = close(&mut group, of(1));
    assert!(!plan.iter().any(|step| matches!(step, CloseStep::DropNew(_))), "{plan:?}");
}

#[test]
fn the_last_generation_is_closed_without_a_route() {
    assert_eq!(group(&[1, 1], 1).close_plan(of(1)), [CloseStep::Close(id(2)), CloseStep::Close(id(1))]);
    assert_eq!(group(&[1, 1], 2).close_plan(of(1)), [CloseStep::Close(id(2)), CloseStep::Close(id(1))]);
    assert_eq!(group(&[1], 1).close_plan(of(2)), []);
}

#[test]
fn members_come_go_and_change_hands() {
    let mut group = group(&[1, 1, 2], 2);
    group.listened(id(1), of(2));
    assert_eq!(group.indices_of(of(1)), [0, 1], "a second listen changes nothing");
    group.left(id(1));
    assert_eq!((group.indices_of(of(2)), group.indices_of(of(1))), (vec![0], vec![1]));
    group.left(id(99));
    group.reassign(id(3), of(7));
    assert_eq!((group.route(), group.members().len()), (None, 2));
    group.set_target(of(7));
    assert_eq!((group.target(), group.route()), (Some(of(7)), Route::to(vec![0])));
}

#[test]
fn owners_are_in_order_and_only_some_take_connections() {
    let all = [Owner::Held, of(0), of(1), of(u32::MAX), Owner::PutBy, Owner::Foreign, Owner::Gone];
    assert!(all.is_sorted_by(|before, after| before < after));
    assert_eq!(all.map(Owner::takes_connections), [true, true, true, true, false, false, false]);
    let numbers = all.map(|owner| owner.generation().map(Generation::number));
    assert_eq!(numbers, [None, Some(0), Some(1), Some(u32::MAX), None, None, None]);
    assert_eq!(Owner::from(Generation::FIRST), of(1));
}

#[test]
fn what_is_held_is_no_generation_whatever_its_number() {
    let mut group = group(&[0, 1, u32::MAX], 1);
    for (number, owner) in (4..).zip([Owner::Held, Owner::Foreign, Owner::Gone]) {
        group.listened(id(number), owner);
    }
    group.set_target(Owner::Held);
    assert_eq!(group.route(), Route::to(vec![3]));
    close(&mut group, Owner::Gone);
    close(&mut group, of(0));
    let left: BTreeSet<Owner> = group.members().iter().map(|member| member.owner).collect();
    assert_eq!(left, BTreeSet::from([Owner::Held, of(1), of(u32::MAX), Owner::Foreign]));
}

#[derive(Debug, Clone)]
enum Life {
    Listen(Owner),
    Target(Owner),
    Vanish(usize),
    Close(Owner),
}

fn life() -> impl Strategy<Value = Life> {
    let owner = prop::sample::select(vec![Owner::Held, of(1), of(2), of(3), Owner::PutBy, Owner::Foreign, Owner::Gone]);
    prop_oneof![
        4 => owner.clone().prop_map(Life::Listen),
        1 => owner.clone().prop_map(Life::Target),
        1 => (0..12usize).prop_map(Life::Vanish),
        2 => owner.prop_map(Life::Close),
    ]
}

proptest! {
    #[test]
    fn lives_of_groups(lives in prop::collection::vec(life(), 1..60)) {
        let mut group = Group::new();
        let mut last = SocketId::default();
        for life in lives {
            match life {
                Life::Listen(owner) => {
                    last = last.next();
                    let before = group.route();
                    group.listened(last, owner);
                    if group.target() != Some(owner) {
                        prop_assert_eq!(group.route(), before, "a newcomer changes nothing before the switch");
                    }
                }
                Life::Target(owner) if !group.indices_of(owner).is_empty() => group.set_target(owner),
                Life::Vanish(index) => {
                    if let Some(id) = group.members().get(index).map(|member| member.id) {
                        group.left(id);
                    }
                }
                // Closing the target has nothing to promise, and neither has a group without one.
                Life::Close(owner) if group.target() != Some(owner) && group.route().is_some() => {
                    close(&mut group, owner);
                }
                Life::Target(_) | Life::Close(_) => {}
            }
        }
    }

    #[test]
    fn every_index_has_its_share_and_the_probe_its_own(
        indices in prop::collection::vec(0..400u32, 1..200),
        probe in prop::option::of(0..400u32),
        version in prop_oneof![Just(4u8), Just(6)],
        port in 1..u16::MAX,
    ) {
        let route = Route::to(indices).expect("not empty");
        let program = route.program(probe.map(|index| (PROBE_PORT, index)));
        let share = |port, random| run(&program, &packet(version, port), random);
        let expected = |port, rank: usize| probe.filter(|_| port == PROBE_PORT).unwrap_or(route.indices()[rank]);
        for port in [port, PROBE_PORT] {
            for rank in 0..route.indices().len() {
                prop_assert_eq!(share(port, rank as u32), expected(port, rank));
                prop_assert_eq!(share(port, (rank + 3 * route.indices().len()) as u32), expected(port, rank));
            }
        }
    }
}

#[test]
fn the_probe_is_told_by_its_own_source_port_only() {
    let program = Route::to(vec![5]).expect("an index").program(Some((PROBE_PORT, 9)));
    for version in [4, 6] {
        for port in 0..=u16::MAX {
            let expected = if port == PROBE_PORT { 9 } else { 5 };
            assert_eq!(run(&program, &packet(version, port), 0), expected, "IPv{version}, port {port}");
        }
    }
    // The place of the other version's port must not matter.
    let mut six = packet(6, 1);
    six[20..22].copy_from_slice(&PROBE_PORT.to_be_bytes());
    assert_eq!(run(&program, &six, 0), 5);
    let mut four = packet(4, 1);
    four[40..42].copy_from_slice(&PROBE_PORT.to_be_bytes());
    assert_eq!(run(&program, &four, 0), 5);
}

#[test]
fn programs_are_short() {
    let length = |indices: Vec<u32>| Route::to(indices).expect("not empty").program(None).len();
    assert_eq!(length(vec![3]), 1);
    assert_eq!(length(vec![3, 4, 5]), 4);
    assert_eq!(length(vec![0, 2]), 7);
    let scattered: Vec<u32> = (0..40_000).step_by(2).collect();
    let route = Route::to(scattered).expect("not empty");
    let program = route.program(None);
    assert!(program.len() < 800);
    let picked: BTreeSet<u32> = (0..10_000).map(|random| run(&program, &[], random)).collect();
    assert_eq!(picked.len(), 256, "the rest gets nothing");
    assert!(picked.iter().all(|index| route.indices().contains(index)));
}
