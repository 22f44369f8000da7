//! Arrows between files, the circles that they make, and which arrows hold a circle together.

use std::collections::{BTreeMap, BTreeSet};

/// One file needs an item of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) item: String,
    /// Where in `from`.
    pub(super) line: usize,
}

/// The circles among `files` files: the strongly connected components of two and more (Tarjan), each in the order of the
/// files' numbers.
pub(super) fn circles(files: usize, arrows: &[Arrow]) -> Vec<Vec<usize>> {
    let mut next = vec![BTreeSet::new(); files];
    for arrow in arrows.iter().filter(|arrow| arrow.from != arrow.to) {
        next[arrow.from].insert(arrow.to);
    }
    let mut search =
        Search { next, order: vec![None; files], low: vec![0; files], open: Vec::new(), found: Vec::new(), seen: 0 };
    for file in 0..files {
        if search.order[file].is_none() {
            search.enter(file);
        }
    }
    search.found.retain(|circle| circle.len() > 1);
    search.found.iter_mut().for_each(|circle| circle.sort_unstable());
    search.found.sort();
    search.found
}

struct Search {
    next: Vec<BTreeSet<usize>>,
    /// When each file was first seen.
    order: Vec<Option<usize>>,
    /// The earliest file that each is known to lead back to.
    low: Vec<usize>,
    /// Seen, and not in a finished component.
    open: Vec<usize>,
    found: Vec<Vec<usize>>,
    seen: usize,
}

impl Search {
    fn enter(&mut self, file: usize) {
        let order = self.seen;
        self.seen += 1;
        (self.order[file], self.low[file]) = (Some(order), order);
        self.open.push(file);
        for to in self.next[file].clone() {
            match self.order[to] {
                None => {
                    self.enter(to);
                    self.low[file] = self.low[file].min(self.low[to]);
                }
                Some(seen) if self.open.contains(&to) => self.low[file] = self.low[file].min(seen),
                Some(_) => (),
            }
        }
        if self.low[file] == order {
            let start = self.open.iter().position(|&open| open == file).unwrap_or(0);
            self.found.push(self.open.split_off(start));
        }
    }
}

/// The arrows without which a circle would be none, the fewest that a greedy search finds (Eades, Lin and Smyth): the files
/// are put in a row such that few arrows lead back, and those are returned, by pair of files, the pairs of the fewest items first.
pub(super) fn holding(circle: &[usize], arrows: &[Arrow]) -> Vec<Vec<Arrow>> {
    let mut pairs: BTreeMap<(usize, usize), Vec<Arrow>> = BTreeMap::new();
    for arrow in arrows {
        if arrow.from != arrow.to && circle.contains(&arrow.from) && circle.contains(&arrow.to) {
            let pair = pairs.entry((arrow.from, arrow.to)).or_default();
            if pair.iter().all(|known| known.item != arrow.item) {
                pair.push(arrow.clone());
            }
        }
    }
    let row = row(circle, &pairs);
    let place = |file: usize| row.iter().position(|&other| other == file);
    let mut back: Vec<Vec<Arrow>> =
        pairs.into_iter().filter(|((from, to), _)| place(*from) > place(*to)).map(|(_, arrows)| arrows).collect();
    back.sort_by_key(Vec::len);
    back
}

fn row(circle: &[usize], pairs: &BTreeMap<(usize, usize), Vec<Arrow>>) -> Vec<usize> {
    let mut left: BTreeSet<usize> = circle.iter().copied().collect();
    let (mut front, mut end) = (Vec::new(), Vec::new());
    while !left.is_empty() {
        // What leads out of a file less what leads into it, among those that are left.
        let among = |file: usize, out: bool| -> usize {
            let counted = |&(&(from, to), _): &(&(usize, usize), &Vec<Arrow>)| {
                let (this, other) = if out { (from, to) } else { (to, from) };
                this == file && left.contains(&other)
            };
            pairs.iter().filter(counted).map(|(_, arrows)| arrows.len()).sum()
        };
        let sink = left.iter().copied().find(|&file| among(file, true) == 0);
        let source = left.iter().copied().find(|&file| among(file, false) == 0);
        let best =
            left.iter().copied().max_by_key(|&file| among(file, true).cast_signed() - among(file, false).cast_signed());
        let Some(file) = sink.or(source).or(best) else { break };
        left.remove(&file);
        if sink.is_some() {
            end.push(file);
        } else {
            front.push(file);
        }
    }
    front.into_iter().chain(end.into_iter().rev()).collect()
}
