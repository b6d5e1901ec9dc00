use num_traits::Float;

/// The parameters of a batch normalisation y = (x − mean)·scale/√(variance + epsilon) + shift, by channel.
pub struct BatchNorm<'a> {
    /// γ, PyTorch's `weight`.
    pub scale: &'a [f64],
    /// β, PyTorch's `bias`.
    pub shift: &'a [f64],
    /// PyTorch's `running_mean`.
    pub mean: &'a [f64],
    /// PyTorch's `running_var`.
    pub variance: &'a [f64],
    /// The number added to the variance, 10⁻⁵ in PyTorch.
    pub epsilon: f64,
}

/// Why a batch normalisation could not be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Vectors of different lengths, or weights that they do not divide.
    #[error("batch normalisation and layer have different numbers of channels; use those that belong together")]
    Lengths,
    /// A variance that is negative or NaN, or that is 0 together with epsilon.
    #[error("the variance of channel {channel} is negative or not a number; export the model again")]
    Variance {
        /// The first such channel.
        channel: usize,
    },
}

/// Makes a batch normalisation part of the convolution or linear layer in front of it.
///
/// `weight` is in row-major order with the output channels first, `bias` has an element for each (0 where the layer had
/// none): w' = w·γ/√(v + ε), b' = β + (b − μ)·γ/√(v + ε).
///
/// ```
/// use mpc_models::{BatchNorm, FoldError, fold_batch_norm};
/// let norm = BatchNorm { scale: &[3.0], shift: &[0.5], mean: &[2.0], variance: &[2.25], epsilon: 0.0 };
/// let (mut weight, mut bias) = ([1.0, -2.0], [0.0]);
/// fold_batch_norm(&mut weight, &mut bias, &norm)?;
/// assert_eq!((weight, bias), ([2.0, -4.0], [-3.5]));
/// # Ok::<(), FoldError>(())
/// ```
///
/// # Errors
/// Lengths that do not fit together, a variance that has no positive root; `weight` and `bias` are unchanged then.
pub fn fold_batch_norm(weight: &mut [f64], bias: &mut [f64], norm: &BatchNorm<'_>) -> Result<(), FoldError> {
    let channels = bias.len();
    let vectors = [norm.scale, norm.shift, norm.mean, norm.variance];
    if vectors.iter().any(|vector| vector.len() != channels) || weight.len().checked_rem(channels) != Some(0) {
        return Err(FoldError::Lengths);
    }
    let is_positive = |&variance: &f64| variance >= 0.0 && variance + norm.epsilon > 0.0;
    if let Some(channel) = norm.variance.iter().position(|variance| !is_positive(variance)) {
        return Err(FoldError::Variance { channel });
    }
    let filter = weight.len() / channels;
    for channel in 0..channels {
        let factor = norm.scale[channel] / Float::sqrt(norm.variance[channel] + norm.epsilon);
        weight[channel * filter..(channel + 1) * filter].iter_mut().for_each(|w| *w *= factor);
        bias[channel] = norm.shift[channel] + (bias[channel] - norm.mean[channel]) * factor;
    }
    Ok(())
}
