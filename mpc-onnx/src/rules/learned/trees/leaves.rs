//! The leaves that a sample ends in, and what they add up to.

use std::collections::BTreeSet;

use ndarray::ArrayD;

use super::{Forest, Mode};
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::reduce;
use crate::value::{Tensor, vector};

/// The columns and weights of a tree's leaves.
type Tree = Vec<(usize, f32)>;

/// The deepest tree.
const MAX_DEPTH: usize = 64;

/// The number that a forest makes of those of its trees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Smallest,
    Largest,
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
        context.linear(&indicators, matrix, base)
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
                tree_of[place] = tree;
                match &self.nodes[place] {
                    node if node.mode == Mode::Leaf => counts[tree] += 1,
                    node => open.extend(node.children),
                }
            }
        }
        (tree_of, counts)
    }
}
