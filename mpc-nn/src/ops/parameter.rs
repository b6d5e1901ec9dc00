//! A tensor that the model owner provides and that enters as a value.

use super::prelude::*;
use super::tensors::copy;

impl GraphBuilder {
    /// A tensor of the model owner's, the parameter `{name}.value`.
    ///
    /// # Errors
    /// A shape without elements or with too many; a name that is taken.
    pub fn parameter(&mut self, name: &str, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.push(name, Op::Parameter, vec![], shape.to_vec())
    }
}

pub(super) struct Parameter;

impl Operation for Parameter {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        builder.parameter(node.name(), node.shape())
    }

    fn parameters(&self, node: &Node) -> Vec<(ParameterKind, Vec<usize>)> {
        vec![(ParameterKind::Value, node.shape().to_vec())]
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.value().clone()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let name = node.value_name().unwrap_or_default();
        let constant = walk.shared_constant(name, node.len(), walk.settings.fractional_bits, 1.0);
        Ok((Action::Constant { constant }, walk.single()))
    }
}

pub(super) struct ConstantStep {
    pub(super) constant: usize,
}

impl Local for ConstantStep {
    const KIND: &'static str = "constant";

    fn apply<R: Ring>(&self, x: &Operands<'_, R>, shape: &[usize]) -> Result<ArithmeticShares<R>, Failure> {
        Ok(copy(x.constant(self.constant)?).reshape(shape)?)
    }
}
