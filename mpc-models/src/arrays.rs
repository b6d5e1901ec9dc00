//! Tensors from files: `.npy` and `.npz`, and what goes back as `.npy`.

use std::io::{Cursor, Read};
use std::string::{String, ToString};
use std::vec::Vec;

use half::f16;
use mpc_nn::graph::MAX_ELEMENTS;
use mpc_nn::weights;
use ndarray::{ArrayD, Dimension};
use ndarray_npy::{ReadableElement, WriteNpyExt};
use num_traits::AsPrimitive;
use zeroize::{Zeroize, Zeroizing};

use crate::npy::{NpyError, descriptor, read};

/// The largest member of an archive that is unpacked: a tensor of as many elements as a graph allows, and its header.
const MAX_MEMBER: u64 = 8 * MAX_ELEMENTS as u64 + 4096;

/// By how many times deflate makes bytes smaller at most.
const MOST_TIMES: u64 = 1032;

/// Why there is no tensor of that name in an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A file that is not `.npz`, or is damaged.
    #[error("not an .npz file: {reason}; write it with numpy.savez")]
    Format {
        /// The fault.
        reason: String,
    },
    /// An archive with several tensors, none of which was asked for.
    #[error("the .npz file has no tensor `{name}`, but {found:?}; name one of them")]
    Missing {
        /// The name.
        name: String,
        /// The names that there are.
        found: Vec<String>,
    },
    /// A tensor that is not what it should be.
    #[error("tensor `{name}`: {error}")]
    Tensor {
        /// The name.
        name: String,
        /// The fault.
        #[source]
        error: NpyError,
    },
}

/// A tensor of real numbers from the bytes of an `.npy` file, as `f32` and in row-major order: of `float16`, `float32`,
/// `float64`, `bool` or integers of any size, in either order of their bytes.
///
/// ```
/// use mpc_models::arrays::{read_npy, write_npy};
/// use ndarray::array;
/// let tensor = array![[1.5f32, -2.0]].into_dyn();
/// assert_eq!(read_npy(&write_npy(&tensor))?, tensor);
/// # Ok::<(), mpc_models::NpyError>(())
/// ```
///
/// # Errors
/// A file that is damaged or holds another type, more than 2^28 elements, or an element that is NaN or infinite.
pub fn read_npy(bytes: &[u8]) -> Result<ArrayD<f32>, NpyError> {
    let array = match descriptor(bytes)?.as_str() {
        "<f4" | ">f4" => read_as::<f32>(bytes, "float32", &["<f4", ">f4"])?,
        "<f8" | ">f8" => read_as::<f64>(bytes, "float64", &["<f8", ">f8"])?,
        "<f2" => read_halves(bytes, b"<f2", b"<u2")?,
        ">f2" => read_halves(bytes, b">f2", b">u2")?,
        "<i8" | ">i8" => read_as::<i64>(bytes, "int64", &["<i8", ">i8"])?,
        "<i4" | ">i4" => read_as::<i32>(bytes, "int32", &["<i4", ">i4"])?,
        "<i2" | ">i2" => read_as::<i16>(bytes, "int16", &["<i2", ">i2"])?,
        "|i1" => read_as::<i8>(bytes, "int8", &["|i1"])?,
        "<u8" | ">u8" => read_as::<u64>(bytes, "uint64", &["<u8", ">u8"])?,
        "<u4" | ">u4" => read_as::<u32>(bytes, "uint32", &["<u4", ">u4"])?,
        "<u2" | ">u2" => read_as::<u16>(bytes, "uint16", &["<u2", ">u2"])?,
        "|u1" => read_as::<u8>(bytes, "uint8", &["|u1"])?,
        "|b1" => real(read_any::<bool>(bytes, "bool", &["|b1"])?, |value| f32::from(u8::from(value))),
        other => return Err(NpyError::Type { expected: "a real number", found: other.to_string() }),
    };
    match array.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some((index, _)) => Err(NpyError::NotFinite { index: index.slice().to_vec() }),
        None => Ok(array),
    }
}

fn read_as<T: ReadableElement + AsPrimitive<f32> + Zeroize>(
    bytes: &[u8],
    type_name: &'static str,
    descriptors: &[&str],
) -> Result<ArrayD<f32>, NpyError> {
    Ok(real(read_any::<T>(bytes, type_name, descriptors)?, AsPrimitive::as_))
}

/// The real numbers of an array, which is wiped.
fn real<T: Copy + Zeroize>(array: ArrayD<T>, of: impl Fn(T) -> f32) -> ArrayD<f32> {
    let numbers = array.mapv(of);
    weights::zeroize(array);
    numbers
}

/// `float16`, which the reader of `.npy` files does not know: read as the integers of the same bits.
fn read_halves(bytes: &[u8], half: &[u8], integer: &[u8]) -> Result<ArrayD<f32>, NpyError> {
    let mut renamed = Zeroizing::new(bytes.to_vec());
    // The first such text is the type in the header: that comes first, and has no other texts with a `<` or `>`.
    if let Some(place) = renamed.windows(half.len()).position(|text| text == half) {
        renamed[place..][..half.len()].copy_from_slice(integer);
    }
    Ok(real(read_any::<u16>(&renamed, "float16", &["<u2", ">u2"])?, |bits| f16::from_bits(bits).to_f32()))
}

/// An array of any shape that a graph may have.
fn read_any<T: ReadableElement + Clone + Zeroize>(
    bytes: &[u8],
    type_name: &'static str,
    descriptors: &[&str],
) -> Result<ArrayD<T>, NpyError> {
    let fits = |shape: &[usize]| {
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        elements.is_some_and(|elements| elements <= MAX_ELEMENTS)
    };
    read(bytes, type_name, descriptors, fits, "of at most 2^28 elements".to_string())
}

/// A tensor of an `.npz` archive: the one of that name, or the only one.
///
/// # Errors
/// An archive that is damaged, has no such tensor or several and no name is given; a tensor that [`read_npy`] refuses.
pub fn read_npz(bytes: &[u8], name: Option<&str>) -> Result<ArrayD<f32>, ArchiveError> {
    let wrong = |error: &dyn ToString| ArchiveError::Format { reason: error.to_string() };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| wrong(&error))?;
    let files = archive.file_names().filter_map(Result::ok);
    let found: Vec<String> = files.filter_map(|file| file.strip_suffix(".npy").map(ToString::to_string)).collect();
    let name = match (name, &found[..]) {
        (Some(name), _) if found.iter().any(|found| found == name) => name.to_string(),
        (None, [only]) => only.clone(),
        (name, _) => return Err(ArchiveError::Missing { name: name.unwrap_or_default().to_string(), found }),
    };
    let member = archive.by_name(&std::format!("{name}.npy")).map_err(|error| wrong(&error))?;
    // What is unpacked counts, not what the archive says of it; with room for all of it, it leaves no copies behind.
    let most = MAX_MEMBER.min((bytes.len() as u64).saturating_mul(MOST_TIMES));
    let mut unpacked = Zeroizing::new(Vec::with_capacity(usize::try_from(member.size().min(most) + 1).unwrap_or(0)));
    member.take(MAX_MEMBER).read_to_end(&mut unpacked).map_err(|error| wrong(&error))?;
    read_npy(&unpacked).map_err(|error| ArchiveError::Tensor { name, error })
}

/// The bytes of an `.npy` file, `float32` in row-major order.
///
/// # Panics
/// Never: writing to memory does not fail.
#[must_use]
pub fn write_npy(tensor: &ArrayD<f32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    tensor.as_standard_layout().write_npy(&mut bytes).expect("writing to memory does not fail");
    bytes
}
