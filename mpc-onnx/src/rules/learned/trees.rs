//! Trees of public shape, whose thresholds and leaves are the model owner's: every comparison of every tree at once, then for
//! each level the product of a node's indicator with its comparison, then a linear layer of the leaves.

use std::collections::BTreeMap;

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use super::{above, chosen_label, label_of, labels, reals, rows, shifted_label, transformed, with_opposite};
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::choice;
use crate::value::{Tensor, Value, vector};

/// The deepest tree.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Leaf,
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
}

struct Node {
    mode: Mode,
    feature: usize,
    threshold: f32,
    /// The places of the children: where the comparison is true, and where it is false.
    children: [usize; 2],
}

/// All trees: their nodes, their roots, and the place of each node by tree and number.
struct Forest {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    places: BTreeMap<(i64, i64), usize>,
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
    fn new(call: &Call<'_>, features: usize) -> Lowered<Self> {
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
                        // Each node has one parent, so that no walk is endless.
                        Some(&found) if found != place && !core::mem::replace(&mut has_parent[found], true) => {
                            *child = found
                        }
                        _ => return invalid("a node has a child that is not there, or is another one's"),
                    }
                }
            }
            let feature = arrays::size(of_features[place])?;
            if mode != Mode::Leaf && feature >= features {
                return invalid("a node compares a feature that is not there");
            }
            nodes.push(Node { mode, feature, threshold: thresholds[place], children });
        }
        let roots = (0..nodes.len()).filter(|&place| !has_parent[place]).collect();
        Ok(Self { nodes, roots, places })
    }

    /// For each inner node whether its comparison is true: [samples, inner nodes], and where each node's column is.
    fn comparisons(&self, context: &mut Context, x: &Tensor) -> Lowered<(Vec<usize>, Option<Tensor>)> {
        let mut columns = vec![usize::MAX; self.nodes.len()];
        let mut parts = Vec::new();
        let mut count = 0;
        for kind in [Mode::AtMost, Mode::Below, Mode::AtLeast, Mode::Above, Mode::Equal, Mode::Unequal] {
            let of_kind: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.nodes[node].mode == kind).collect();
            if of_kind.is_empty() {
                continue;
            }
            context.charge(of_kind.len().saturating_mul(4))?;
            let features: Vec<usize> = of_kind.iter().map(|&node| self.nodes[node].feature).collect();
            let limits: Vec<f32> = of_kind.iter().map(|&node| -self.nodes[node].threshold).collect();
            let chosen = context.gather(x, 1, &features)?;
            let difference = context.offset_privately(&chosen, &vector(limits))?;
            parts.push(compared(context, kind, &difference)?);
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

    /// 1 for the leaf that a sample ends in, of each tree, else 0: [samples, leaves], and the nodes that the leaves are.
    fn leaves(&self, context: &mut Context, x: &Tensor) -> Lowered<(Vec<usize>, Tensor)> {
        let (columns, bits) = self.comparisons(context, x)?;
        let mut leaves: Vec<usize> = Vec::new();
        let mut parts: Vec<Tensor> = Vec::new();
        let is_leaf = |node: usize| self.nodes[node].mode == Mode::Leaf;
        let lone: Vec<usize> = self.roots.iter().copied().filter(|&root| is_leaf(root)).collect();
        if !lone.is_empty() {
            let column = context.slice(x, 1, 0, 1)?;
            let zero = context.scale(&column, 0.0)?;
            let one = context.offset(&zero, 1.0)?;
            context.charge(lone.len())?;
            parts.push(context.gather(&one, 1, &vec![0; lone.len()])?);
            leaves.extend(lone);
        }
        // The inner nodes of a level and their indicators; those of the roots are 1 and not needed.
        let mut level: Vec<usize> = self.roots.iter().copied().filter(|&root| !is_leaf(root)).collect();
        let mut indicators: Option<Tensor> = None;
        let mut depth = 0;
        while let (false, Some(bits)) = (level.is_empty(), &bits) {
            depth += 1;
            if depth > MAX_DEPTH {
                return unsupported(format!("trees of more than {MAX_DEPTH} levels"));
            }
            let own: Vec<usize> = level.iter().map(|&node| columns[node]).collect();
            let own = context.gather(bits, 1, &own)?;
            let (yes, no) = match &indicators {
                None => {
                    let negative = context.scale(&own, -1.0)?;
                    (own.clone(), context.offset(&negative, 1.0)?)
                }
                Some(indicators) => {
                    let yes = context.multiply(&own, indicators)?;
                    (yes.clone(), context.subtract(indicators, &yes)?)
                }
            };
            let both = context.join(&[yes, no], 1)?;
            let children: Vec<usize> = [0, 1]
                .iter()
                .flat_map(|&side| level.iter().map(move |&node| (node, side)))
                .map(|(node, side)| self.nodes[node].children[side])
                .collect();
            let of = |wanted: bool| -> Vec<usize> {
                (0..children.len()).filter(|&place| is_leaf(children[place]) == wanted).collect()
            };
            let (ended, inner) = (of(true), of(false));
            if !ended.is_empty() {
                parts.push(context.gather(&both, 1, &ended)?);
                leaves.extend(ended.iter().map(|&place| children[place]));
            }
            indicators = if inner.is_empty() { None } else { Some(context.gather(&both, 1, &inner)?) };
            level = inner.iter().map(|&place| children[place]).collect();
        }
        let all = context.join(&parts, 1)?;
        Ok((leaves, all))
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
        Mode::Equal | Mode::Unequal => {
            let equal = choice::is_zero(context, difference, false)?;
            if mode == Mode::Equal { Ok(equal) } else { not(context, &equal) }
        }
        _ => {
            let opposite = context.scale(difference, -1.0)?;
            let at_most = at_least(context, &opposite)?;
            if mode == Mode::AtMost { Ok(at_most) } else { not(context, &at_most) }
        }
    }
}

/// The sums of the leaves' weights for each of `outputs`, with the base values.
fn sums(context: &mut Context, call: &Call<'_>, prefix: &str, outputs: usize) -> Lowered<Tensor> {
    let x = rows(context, call)?;
    let forest = Forest::new(call, x.shape[1])?;
    let (leaves, indicators) = forest.leaves(context, &x)?;
    let mut place_of = vec![usize::MAX; forest.nodes.len()];
    leaves.iter().enumerate().for_each(|(place, &node)| place_of[node] = place);
    let list = |name: &str| call.ints(&format!("{prefix}_{name}")).map(Option::unwrap_or_default);
    let (trees, numbers, ids) = (list("treeids")?, list("nodeids")?, list("ids")?);
    let weights = reals(call, &format!("{prefix}_weights"))?;
    if [numbers.len(), ids.len(), weights.len()].iter().any(|&length| length != trees.len()) {
        return invalid("its lists of leaves differ in length");
    }
    context.charge(outputs.saturating_mul(leaves.len()))?;
    let mut matrix = ArrayD::zeros([outputs, leaves.len()].as_slice());
    for (place, &weight) in weights.iter().enumerate() {
        let leaf = forest.places.get(&(trees[place], numbers[place])).map(|&node| place_of[node]);
        let output = arrays::size(ids[place])?;
        match leaf {
            Some(leaf) if leaf != usize::MAX && output < outputs => matrix[[output, leaf]] += weight,
            _ => return invalid("a weight is not that of a leaf and an output"),
        }
    }
    match call.string("aggregate_function", "SUM")?.as_str() {
        "SUM" => {}
        "AVERAGE" => matrix.mapv_inplace(|weight| weight / forest.roots.len() as f32),
        other => return unsupported(format!("the aggregate {other}; SUM and AVERAGE are")),
    }
    let base = reals(call, "base_values")?;
    let bias = match base.len() {
        0 => None,
        1 => Some(vec![base[0]; outputs]),
        count if count == outputs => Some(base),
        _ => return invalid("it has another number of base values than outputs"),
    };
    context.linear(&indicators, matrix, bias)
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
