//! The tensors of a safetensors file, each of which is taken once.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use zeroize::Zeroizing;

use super::LoadError;

/// The longest number that a header may hold: sizes and offsets of 12 digits cannot overflow when they are added up.
const MAX_DIGITS: usize = 12;

pub(super) struct Tensors<'a> {
    file: SafeTensors<'a>,
    used: BTreeSet<String>,
}

impl<'a> Tensors<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        if has_long_number(header(bytes)) {
            let reason = format!("a number in the header has more than {MAX_DIGITS} digits");
            return Err(LoadError::Format { reason });
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| LoadError::Format { reason: error.to_string() })?;
        Ok(Self { file, used: BTreeSet::new() })
    }

    /// The elements of a tensor in row-major order, all finite.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Zeroizing<Vec<f64>>, LoadError> {
        let missing = |_| LoadError::Missing { name: name.to_owned(), expected: shape.to_vec() };
        let tensor = self.file.tensor(name).map_err(missing)?;
        if tensor.shape() != shape {
            let (expected, found) = (shape.to_vec(), tensor.shape().to_vec());
            return Err(LoadError::Shape { name: name.to_owned(), expected, found });
        }
        let values = decode(name, &tensor)?;
        if let Some(element) = values.iter().position(|value| !value.is_finite()) {
            return Err(LoadError::NotFinite { name: name.to_owned(), index: position(element, shape) });
        }
        self.used.insert(name.to_owned());
        Ok(values)
    }

    /// As [`take`](Self::take), or nothing if there is no tensor of that name.
    pub(super) fn take_if_there(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<Option<Zeroizing<Vec<f64>>>, LoadError> {
        if self.file.tensor(name).is_err() { Ok(None) } else { self.take(name, shape).map(Some) }
    }

    /// Lets a tensor be there or not.
    pub(super) fn pass_over(&mut self, name: &str) {
        self.used.insert(name.to_owned());
    }

    /// Whether every tensor has been taken or passed over.
    pub(super) fn check_all_used(&self) -> Result<(), LoadError> {
        let mut names = self.file.names();
        names.sort_unstable();
        match names.into_iter().find(|name| !self.used.contains(*name)) {
            Some(name) => Err(LoadError::Unknown { name: name.to_owned() }),
            None => Ok(()),
        }
    }
}

fn decode(name: &str, tensor: &TensorView<'_>) -> Result<Zeroizing<Vec<f64>>, LoadError> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F16 => Ok(elements(data, |bytes| f16::from_le_bytes(bytes).to_f64())),
        Dtype::BF16 => Ok(elements(data, |bytes| bf16::from_le_bytes(bytes).to_f64())),
        Dtype::F32 => Ok(elements(data, |bytes| f64::from(f32::from_le_bytes(bytes)))),
        Dtype::F64 => Ok(elements(data, f64::from_le_bytes)),
        other => Err(LoadError::Type { name: name.to_owned(), found: format!("{other:?}") }),
    }
}

fn elements<const N: usize>(data: &[u8], decode: impl Fn([u8; N]) -> f64) -> Zeroizing<Vec<f64>> {
    Zeroizing::new(data.as_chunks().0.iter().map(|&bytes| decode(bytes)).collect())
}

/// The index of the element at a place in row-major order.
fn position(mut element: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (entry, &size) in index.iter_mut().zip(shape).rev() {
        *entry = element % size;
        element /= size;
    }
    index
}

/// The JSON header, as far as the file has it: a length of eight bytes is in front of it.
fn header(bytes: &[u8]) -> &[u8] {
    let Some((length, rest)) = bytes.split_first_chunk() else { return &[] };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    &rest[..length.min(rest.len())]
}

/// Whether JSON text holds a number of more than [`MAX_DIGITS`] digits outside its strings.
fn has_long_number(json: &[u8]) -> bool {
    let (mut in_string, mut escaped, mut digits) = (false, false, 0);
    json.iter().any(|&byte| {
        let toggles = byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
        in_string ^= toggles;
        digits = if !in_string && byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits > MAX_DIGITS
    })
}
