//! Layers with weights, and products of matrices.

use mpc_nn::{ConvolutionOptions, GraphBuilder, Pool};
use ndarray::ArrayD;

use super::Context;
use crate::arrays;
use crate::error::{Lowered, invalid};
use crate::value::{Tensor, vector};

impl Context {
    /// A linear layer on the last axis, with a weight of shape [outputs, inputs].
    pub(crate) fn linear(&mut self, x: &Tensor, weight: ArrayD<f32>, bias: Option<Vec<f32>>) -> Lowered<Tensor> {
        let name = self.name("");
        self.linear_named(&name, x, weight, bias, None)
    }

    /// [`linear`](Self::linear) under a name, with parameters that it may share with other nodes.
    pub(crate) fn linear_named(
        &mut self,
        name: &str,
        x: &Tensor,
        weight: ArrayD<f32>,
        bias: Option<Vec<f32>>,
        tied: Option<&str>,
    ) -> Lowered<Tensor> {
        let (&[outputs, inputs], Some((&last, outer))) = (weight.shape(), x.shape.split_last()) else {
            return invalid("its weight is not a matrix");
        };
        if inputs != last {
            return invalid(format!("rows of {last} elements do not fit a weight of shape {:?}", weight.shape()));
        }
        let rows = self.reshape(x, &[outer.iter().product(), inputs])?;
        let shape = [rows.shape[0], outputs];
        let has_bias = bias.is_some();
        let y = self.emit_named(name, &shape, |builder, name| match tied {
            Some(parameters) => builder.linear_tied(name, rows.id, outputs, has_bias, parameters),
            None => builder.linear(name, rows.id, outputs, has_bias),
        })?;
        let parameters = tied.unwrap_or(name);
        if !self.weights.0.contains_key(&format!("{parameters}.weight")) {
            self.weight(format!("{parameters}.weight"), weight)?;
            if let Some(bias) = bias {
                self.weight(format!("{parameters}.bias"), vector(bias))?;
            }
        }
        let shape: Vec<usize> = outer.iter().copied().chain([outputs]).collect();
        self.reshape(&y, &shape)
    }

    /// A convolution of [b, c, h, w].
    pub(crate) fn convolution(
        &mut self,
        x: &Tensor,
        weight: ArrayD<f32>,
        bias: Option<Vec<f32>>,
        options: ConvolutionOptions,
    ) -> Lowered<Tensor> {
        let options = ConvolutionOptions { bias: bias.is_some(), ..options };
        let name = self.name("");
        let mut y = self.emit_named(&name, &[], |builder, name| builder.convolution(name, x.id, options))?;
        y.shape = self.builder.shape(y.id)?.to_vec();
        self.weight(format!("{name}.weight"), weight)?;
        if let Some(bias) = bias {
            self.weight(format!("{name}.bias"), vector(bias))?;
        }
        Ok(y)
    }

    pub(crate) fn max_pool(&mut self, x: &Tensor, pool: Pool) -> Lowered<Tensor> {
        let mut y = self.emit("max_pool", &[], |builder, name| builder.max_pool(name, x.id, pool))?;
        y.shape = self.builder.shape(y.id)?.to_vec();
        Ok(y)
    }

    pub(crate) fn average_pool(&mut self, x: &Tensor, pool: Pool) -> Lowered<Tensor> {
        let mut y = self.emit("average_pool", &[], |builder, name| builder.average_pool(name, x.id, pool))?;
        y.shape = self.builder.shape(y.id)?.to_vec();
        Ok(y)
    }

    /// The public linear map with these coefficients along an axis.
    pub(crate) fn combine(&mut self, x: &Tensor, axis: usize, rows: &[Vec<(usize, f32)>]) -> Lowered<Tensor> {
        if rows.iter().all(|row| matches!(row.as_slice(), [(_, 1.0)])) {
            let indices: Vec<usize> = rows.iter().map(|row| row[0].0).collect();
            return self.gather(x, axis, &indices);
        }
        self.charge(rows.iter().map(Vec::len).sum())?;
        let mut shape = x.shape.clone();
        shape[axis] = rows.len();
        self.emit("combine", &shape, |builder, name| builder.combine(name, x.id, axis, rows))
    }

    /// Running sums along an axis.
    pub(crate) fn cumulative_sum(
        &mut self,
        x: &Tensor,
        axis: usize,
        exclusive: bool,
        reverse: bool,
    ) -> Lowered<Tensor> {
        let make =
            |builder: &mut GraphBuilder, name: &str| builder.cumulative_sum(name, x.id, axis, exclusive, reverse);
        self.emit("cumulative_sum", &x.shape, make)
    }

    /// The largest element of the last axis, which stays with size 1.
    pub(crate) fn maximum_of_last(&mut self, x: &Tensor) -> Lowered<Tensor> {
        let Some((&last, outer)) = x.shape.split_last() else { return Ok(x.clone()) };
        let flat = self.reshape(x, &[outer.iter().product(), 1, 1, last])?;
        let y = if last == 1 { flat } else { self.max_pool(&flat, Pool::new([1, last]))? };
        let shape: Vec<usize> = outer.iter().copied().chain([1]).collect();
        self.reshape(&y, &shape)
    }

    /// max(x, y) = y + relu(x − y), with broadcasting.
    pub(crate) fn maximum(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
        let difference = self.subtract(x, y)?;
        let positive = self.relu(&difference)?;
        self.add(y, &positive)
    }

    /// Products of matrices in the last two axes, both private, with the other axes broadcast.
    pub(crate) fn matrix_product(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
        let (x_outer, [rows, inner]) = split_matrix(&x.shape)?;
        let (y_outer, [y_inner, columns]) = split_matrix(&y.shape)?;
        if inner != y_inner {
            return invalid(format!("shapes {:?} and {:?} are not those of a matrix product", x.shape, y.shape));
        }
        let outer = arrays::broadcast_shape(x_outer, y_outer)?;
        let with = |tail: [usize; 2]| -> Vec<usize> { outer.iter().copied().chain(tail).collect() };
        // One right factor for all: the left factors are rows of one matrix.
        let (batch, rows_at_once) = if y_outer.iter().all(|&size| size == 1) {
            (1, x_outer.iter().product::<usize>() * rows)
        } else {
            (outer.iter().product(), rows)
        };
        let x = if batch == 1 { x.clone() } else { self.expand(x, &with([rows, inner]))? };
        let y = if batch == 1 { y.clone() } else { self.expand(y, &with([inner, columns]))? };
        let x = self.reshape(&x, &[batch, rows_at_once, inner])?;
        let y = self.reshape(&y, &[batch, inner, columns])?;
        let shape = [batch, rows_at_once, columns];
        let product = self.emit("product", &shape, |builder, name| builder.matrix_product(name, x.id, y.id))?;
        self.reshape(&product, &with([rows, columns]))
    }
}

/// The last two axes apart from the others.
fn split_matrix(shape: &[usize]) -> Lowered<(&[usize], [usize; 2])> {
    match shape.split_last_chunk::<2>() {
        Some((outer, &matrix)) => Ok((outer, matrix)),
        None => invalid("a factor has fewer than two axes"),
    }
}
