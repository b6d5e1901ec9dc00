//! A batch normalisation that the layer before it takes up.

use ndarray::ArrayD;

use crate::error::{Lowered, Problem, invalid};
use crate::value::Constant;

/// A batch normalisation as y = scale·x + shift for each channel.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) scale: Constant,
    pub(crate) shift: Constant,
}

impl Norm {
    /// Scales a weight, whose element belongs to the output channel `channel(place, shape)`, and gives the new bias.
    pub(crate) fn fold(
        &self,
        weight: &mut ArrayD<f32>,
        bias: Option<Vec<f32>>,
        channel: impl Fn(usize, &[usize]) -> usize,
    ) -> Lowered<Vec<f32>> {
        let (scale, shift) = (self.scale.array(), self.shift.array());
        let shape = weight.shape().to_vec();
        for (place, element) in weight.iter_mut().enumerate() {
            let Some(factor) = scale.get([channel(place, &shape)].as_slice()) else {
                return Err(Problem::Invalid(
                    "the batch normalisation behind it has another number of channels".into(),
                ));
            };
            *element *= factor;
        }
        let old = bias.unwrap_or_else(|| vec![0.0; scale.len()]);
        if old.len() != scale.len() {
            return invalid("the batch normalisation behind it has another number of channels");
        }
        Ok(old.iter().zip(scale.iter().zip(shift)).map(|(old, (scale, shift))| old * scale + shift).collect())
    }
}
