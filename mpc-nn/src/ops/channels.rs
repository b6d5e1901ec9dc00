//! The shared part of operations with an entry for each channel.

use super::prelude::*;
use super::tensors::from_elements;
use crate::graph::Channels;

/// Checks that the channels fit an input's shape.
pub(super) fn check(name: &str, input: &[usize], map: Channels) -> Result<(), GraphError> {
    let Channels { channels, inner } = map;
    let block = channels.checked_mul(inner).filter(|&block| block > 0);
    if block.is_none_or(|block| input.iter().product::<usize>() % block != 0) {
        let (left, right) = (input.to_vec(), vec![channels, inner]);
        return Err(GraphError::Mismatch { name: name.to_owned(), left, right });
    }
    Ok(())
}

/// Each element with the entry of its channel.
pub(super) fn map<'a>(
    input: &ArrayD<f32>,
    map: Channels,
    entries: impl Iterator<Item = &'a f32>,
    combine: impl Fn(f32, f32) -> f32,
) -> ArrayD<f32> {
    let entries: Vec<f32> = entries.copied().collect();
    let entry = |index: usize| entries[index / map.inner % map.channels];
    let elements = input.iter().enumerate().map(|(index, &x)| combine(x, entry(index)));
    from_elements(input.shape(), elements.collect())
}
