//! Trees as `TreeEnsemble` of opset 5 has them: inner nodes in one list and leaves in another.

use std::collections::BTreeMap;

use super::{Forest, KINDS, Leaf, Mode, Node, numbers_of};
use crate::call::Call;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::choice::NEAR;

/// The lists of the inner nodes and of the leaves.
struct Lists {
    modes: Vec<Mode>,
    features: Vec<usize>,
    splits: Vec<f32>,
    /// For the true and the false side: the child's number, and whether it is a leaf.
    children: [Vec<(usize, bool)>; 2],
    targets: Vec<usize>,
    weights: Vec<f32>,
}

impl Lists {
    fn of(call: &Call<'_>, features: usize) -> Lowered<Self> {
        let modes = numbers_of(call, "nodes_modes", false)?.into_iter().map(mode).collect::<Lowered<Vec<_>>>()?;
        let list = |name: &str| call.sizes(name).map(Option::unwrap_or_default);
        let side = |numbers: &str, are_leaves: &str| -> Lowered<Vec<(usize, bool)>> {
            let (numbers, are_leaves) = (list(numbers)?, list(are_leaves)?);
            if numbers.len() != modes.len() || are_leaves.len() != modes.len() {
                return invalid("its lists of nodes differ in length");
            }
            Ok(numbers.into_iter().zip(are_leaves).map(|(number, is_leaf)| (number, is_leaf != 0)).collect())
        };
        let children = [side("nodes_truenodeids", "nodes_trueleafs")?, side("nodes_falsenodeids", "nodes_falseleafs")?];
        let lists = Self {
            features: list("nodes_featureids")?,
            splits: numbers_of(call, "nodes_splits", true)?,
            targets: list("leaf_targetids")?,
            weights: numbers_of(call, "leaf_weights", false)?,
            children,
            modes,
        };
        if lists.modes.is_empty() || [lists.features.len(), lists.splits.len()] != [lists.modes.len(); 2] {
            return invalid("its lists of nodes differ in length");
        }
        if lists.targets.len() != lists.weights.len() {
            return invalid("its lists of leaves differ in length");
        }
        if lists.features.iter().any(|&feature| feature >= features) {
            return invalid("a node compares a feature that is not there");
        }
        let has_split = |(mode, split): (&Mode, &f32)| *mode == Mode::Member || !split.is_nan();
        if !lists.modes.iter().zip(&lists.splits).all(has_split) {
            return invalid("a node compares with NaN");
        }
        Ok(lists)
    }
}

fn mode(number: f32) -> Lowered<Mode> {
    let found = KINDS.iter().enumerate().find(|&(place, _)| place as f32 == number);
    found.map_or_else(|| invalid(format!("mode {number} of a node is not known")), |(_, &mode)| Ok(mode))
}

/// The members of each node's set, in the order of the nodes that have one; NaN ends a set.
fn sets(call: &Call<'_>, modes: &[Mode]) -> Lowered<BTreeMap<usize, Vec<f32>>> {
    let values = numbers_of(call, "membership_values", true)?;
    let mut parts: Vec<&[f32]> = values.split(|value| value.is_nan()).collect();
    // The last set may be ended like the others.
    if parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let nodes: Vec<usize> = (0..modes.len()).filter(|&node| modes[node] == Mode::Member).collect();
    if nodes.len() != parts.len() {
        return invalid(format!("it has {} sets of members for {} nodes with one", parts.len(), nodes.len()));
    }
    if parts.iter().any(|part| part.is_empty()) {
        return unsupported("a set without members");
    }
    let distinct = |part: &[f32]| {
        let mut members = part.to_vec();
        members.sort_by(f32::total_cmp);
        // Numbers that a comparison does not tell apart count once.
        members.dedup_by(|next, kept| *next - *kept < NEAR);
        members
    };
    Ok(nodes.into_iter().zip(parts.into_iter().map(distinct)).collect())
}

/// The trees of a call whose input has so many features.
pub(super) fn forest(call: &Call<'_>, features: usize) -> Lowered<Forest> {
    let lists = Lists::of(call, features)?;
    let count = lists.modes.len();
    let Some(mut roots) = call.sizes("tree_roots")?.filter(|roots| !roots.is_empty()) else {
        return invalid("it has no tree");
    };
    let mut is_root = vec![false; count];
    for &root in &roots {
        if root >= count || core::mem::replace(&mut is_root[root], true) {
            return invalid("a root of a tree is not there, or is another one's");
        }
    }
    let mut forest =
        Forest { nodes: Vec::new(), roots: Vec::new(), sets: sets(call, &lists.modes)?, leaves: Vec::new() };
    for place in 0..count {
        let node = Node {
            mode: lists.modes[place],
            feature: lists.features[place],
            threshold: lists.splits[place],
            children: [place; 2],
        };
        forest.nodes.push(node);
    }
    for place in 0..count {
        let [yes, no] = [lists.children[0][place], lists.children[1][place]];
        if yes.1
            && yes == no
            && let Some(root) = roots.iter_mut().find(|root| **root == place)
        {
            *root = end(&mut forest, &lists, yes.0)?;
            continue;
        }
        for (side, (number, is_leaf)) in [yes, no].into_iter().enumerate() {
            let child = match is_leaf {
                true => end(&mut forest, &lists, number)?,
                false if number < count && number != place && !is_root[number] => number,
                false => return invalid("a node has a child that is not there, or is the root of a tree"),
            };
            forest.nodes[place].children[side] = child;
        }
    }
    forest.roots = roots;
    Ok(forest)
}

/// Adds a node that is a leaf of the list.
fn end(forest: &mut Forest, lists: &Lists, leaf: usize) -> Lowered<usize> {
    let (Some(&output), Some(&weight)) = (lists.targets.get(leaf), lists.weights.get(leaf)) else {
        return invalid("a node has a leaf that is not there");
    };
    let node = forest.nodes.len();
    forest.nodes.push(Node { mode: Mode::Leaf, feature: 0, threshold: 0.0, children: [node; 2] });
    forest.leaves.push(Leaf { node, output, weight });
    Ok(node)
}
