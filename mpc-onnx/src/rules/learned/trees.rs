//! Trees of public shape, whose thresholds and leaves are the model owner's: every comparison of every tree at once, then for
//! each level the product of a node's indicator with its comparison, then a linear layer of the leaves.

mod ensemble;
mod leaves;

use std::collections::{BTreeMap, BTreeSet};

use mpc_protocols::function::Function;

use super::{
    above, chosen_label, label_of, labels, numbers_of, reals, rows, shifted_label, transformed, with_opposite,
};
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::choice;
use crate::value::{Tensor, Value, vector};
use leaves::Aggregate;

/// All comparisons, in the order of their numbers in `TreeEnsemble`.
const KINDS: [Mode; 7] =
    [Mode::AtMost, Mode::Below, Mode::AtLeast, Mode::Above, Mode::Equal, Mode::Unequal, Mode::Member];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Leaf,
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
    Member,
}

struct Node {
    mode: Mode,
    feature: usize,
    threshold: f32,
    /// The places of the children: where the comparison is true, and where it is false.
    children: [usize; 2],
}

/// All trees: their nodes, their roots, the sets that nodes of a set compare with, and what the leaves add to the outputs.
struct Forest {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    sets: BTreeMap<usize, Vec<f32>>,
    leaves: Vec<Leaf>,
}

/// A weight that a leaf adds to an output.
struct Leaf {
    node: usize,
    output: usize,
    weight: f32,
}

fn mode(name: &str) -> Lowered<Mode> {
    Ok(match name {
        "LEAF" => Mode::Leaf,
        "BRANCH_LEQ" => Mode::AtMost,
        "BRANCH_LT" => Mode::Below,
        "BRANCH_GTE" => Mode::AtLeast,
        "BRANCH_GT" => Mode::Above,
        "BRANCH_EQ" => Mode::Equal,
        "BRANCH_NEQ" => Mode::Unequal,
        other => return invalid(format!("mode `{other}` of a node is not known")),
    })
}

impl Forest {
    /// The trees of the lists before opset 5, whose leaves are nodes; `prefix` is that of the lists of weights.
    fn of_nodes(call: &Call<'_>, features: usize, prefix: &str) -> Lowered<Self> {
        let list = |name: &str| call.ints(name).map(Option::unwrap_or_default);
        let (trees, numbers, of_features) = (list("nodes_treeids")?, list("nodes_nodeids")?, list("nodes_featureids")?);
        let (yes, no) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
        let modes = call.strings("nodes_modes")?.unwrap_or_default();
        let thresholds = reals(call, "nodes_values")?;
        let lengths = [numbers.len(), of_features.len(), yes.len(), no.len(), modes.len(), thresholds.len()];
        if trees.is_empty() || lengths.iter().any(|&length| length != trees.len()) {
            return invalid("its lists of nodes differ in length");
        }
        let mut places = BTreeMap::new();
        for (place, key) in trees.iter().copied().zip(numbers).enumerate() {
            if places.insert(key, place).is_some() {
                return invalid("a tree has a node twice");
            }
        }
        let mut nodes = Vec::new();
        let mut has_parent = vec![false; trees.len()];
        for (place, &tree) in trees.iter().enumerate() {
            let mode = mode(&modes[place])?;
            let mut children = [place; 2];
            if mode != Mode::Leaf {
                for (child, &number) in children.iter_mut().zip([&yes[place], &no[place]]) {
                    match places.get(&(tree, number)) {
                        // Several nodes may have one child, as a chain of comparisons with the members of a set.
                        Some(&found) if found != place => {
                            has_parent[found] = true;
                            *child = found;
                        }
                        _ => return invalid("a node has a child that is not there"),
                    }
                }
            }
            let feature = arrays::size(of_features[place])?;
            if mode != Mode::Leaf && feature >= features {
                return invalid("a node compares a feature that is not there");
            }
            nodes.push(Node { mode, feature, threshold: thresholds[place], children });
        }
        let roots: Vec<usize> = (0..nodes.len()).filter(|&place| !has_parent[place]).collect();
        let mut seen = BTreeSet::new();
        if !roots.iter().all(|&root| seen.insert(trees[root])) {
            return invalid("a tree has two roots");
        }
        let leaves = weights(call, prefix, &nodes, &places)?;
        Ok(Self { nodes, roots, sets: BTreeMap::new(), leaves })
    }

    /// For each inner node whether its comparison is true: [samples, inner nodes], and where each node's column is.
    fn comparisons(&self, context: &mut Context, x: &Tensor) -> Lowered<(Vec<usize>, Option<Tensor>)> {
        let mut columns = vec![usize::MAX; self.nodes.len()];
        let mut parts = Vec::new();
        let mut count = 0;
        let (trees, _) = self.members();
        let is_compared = |&node: &usize| trees[node] != usize::MAX;
        for kind in KINDS {
            let of_kind = (0..self.nodes.len()).filter(|&node| self.nodes[node].mode == kind);
            let of_kind: Vec<usize> = of_kind.filter(is_compared).collect();
            if of_kind.is_empty() {
                continue;
            }
            parts.push(self.comparisons_of(context, x, kind, &of_kind)?);
            for node in of_kind {
                columns[node] = count;
                count += 1;
            }
        }
        if parts.is_empty() {
            return Ok((columns, None));
        }
        Ok((columns, Some(context.join(&parts, 1)?)))
    }

    fn comparisons_of(&self, context: &mut Context, x: &Tensor, kind: Mode, nodes: &[usize]) -> Lowered<Tensor> {
        let mut features = Vec::new();
        let mut limits = Vec::new();
        let mut rows = Vec::new();
        for &node in nodes {
            let Node { feature, threshold, .. } = &self.nodes[node];
            let values = self.sets.get(&node).map_or(core::slice::from_ref(threshold), Vec::as_slice);
            rows.push((limits.len()..limits.len() + values.len()).map(|place| (place, 1.0)).collect());
            limits.extend(values.iter().map(|value| -value));
            features.resize(limits.len(), *feature);
        }
        context.charge(limits.len().saturating_mul(4))?;
        let chosen = context.gather(x, 1, &features)?;
        let difference = context.offset_privately(&chosen, &vector(limits))?;
        let bits = compared(context, kind, &difference)?;
        // Members of a set differ, so that at most one is equal.
        if kind == Mode::Member { context.combine(&bits, 1, &rows) } else { Ok(bits) }
    }
}

fn compared(context: &mut Context, mode: Mode, difference: &Tensor) -> Lowered<Tensor> {
    let at_least = |context: &mut Context, x: &Tensor| context.function(x, Function::Step);
    let not = |context: &mut Context, x: &Tensor| {
        let negative = context.scale(x, -1.0)?;
        context.offset(&negative, 1.0)
    };
    match mode {
        Mode::AtLeast => at_least(context, difference),
        Mode::Below => {
            let bit = at_least(context, difference)?;
            not(context, &bit)
        }
        Mode::Equal | Mode::Member => choice::is_zero(context, difference, false),
        Mode::Unequal => {
            let equal = choice::is_zero(context, difference, false)?;
            not(context, &equal)
        }
        _ => {
            let opposite = context.scale(difference, -1.0)?;
            let at_most = at_least(context, &opposite)?;
            if mode == Mode::AtMost { Ok(at_most) } else { not(context, &at_most) }
        }
    }
}

/// The weights of the lists before opset 5.
fn weights(call: &Call<'_>, prefix: &str, nodes: &[Node], places: &BTreeMap<(i64, i64), usize>) -> Lowered<Vec<Leaf>> {
    let list = |name: &str| call.ints(&format!("{prefix}_{name}")).map(Option::unwrap_or_default);
    let (trees, numbers, ids) = (list("treeids")?, list("nodeids")?, list("ids")?);
    let weights = reals(call, &format!("{prefix}_weights"))?;
    if [numbers.len(), ids.len(), weights.len()].iter().any(|&length| length != trees.len()) {
        return invalid("its lists of leaves differ in length");
    }
    let leaf = |place: usize| -> Lowered<Leaf> {
        let node = places.get(&(trees[place], numbers[place])).copied();
        match node.filter(|&node| nodes[node].mode == Mode::Leaf) {
            Some(node) => Ok(Leaf { node, output: arrays::size(ids[place])?, weight: weights[place] }),
            None => invalid("a weight is not that of a leaf and an output"),
        }
    };
    (0..trees.len()).map(leaf).collect()
}

/// The sums of the leaves' weights for each of `outputs`, with the base values.
fn sums(context: &mut Context, call: &Call<'_>, prefix: &str, outputs: usize) -> Lowered<Tensor> {
    let x = rows(context, call)?;
    let forest = Forest::of_nodes(call, x.shape[1], prefix)?;
    let aggregate = match call.string("aggregate_function", "SUM")?.as_str() {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Smallest,
        "MAX" => Aggregate::Largest,
        other => return invalid(format!("aggregate function `{other}` is not known")),
    };
    context.charge(outputs)?;
    let base = reals(call, "base_values")?;
    let base = match base.len() {
        0 => None,
        1 => Some(vec![base[0]; outputs]),
        count if count == outputs => Some(base),
        _ => return invalid("it has another number of base values than outputs"),
    };
    forest.aggregated(context, &x, outputs, aggregate, base)
}

/// Trees of opset 5, whose leaves have lists of their own.
pub(super) fn ensemble(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = rows(context, call)?;
    let Some(outputs) = call.optional_int("n_targets")? else { return invalid("it has no number of targets") };
    let outputs = arrays::size(outputs)?;
    let forest = ensemble::forest(call, x.shape[1])?;
    let aggregate = match call.int("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Smallest,
        3 => Aggregate::Largest,
        other => return invalid(format!("aggregate function {other} is not known")),
    };
    if call.int("post_transform", 0)? != 0 {
        // SOFTMAX is 1 and LOGISTIC 2 in ONNX's text, and the other way round in onnxruntime.
        return unsupported(
            "a post-transform, whose numbers onnxruntime reads otherwise; add a Softmax or Sigmoid node",
        );
    }
    Ok([forest.aggregated(context, &x, outputs, aggregate, None)?.into()].into())
}

pub(super) fn regressor(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let outputs = arrays::size(call.int("n_targets", 1)?)?;
    let sum = sums(context, call, "target", outputs)?;
    Ok([transformed(context, call, &sum)?.into()].into())
}

pub(super) fn classifier(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let labels = labels(call)?;
    let ids = call.ints("class_ids")?.unwrap_or_default();
    let is_single = labels.len() == 2 && ids.iter().all(|id| Some(id) == ids.first()) && !ids.is_empty();
    if !is_single {
        let scores = sums(context, call, "class", labels.len())?;
        let label = if call.is_used(0) { label_of(context, call, &scores, &labels)? } else { Value::scalar(0) };
        return Ok([label, transformed(context, call, &scores)?.into()].into());
    }
    // One score for two classes. Scores that are never negative are probabilities.
    let id = arrays::size(ids[0])?;
    if id > 1 {
        return invalid("a weight is not that of a class");
    }
    let scores = sums(context, call, "class", id + 1)?;
    let score = context.slice(&scores, 1, id, id + 1)?;
    let is_probability = reals(call, "class_weights")?.iter().all(|&weight| weight >= 0.0);
    let is_logistic = call.string("post_transform", "NONE")? == "LOGISTIC";
    let is_second = above(context, &score, if is_probability && !is_logistic { 0.5 } else { 0.0 })?;
    context.note_whole(is_second.id, Whole::Boolean);
    let label = chosen_label(context, &is_second, &[labels[1] - labels[0]])?;
    let label = shifted_label(context, label, labels[0])?;
    let scores = if is_logistic {
        let probability = context.function(&score, Function::Sigmoid)?;
        with_opposite(context, &probability)?
    } else if is_probability {
        with_opposite(context, &score)?
    } else {
        let negative = context.scale(&score, -1.0)?;
        context.join(&[negative, score.clone()], 1)?
    };
    Ok([label, scores.into()].into())
}
