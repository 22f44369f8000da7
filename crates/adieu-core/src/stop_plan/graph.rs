//! Who comes after whom: order and cycles.

/// For each node, the nodes that it comes after.
pub(super) type After = Vec<Vec<usize>>;

/// All nodes, each behind those it comes after, the earlier registered first where both may come. With a cycle: its nodes,
/// each before the one that it comes after.
pub(super) fn order(after: &After) -> Result<Vec<usize>, Vec<usize>> {
    let mut order: Vec<usize> = Vec::new();
    let mut placed = vec![false; after.len()];
    while order.len() < after.len() {
        let free =
            |(node, deps): &(usize, &Vec<usize>)| !is(&placed, *node) && deps.iter().all(|dep| is(&placed, *dep));
        let Some((node, _)) = after.iter().enumerate().find(free) else { return Err(cycle(after, &placed)) };
        placed.get_mut(node).into_iter().for_each(|placed| *placed = true);
        order.push(node);
    }
    Ok(order)
}

/// Every node that is not placed comes after another such one: following them leads round in a circle.
fn cycle(after: &After, placed: &[bool]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut at = placed.iter().position(|placed| !placed);
    while let Some(node) = at {
        if let Some(begin) = path.iter().position(|seen| *seen == node) {
            return path.split_off(begin);
        }
        path.push(node);
        at = after.get(node).and_then(|deps| deps.iter().copied().find(|dep| !is(placed, *dep)));
    }
    path
}

/// For each node the nodes that come after it.
pub(super) fn reversed(after: &After) -> After {
    let mut dependents = vec![Vec::new(); after.len()];
    for (node, deps) in after.iter().enumerate() {
        for dep in deps {
            dependents.get_mut(*dep).into_iter().for_each(|of| of.push(node));
        }
    }
    dependents
}

fn is(flags: &[bool], node: usize) -> bool {
    flags.get(node).copied().unwrap_or(false)
}
