//! FlexAttention of ONNX's preview domain: attention whose scores and weights the node's own graphs change.

use rten_onnx::onnx::NodeProto;

use super::{Importer, Item};
use crate::call::Call;
use crate::error::{Lowered, invalid};
use crate::rules;
use crate::value::Tensor;

/// The domain of operators that ONNX tries out.
pub(super) const PREVIEW: &str = "ai.onnx.preview";

impl<'a> Importer<'a> {
    pub(super) fn flexible_attention(&mut self, node: &'a NodeProto) -> Lowered<Vec<Item>> {
        let mut inputs = Vec::new();
        for name in &node.input {
            let value = self.value(name)?;
            inputs.push(Some(self.plain(value)?));
        }
        let call = Call { inputs, opset: self.file.opset, ..Call::of(node) };
        let (scores, values) = rules::flexible_scores(&mut self.context, &call)?;
        let scores = self.changed(node, "score_mod", scores)?;
        let weights = rules::softmax_of(&mut self.context, &scores, 3, false)?;
        let weights = self.changed(node, "prob_mod", weights)?;
        let y = self.context.matrix_product(&weights, &values)?;
        Ok([Item::Value(y.into())].into())
    }

    /// The result of the graph of that name for x, of the same shape; x itself if the node has none.
    fn changed(&mut self, node: &'a NodeProto, name: &str, x: Tensor) -> Lowered<Tensor> {
        let attribute = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
        let Some(body) = attribute.and_then(|attribute| attribute.g.as_ref()) else { return Ok(x) };
        if name == "score_mod" {
            self.scorers.push(body);
        }
        let base = self.context.base.clone();
        let shape = x.shape.clone();
        let results = self.step(body, [Item::Value(x.into())].into())?;
        self.context.base = base;
        let [Item::Value(result)] = results.as_slice() else {
            return invalid(format!("its {name} gives another number of values than one"));
        };
        if result.shape() != shape {
            return invalid(format!("its {name} changes the shape {shape:?} to {:?}", result.shape()));
        }
        let result = self.plain(result.clone())?;
        self.context.tensor_of(&result)
    }
}
