//! Operations on tensors of any rank.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use mpc_protocols::function::Function;

use super::GraphBuilder;
use crate::graph::{Channels, GraphError, NodeId, Op, shape};
use crate::weights::MAX_WEIGHT;

impl GraphBuilder {
    /// A tensor of the model owner's, the parameter `{name}.value`.
    ///
    /// # Errors
    /// A shape without elements or with too many; a name that is taken.
    pub fn parameter(&mut self, name: &str, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.push(name, Op::Parameter, vec![], shape.to_vec())
    }

    /// x ⊙ w with a private w: element i times entry (i / inner) mod channels of the parameter `{name}.weight`.
    ///
    /// # Errors
    /// `channels`·`inner` that does not divide the number of elements; a name that is taken.
    pub fn scale_channels(
        &mut self,
        name: &str,
        input: NodeId,
        channels: usize,
        inner: usize,
    ) -> Result<NodeId, GraphError> {
        self.channelwise(name, input, Channels { channels, inner }, Op::ScaleChannels)
    }

    /// x + b with a private b: element i plus entry (i / inner) mod channels of the parameter `{name}.bias`.
    ///
    /// # Errors
    /// `channels`·`inner` that does not divide the number of elements; a name that is taken.
    pub fn offset_channels(
        &mut self,
        name: &str,
        input: NodeId,
        channels: usize,
        inner: usize,
    ) -> Result<NodeId, GraphError> {
        self.channelwise(name, input, Channels { channels, inner }, Op::OffsetChannels)
    }

    fn channelwise(
        &mut self,
        name: &str,
        input: NodeId,
        map: Channels,
        op: impl Fn(Channels) -> Op,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?.to_vec();
        let Channels { channels, inner } = map;
        let block = channels.checked_mul(inner).filter(|&block| block > 0);
        if block.is_none_or(|block| shape.iter().product::<usize>() % block != 0) {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: shape, right: vec![channels, inner] });
        }
        self.push(name, op(map), vec![input], shape)
    }

    /// A function of each element.
    ///
    /// # Errors
    /// A parameter of the function that is NaN; a name that is taken.
    pub fn function(&mut self, name: &str, input: NodeId, function: Function) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?.to_vec();
        self.push(name, Op::Function(function), vec![input], shape)
    }

    /// The sum over axes, which stay with size 1.
    ///
    /// # Errors
    /// An axis that is not there or named twice; a name that is taken.
    pub fn sum(&mut self, name: &str, input: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let shape = shape::reduce(name, self.shape_for(name, input)?, axes)?;
        self.push(name, Op::Sum { axes: axes.to_vec() }, vec![input], shape)
    }

    /// The mean over axes, which stay with size 1.
    ///
    /// # Errors
    /// An axis that is not there or named twice; a name that is taken.
    pub fn mean(&mut self, name: &str, input: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let shape = shape::reduce(name, self.shape_for(name, input)?, axes)?;
        self.push(name, Op::Mean { axes: axes.to_vec() }, vec![input], shape)
    }

    /// The index of the largest element along the last axis, the first of equal ones: [.., n] → [.., 1].
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn arg_max(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?;
        let shape = shape::reduce(name, shape, &[shape.len() - 1])?;
        self.push(name, Op::ArgMax, vec![input], shape)
    }

    /// The `count` largest elements along the last axis in falling order, the first of equal ones in front, and their
    /// indices: [.., n] → [.., count] each. The index is only revealed, as an output.
    ///
    /// Adds three nodes: `{name}/rank`, `{name}/values`, `{name}/indices`.
    ///
    /// # Errors
    /// A `count` of 0 or beyond the last axis; names that are taken.
    pub fn top_k(&mut self, name: &str, input: NodeId, count: usize) -> Result<[NodeId; 2], GraphError> {
        let rank = self.rank(&format!("{name}/rank"), input, count)?;
        let values = self.ranked(&format!("{name}/values"), Op::RankedValue, rank, input)?;
        Ok([values, self.ranked(&format!("{name}/indices"), Op::RankedIndex, rank, input)?])
    }

    pub(in crate::graph) fn rank(&mut self, name: &str, input: NodeId, count: usize) -> Result<NodeId, GraphError> {
        let mut shape = self.shape_for(name, input)?.to_vec();
        let axis = shape.len() - 1;
        if count == 0 || count > shape[axis] {
            return Err(GraphError::Bounds { name: name.to_owned(), axis, shape });
        }
        shape[axis] = count;
        self.push(name, Op::Rank { count }, vec![input], shape)
    }

    pub(in crate::graph) fn ranked(
        &mut self,
        name: &str,
        op: Op,
        rank: NodeId,
        input: NodeId,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, rank)?.to_vec();
        let node = &self.nodes[rank.index()];
        if !matches!(node.op(), Op::Rank { .. }) || node.inputs() != [input] {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: shape, right: vec![] });
        }
        self.push(name, op, vec![rank, input], shape)
    }

    /// The product of two tensors. The second has the shape of the first, or fewer elements: then element j of it
    /// multiplies the j-th of equal blocks of the first, as if trailing axes of size 1 were repeated.
    ///
    /// # Errors
    /// Shapes that do not fit together; a name that is taken.
    pub fn multiply(&mut self, name: &str, left: NodeId, right: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, left)?.to_vec();
        let other = self.shape_for(name, right)?.to_vec();
        if shape.iter().product::<usize>() % other.iter().product::<usize>() != 0 {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: shape, right: other });
        }
        self.push(name, Op::Multiply, vec![left, right], shape)
    }

    /// x² for each element.
    ///
    /// # Errors
    /// An unknown input; a name that is taken.
    pub fn square(&mut self, name: &str, input: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape_for(name, input)?.to_vec();
        self.push(name, Op::Square, vec![input], shape)
    }

    /// Products of matrices, both secret: [batch, rows, inner] × [batch, inner, columns].
    ///
    /// # Errors
    /// Another number of axes, sizes that do not fit together; a name that is taken.
    pub fn matrix_product(&mut self, name: &str, left: NodeId, right: NodeId) -> Result<NodeId, GraphError> {
        let [batch, rows, inner] = shape::axes(name, self.shape_for(name, left)?)?;
        let [right_batch, right_inner, columns] = shape::axes(name, self.shape_for(name, right)?)?;
        if batch != right_batch || inner != right_inner {
            let (left, right) = (vec![batch, rows, inner], vec![right_batch, right_inner, columns]);
            return Err(GraphError::Mismatch { name: name.to_owned(), left, right });
        }
        self.push(name, Op::MatrixProduct, vec![left, right], vec![batch, rows, columns])
    }

    /// x·factor with a public factor.
    ///
    /// # Errors
    /// A factor that is not finite or larger than 2^15 in magnitude; a name that is taken.
    pub fn scale(&mut self, name: &str, input: NodeId, factor: f32) -> Result<NodeId, GraphError> {
        check_coefficients(name, &[factor])?;
        let shape = self.shape_for(name, input)?.to_vec();
        self.push(name, Op::Scale { factor }, vec![input], shape)
    }

    /// x + value with a public value.
    ///
    /// # Errors
    /// A value that is not finite or larger than 2^15 in magnitude; a name that is taken.
    pub fn offset(&mut self, name: &str, input: NodeId, value: f32) -> Result<NodeId, GraphError> {
        check_coefficients(name, &[value])?;
        let shape = self.shape_for(name, input)?.to_vec();
        self.push(name, Op::Offset { value }, vec![input], shape)
    }

    /// A public linear map along an axis: position i of the result is the sum over `rows[i]` of coefficient times the
    /// input's position. For interpolation.
    ///
    /// # Errors
    /// An axis or a position that is not there, a coefficient that is not finite or larger than 2^15 in magnitude, no
    /// rows or more coefficients than a tensor may have elements; a name that is taken.
    pub fn combine(
        &mut self,
        name: &str,
        input: NodeId,
        axis: usize,
        rows: &[Vec<(usize, f32)>],
    ) -> Result<NodeId, GraphError> {
        for row in rows {
            let coefficients: Vec<f32> = row.iter().map(|&(_, coefficient)| coefficient).collect();
            check_coefficients(name, &coefficients)?;
        }
        let positions = rows.iter().flatten().map(|&(position, _)| position);
        let shape = shape::gather(name, self.shape_for(name, input)?, axis, rows.len(), positions)?;
        self.push(name, Op::Combine { axis, rows: rows.to_vec() }, vec![input], shape)
    }

    /// The same elements, in row-major order, in another shape.
    ///
    /// # Errors
    /// Another number of elements; a name that is taken.
    pub fn reshape(&mut self, name: &str, input: NodeId, shape: &[usize]) -> Result<NodeId, GraphError> {
        let from = self.shape_for(name, input)?.to_vec();
        shape::check(name, shape)?;
        if from.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(GraphError::Mismatch { name: name.to_owned(), left: from, right: shape.to_vec() });
        }
        self.push(name, Op::Reshape, vec![input], shape.to_vec())
    }

    /// The axes in another order: axis i of the result is axis `permutation[i]` of the input.
    ///
    /// # Errors
    /// What is not a permutation of the axes; a name that is taken.
    pub fn transpose(&mut self, name: &str, input: NodeId, permutation: &[usize]) -> Result<NodeId, GraphError> {
        let shape = shape::transpose(name, self.shape_for(name, input)?, permutation)?;
        self.push(name, Op::Transpose { permutation: permutation.to_vec() }, vec![input], shape)
    }

    /// Positions along an axis, which may repeat and be in any order.
    ///
    /// # Errors
    /// An axis or a position that is not there, no positions; a name that is taken.
    pub fn gather(&mut self, name: &str, input: NodeId, axis: usize, indices: &[usize]) -> Result<NodeId, GraphError> {
        let positions = indices.iter().copied();
        let shape = shape::gather(name, self.shape_for(name, input)?, axis, indices.len(), positions)?;
        self.push(name, Op::Gather { axis, indices: indices.to_vec() }, vec![input], shape)
    }
}

fn check_coefficients(name: &str, coefficients: &[f32]) -> Result<(), GraphError> {
    // A comparison with NaN is false.
    if coefficients.iter().all(|value| value.abs() <= MAX_WEIGHT) {
        Ok(())
    } else {
        Err(GraphError::Coefficient { name: name.to_owned() })
    }
}
