//! The leaves that a sample ends in, and what they add up to.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::ArrayD;

use super::{Forest, Mode};
use crate::context::{Context, Whole};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::{choice, reduce};
use crate::value::{Tensor, vector};

/// The columns and weights of a tree's leaves.
type Tree = Vec<(usize, f32)>;

/// The deepest tree.
const MAX_DEPTH: usize = 256;

/// The number that a forest makes of those of its trees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Smallest,
    Largest,
}

/// A way to a node: the column of 1s and 0s that says which samples take it.
struct Way {
    to: usize,
    from: Tensor,
    column: usize,
}

/// The nodes that ways lead to, each once, and which samples arrive there: those of any of its ways, of which a sample takes one
/// at most.
fn arrived(context: &mut Context, ways: &[Way]) -> Lowered<(Vec<usize>, Tensor)> {
    let mut parts = Vec::new();
    for of_one in ways.chunk_by(|left, right| left.from.id == right.from.id) {
        let columns: Vec<usize> = of_one.iter().map(|way| way.column).collect();
        parts.push(context.gather(&of_one[0].from, 1, &columns)?);
    }
    let all = context.join(&parts, 1)?;
    let mut nodes: Vec<usize> = Vec::new();
    let mut rows: Vec<Vec<(usize, f32)>> = Vec::new();
    let mut places = BTreeMap::new();
    for (column, way) in ways.iter().enumerate() {
        let place = *places.entry(way.to).or_insert_with(|| {
            nodes.push(way.to);
            rows.push(Vec::new());
            nodes.len() - 1
        });
        rows[place].push((column, 1.0));
    }
    Ok((nodes, context.combine(&all, 1, &rows)?))
}

/// Which samples are at each node and go where its comparison is true, then which go where it is false; all are at nodes without
/// indicators.
fn both_ways(context: &mut Context, bits: &Tensor, indicators: Option<&Tensor>) -> Lowered<Tensor> {
    let (yes, no) = match indicators {
        None => {
            let negative = context.scale(bits, -1.0)?;
            (bits.clone(), context.offset(&negative, 1.0)?)
        }
        Some(indicators) => {
            let yes = context.multiply(bits, indicators)?;
            (yes.clone(), context.subtract(indicators, &yes)?)
        }
    };
    context.join(&[yes, no], 1)
}

impl Forest {
    /// 1 for the leaf that a sample ends in, of each tree, else 0: [samples, leaves], and the nodes that the leaves are.
    fn ends(&self, context: &mut Context, x: &Tensor) -> Lowered<(Vec<usize>, Tensor)> {
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
        let levels = self.levels()?;
        // The ways to nodes that are not looked at yet.
        let mut ways: Vec<Way> = Vec::new();
        let deepest = levels.iter().copied().filter(|&level| level != usize::MAX).max().unwrap_or(0);
        for depth in 0..=deepest {
            let Some(bits) = &bits else { break };
            let (here, later): (Vec<Way>, Vec<Way>) =
                ways.into_iter().partition(|way| levels[way.to] == depth && !is_leaf(way.to));
            ways = later;
            let (level, indicators) = if depth == 0 {
                (self.roots.iter().copied().filter(|&root| !is_leaf(root)).collect(), None)
            } else if here.is_empty() {
                continue;
            } else {
                let (nodes, indicators) = arrived(context, &here)?;
                (nodes, Some(indicators))
            };
            if level.is_empty() {
                continue;
            }
            let own: Vec<usize> = level.iter().map(|&node| columns[node]).collect();
            let own = context.gather(bits, 1, &own)?;
            let both = both_ways(context, &own, indicators.as_ref())?;
            let children = [0, 1].iter().flat_map(|&side| level.iter().map(move |&node| (node, side)));
            let children = children.map(|(node, side)| self.nodes[node].children[side]);
            ways.extend(children.enumerate().map(|(column, to)| Way { to, from: both.clone(), column }));
        }
        if !ways.is_empty() {
            let (ended, indicators) = arrived(context, &ways)?;
            parts.push(indicators);
            leaves.extend(ended);
        }
        let all = context.join(&parts, 1)?;
        Ok((leaves, all))
    }

    /// The longest way from a root to each node; `usize::MAX` for one that none leads to.
    fn levels(&self) -> Lowered<Vec<usize>> {
        let mut levels = vec![usize::MAX; self.nodes.len()];
        let mut parents = vec![0; self.nodes.len()];
        let (trees, _) = self.members();
        let reached = |node: &usize| trees[*node] != usize::MAX;
        let is_inner = |node: &usize| self.nodes[*node].mode != Mode::Leaf;
        for node in (0..self.nodes.len()).filter(reached).filter(is_inner) {
            self.nodes[node].children.iter().for_each(|&child| parents[child] += 1);
        }
        let mut open = self.roots.clone();
        open.iter().for_each(|&root| levels[root] = 0);
        let mut count = open.len();
        while let Some(node) = open.pop().filter(|&node| levels[node] <= MAX_DEPTH) {
            for &child in self.nodes[node].children.iter().filter(|_| is_inner(&node)) {
                let known = if levels[child] == usize::MAX { 0 } else { levels[child] };
                levels[child] = known.max(levels[node] + 1);
                parents[child] -= 1;
                if parents[child] == 0 {
                    open.push(child);
                    count += 1;
                }
            }
        }
        if levels.iter().any(|&level| level != usize::MAX && level > MAX_DEPTH) {
            return unsupported(format!("trees of more than {MAX_DEPTH} levels"));
        }
        // A node of a circle waits for itself.
        if count < trees.iter().filter(|&&tree| tree != usize::MAX).count() {
            return invalid("a node of a tree is below itself");
        }
        Ok(levels)
    }

    /// The aggregate of the leaves' weights for each of `outputs`, with what is added to it.
    pub(super) fn aggregated(
        &self,
        context: &mut Context,
        x: &Tensor,
        outputs: usize,
        aggregate: Aggregate,
        base: Option<Vec<f32>>,
    ) -> Lowered<Tensor> {
        if self.roots.is_empty() {
            return invalid("it has no tree");
        }
        let (ends, indicators) = self.ends(context, x)?;
        let mut columns = vec![usize::MAX; self.nodes.len()];
        ends.iter().enumerate().for_each(|(column, &node)| columns[node] = column);
        if self.leaves.iter().any(|leaf| columns[leaf.node] == usize::MAX || leaf.output >= outputs) {
            return invalid("a weight is not that of a leaf and an output");
        }
        let divisor = match aggregate {
            Aggregate::Sum => 1.0,
            Aggregate::Average => self.roots.len() as f32,
            Aggregate::Largest => return self.extreme(context, &indicators, &columns, outputs, 1.0, base),
            Aggregate::Smallest => return self.extreme(context, &indicators, &columns, outputs, -1.0, base),
        };
        context.charge(outputs.saturating_mul(ends.len()))?;
        let mut matrix = ArrayD::zeros([outputs, ends.len()].as_slice());
        for leaf in &self.leaves {
            matrix[[leaf.output, columns[leaf.node]]] += leaf.weight / divisor;
        }
        let is_whole = choice::are_whole(&matrix) && base.iter().flatten().all(|value| value.fract() == 0.0);
        let y = context.linear(&indicators, matrix, base)?;
        if is_whole {
            // As the numbers of leaves.
            context.note_whole(y.id, Whole::Integer);
        }
        Ok(y)
    }

    /// The largest number of the trees for each output, or with a sign of −1 the smallest.
    fn extreme(
        &self,
        context: &mut Context,
        indicators: &Tensor,
        columns: &[usize],
        outputs: usize,
        sign: f32,
        base: Option<Vec<f32>>,
    ) -> Lowered<Tensor> {
        context.charge(outputs.saturating_mul(self.roots.len()))?;
        let rows = self.trees_of(columns, outputs)?;
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let (samples, ends) = (indicators.shape[0], indicators.shape[1]);
        context.charge(outputs.saturating_mul(count).saturating_mul(ends))?;
        let mut matrix = ArrayD::zeros([outputs * count, ends].as_slice());
        for (output, trees) in rows.iter().enumerate() {
            // An output of fewer trees has some of them again, which changes no extreme.
            for (place, tree) in trees.iter().cycle().take(count).enumerate() {
                for &(column, weight) in tree {
                    matrix[[output * count + place, column]] = sign * weight;
                }
            }
        }
        let values = context.linear(indicators, matrix, None)?;
        let values = context.reshape(&values, &[samples, outputs, count])?;
        let largest = reduce::maximum(context, &values, &[2])?;
        let largest = context.reshape(&largest, &[samples, outputs])?;
        let y = context.scale(&largest, sign)?;
        base.map_or(Ok(y.clone()), |base| context.offset_privately(&y, &vector(base)))
    }

    /// For each output the trees that give it a number, each with its leaves' columns and weights.
    fn trees_of(&self, columns: &[usize], outputs: usize) -> Lowered<Vec<Vec<Tree>>> {
        let (tree_of, leaf_counts) = self.members();
        let mut rows = vec![vec![Tree::new(); self.roots.len()]; outputs];
        let mut seen = BTreeSet::new();
        for leaf in &self.leaves {
            if !seen.insert((leaf.node, leaf.output)) {
                return unsupported("the smallest or largest of a leaf with two weights for one output");
            }
            rows[leaf.output][tree_of[leaf.node]].push((columns[leaf.node], leaf.weight));
        }
        for trees in &mut rows {
            if trees.iter().zip(&leaf_counts).any(|(tree, &count)| !tree.is_empty() && tree.len() != count) {
                return unsupported(
                    "the smallest or largest of trees that give an output a number at some leaves only",
                );
            }
            trees.retain(|tree| !tree.is_empty());
            if trees.is_empty() {
                return unsupported("the smallest or largest for an output that no tree gives a number");
            }
        }
        Ok(rows)
    }

    /// The tree of each node that one has, and the number of each tree's leaves.
    pub(super) fn members(&self) -> (Vec<usize>, Vec<usize>) {
        let mut tree_of = vec![usize::MAX; self.nodes.len()];
        let mut counts = vec![0; self.roots.len()];
        for (tree, &root) in self.roots.iter().enumerate() {
            let mut open = vec![root];
            while let Some(place) = open.pop() {
                if core::mem::replace(&mut tree_of[place], tree) != usize::MAX {
                    continue;
                }
                match &self.nodes[place] {
                    node if node.mode == Mode::Leaf => counts[tree] += 1,
                    node => open.extend(node.children),
                }
            }
        }
        (tree_of, counts)
    }
}
