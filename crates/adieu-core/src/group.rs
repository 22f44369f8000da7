//! One SO_REUSEPORT group: the listening sockets that all generations have for one address, and who is given new
//! connections.
//!
//! **Invariant.** While a [plan](Group::close_plan) is carried out, before and after each of its steps, every new connection
//! meets a socket of the target or one that drops it, so that the client sends its SYN again. It never meets a
//! socket that is closed afterwards with the connection in its queue.
//!
//! What the kernel does (`net/core/sock_reuseport.c`): a group is an array. `listen` appends. When a member leaves, the last
//! member takes its place: its index changes, and no other one. The program attached to the group returns an index; one that
//! is not below the number of members is ignored, and a hash over *all* members decides.

mod program;
#[cfg(test)]
mod tests;

pub use self::program::{Instruction, Route};
pub use crate::ids::{Generation, SocketId};

/// Whose a socket is. In order: what waits, the generations from the oldest on, and what takes no connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// It waits for the next generation.
    Held,
    /// This generation's.
    Of(Generation),
    /// A listener that the supervisor was started with, and that no generation uses any more: it is not ours to close.
    PutBy,
    /// Another program's.
    Foreign,
    /// Nobody has it any more: it is being closed.
    Gone,
}

impl Owner {
    /// The generation it belongs to, if it belongs to one.
    #[must_use]
    pub const fn generation(self) -> Option<Generation> {
        match self {
            Self::Of(generation) => Some(generation),
            Self::Held | Self::PutBy | Self::Foreign | Self::Gone => None,
        }
    }

    /// Whether new connections may be sent to it: a generation takes them, or will.
    #[must_use]
    pub const fn takes_connections(self) -> bool {
        match self {
            Self::Held | Self::Of(_) => true,
            Self::PutBy | Self::Foreign | Self::Gone => false,
        }
    }
}

impl From<Generation> for Owner {
    fn from(generation: Generation) -> Self {
        Self::Of(generation)
    }
}

/// One listening socket of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Which socket.
    pub id: SocketId,
    /// Whose it is.
    pub owner: Owner,
}

/// One step of a plan; the driver performs them in order, and stops at the first that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseStep {
    /// Attach the program of this route, on any member.
    Route(Route),
    /// Let this socket drop every packet (SO_ATTACH_FILTER): it is about to be closed and is given connections until then.
    DropNew(SocketId),
    /// Close this socket, so that the kernel takes it out of the group, and call [`Group::left`]. If anybody else may still
    /// hold the socket, `shutdown` it before: that takes it out whoever holds it.
    Close(SocketId),
}

/// The model of one group. It changes only by what the driver says has happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    members: Vec<Member>,
    target: Option<Owner>,
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A socket of `owner` listens: it is the last member now. Nothing changes if it was a member already (a second
    /// `listen` only changes the backlog).
    pub fn listened(&mut self, id: SocketId, owner: Owner) {
        if self.position(id).is_none() {
            self.members.push(Member { id, owner });
        }
    }

    /// A member has left the group, in whatever way; the last one has taken its place. The program that is attached now may
    /// name wrong indices: unless this was a [`CloseStep::Close`], attach that of [`Group::route`] at once.
    pub fn left(&mut self, id: SocketId) {
        if let Some(index) = self.position(id) {
            self.members.swap_remove(index);
        }
    }

    /// A member has another owner from now on; its index stays.
    pub fn reassign(&mut self, id: SocketId, owner: Owner) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.owner = owner;
        }
    }

    /// New connections shall go to the sockets of `owner`. The driver attaches the program of [`Group::route`] to make it so;
    /// setting the target back is the rollback.
    pub fn set_target(&mut self, owner: Owner) {
        self.target = Some(owner);
    }

    /// Whose sockets are given new connections.
    #[must_use]
    pub fn target(&self) -> Option<Owner> {
        self.target
    }

    /// All members in the order of the kernel's array.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The indices of the sockets of `owner`, ascending.
    #[must_use]
    pub fn indices_of(&self, owner: Owner) -> Vec<u32> {
        let of = |(index, member): (u32, &Member)| (member.owner == owner).then_some(index);
        (0..).zip(&self.members).filter_map(of).collect()
    }

    /// All sockets of the target, each with the same share of the new connections; `None` while it has no socket here.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        Route::to(self.indices_of(self.target?))
    }

    /// How to close all sockets of `owner` without sending a new connection to one that goes. Applies nothing: the
    /// group changes as the driver performs the steps.
    ///
    /// Before each close, everything is sent to sockets of the target whose index this close does not change. If there is
    /// none, the target has one socket and it is the last member. It will then take the place of the closed one, so
    /// everything is sent to that index: to the closing socket, which drops it, and an instant later to the target. A client
    /// whose SYN falls into this instant sends it again after a second. It happens at most once in a plan, and not at all if
    /// only the target is left after the close, because then any index leads to it. No other owner's sockets are touched.
    ///
    /// If `owner` is itself the target, or the target has no socket here, there is nowhere to send connections: its
    /// sockets are closed from the highest index down.
    #[must_use]
    pub fn close_plan(&self, owner: Owner) -> Vec<CloseStep> {
        let mut after = self.clone();
        let mut steps = Vec::new();
        let mut routed = None;
        while let Some(closing) = after.next_to_close(owner) {
            if let Some(route) = after.route_across_close_of(closing, owner) {
                if route.indices() == [closing.index] {
                    steps.push(CloseStep::DropNew(closing.id));
                }
                steps.extend(changed(&mut routed, route));
            }
            steps.push(CloseStep::Close(closing.id));
            after.left(closing.id);
        }
        // The next `listen` must not find a program that names its index.
        if let Some(route) = after.route().filter(|_| !steps.is_empty()) {
            steps.extend(changed(&mut routed, route));
        }
        steps
    }

    fn position(&self, id: SocketId) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }

    /// From the highest index down nothing that stays is moved needlessly. Only if the target is the last member, and so
    /// moves in any case, the lowest goes first: the target lands below all that are still to be closed and stays there.
    fn next_to_close(&self, owner: Owner) -> Option<Closing> {
        let indices = self.indices_of(owner);
        let target_moves = self.route().is_some_and(|route| route.indices() == [self.last_index()]);
        let index = *if target_moves { indices.first() } else { indices.last() }?;
        let id = self.members.get(index as usize)?.id;
        Some(Closing { id, index })
    }

    /// The route that is right before and after `closing` has left; see [`Group::close_plan`].
    fn route_across_close_of(&self, closing: Closing, owner: Owner) -> Option<Route> {
        let target = self.target.filter(|target| *target != owner)?;
        let indices = self.indices_of(target);
        let last = self.last_index();
        let surviving: Vec<u32> = indices.iter().copied().filter(|index| *index < last).collect();
        if !surviving.is_empty() {
            Route::to(surviving)
        } else if self.members.len() == 2 {
            // Right before the close; after it, the hash has the choice of one.
            Route::to(indices)
        } else {
            Route::to(indices).and(Route::to(vec![closing.index]))
        }
    }

    fn last_index(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }
}

#[derive(Clone, Copy)]
struct Closing {
    id: SocketId,
    index: u32,
}

/// A step that attaches `route`, unless it is attached already.
fn changed(routed: &mut Option<Route>, route: Route) -> Option<CloseStep> {
    if routed.as_ref() == Some(&route) {
        return None;
    }
    *routed = Some(route.clone());
    Some(CloseStep::Route(route))
}
