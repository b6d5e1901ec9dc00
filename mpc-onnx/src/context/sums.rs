//! Sums and means over axes.

use mpc_protocols::function::Function;

use super::norms::Fold;
use super::{Context, Origin, reduced};
use crate::error::Lowered;
use crate::value::Tensor;

impl Context {
    /// The sum over axes, which stay with size 1.
    pub(crate) fn sum(&mut self, x: &Tensor, axes: &[usize]) -> Lowered<Tensor> {
        let axes: Vec<usize> = axes.iter().copied().filter(|&axis| x.shape[axis] > 1).collect();
        if axes.is_empty() {
            return Ok(x.clone());
        }
        let source = self.source(x);
        if source.id != x.id && axes.iter().all(|&axis| source.shape[axis] == x.shape[axis]) {
            let y = self.sum(&source, &axes)?;
            return self.expand(&y, &reduced(&x.shape, &axes));
        }
        let y = self.emit("sum", &reduced(&x.shape, &axes), |builder, name| builder.sum(name, x.id, &axes))?;
        self.note_reduction(&y, x, &axes, Fold::Sum);
        if let Some(Origin::Function(source, Function::Exp)) = self.origin(x.id) {
            self.note(y.id, Origin::SumOfExponentials);
            self.exponents.insert(y.id, (x.with_id(source), axes));
        }
        Ok(y)
    }

    /// The mean over axes, which stay with size 1.
    pub(crate) fn mean(&mut self, x: &Tensor, axes: &[usize]) -> Lowered<Tensor> {
        let axes: Vec<usize> = axes.iter().copied().filter(|&axis| x.shape[axis] > 1).collect();
        if axes.is_empty() {
            return Ok(x.clone());
        }
        let y = self.emit("mean", &reduced(&x.shape, &axes), |builder, name| builder.mean(name, x.id, &axes))?;
        self.note_reduction(&y, x, &axes, Fold::Mean);
        Ok(y)
    }
}
