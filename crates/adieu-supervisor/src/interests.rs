//! What the poll loop waits for: each part names its descriptors, and by a [`Source`] who is to be asked when one is ready.

use std::cmp::Reverse;
use std::os::fd::BorrowedFd;

use adieu_core::group::SocketId;
use adieu_core::switch::Generation;
use adieu_linux::poll::Readiness;

/// Where something is to be taken. What is ready at once is taken in this order: socket calls of programs come first, as they
/// wait for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A socket call of this generation.
    Call(Generation),
    Signals,
    /// The newest first: whoever serves is the last that can take over, so its death comes before that of an older one.
    Keeper(Reverse<Generation>),
    Notify(Generation),
    /// An output of this generation, by its position.
    Output(Generation, usize),
    /// The end of a process that has bound a socket.
    Holder(SocketId),
    Accept,
    Clients,
    /// What `advance` goes on with at every turn anyway.
    Other,
}

/// Descriptors and what is waited for on them.
#[derive(Debug, Default)]
pub(crate) struct Interests<'a> {
    descriptors: Vec<(BorrowedFd<'a>, Readiness)>,
    sources: Vec<Source>,
}

impl<'a> Interests<'a> {
    pub(crate) fn add(&mut self, source: Source, fd: BorrowedFd<'a>, readiness: Readiness) {
        self.descriptors.push((fd, readiness));
        self.sources.push(source);
    }

    /// Waits for input on `fd`.
    pub(crate) fn read(&mut self, source: Source, fd: BorrowedFd<'a>) {
        self.add(source, fd, Readiness::READ);
    }

    pub(crate) fn descriptors(&self) -> &[(BorrowedFd<'a>, Readiness)] {
        &self.descriptors
    }

    /// The sources, in the order of [`Self::descriptors`].
    pub(crate) fn into_sources(self) -> Vec<Source> {
        self.sources
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_ready_at_once_is_taken_in_this_order() {
        let [one, two] = [Generation::FIRST, Generation::new(2)];
        let order = [
            // Programs wait for the answers to their calls.
            Source::Call(one),
            Source::Call(two),
            Source::Signals,
            // The death of whoever serves comes before that of an older one.
            Source::Keeper(Reverse(two)),
            Source::Keeper(Reverse(one)),
            Source::Notify(one),
            Source::Notify(two),
            Source::Output(one, 0),
            Source::Output(one, 1),
            Source::Output(two, 0),
            Source::Holder(SocketId::new(0)),
            Source::Accept,
            Source::Clients,
            Source::Other,
        ];
        assert!(order.is_sorted_by(|before, after| before < after));
    }

    #[test]
    fn descriptors_and_sources_go_together() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut interests = Interests::default();
        interests.read(Source::Accept, reader.as_fd());
        interests.add(Source::Signals, writer.as_fd(), Readiness::WRITE);
        let readiness: Vec<Readiness> = interests.descriptors().iter().map(|(_, readiness)| *readiness).collect();
        assert_eq!(readiness, [Readiness::READ, Readiness::WRITE]);
        assert_eq!(interests.into_sources(), [Source::Accept, Source::Signals], "as they were named");
    }
}
