//! NumPy's `.npy` files, checked before anything is allocated.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use mpc_nn::weights::make_standard;
use ndarray::{ArrayD, Axis, Dimension};
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyExt, ReadableElement};
use zeroize::Zeroize;

/// The largest number of images that one file may hold.
pub const MAX_IMAGES: usize = 1 << 16;

/// The length of a header with room for any shape; NumPy's have 118 bytes.
const MAX_HEADER: usize = 4096;
/// A header has one `{` and one `(`.
const MAX_BRACKETS: usize = 2;

/// Why a `.npy` file is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// A file that is not `.npy`, or is damaged.
    #[error("not an .npy file: {reason}; write it with numpy.save")]
    Format {
        /// The fault.
        reason: String,
    },
    /// An array of another shape.
    #[error("the .npy file has an array of shape {found:?}, but it must be {expected}; reshape or resize it")]
    Shape {
        /// The shape that it must have, N for any number.
        expected: String,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// An array of another element type.
    #[error("the .npy file has elements of type {found}, but they must be {expected}; convert them with astype")]
    Type {
        /// NumPy's name of the type that they must have.
        expected: &'static str,
        /// NumPy's name of the type that they have.
        found: String,
    },
    /// A file with less or more data than its header says.
    #[error("the .npy file has {found} bytes of data, but its shape needs {expected}; write it again")]
    Length {
        /// The number of bytes that the shape needs.
        expected: usize,
        /// The number of bytes that there are.
        found: usize,
    },
    /// An element that is NaN or infinite.
    #[error("the .npy file is NaN or infinite at {index:?}; check how the data was made")]
    NotFinite {
        /// The first such element.
        index: Vec<usize>,
    },
}

/// Images of the given channels, height and width from the bytes of an `.npy` file: `float32` of shape
/// [N, channels, height, width], or [channels, height, width] for one image. Always gives the former.
///
/// ```
/// use mpc_models::{NpyError, read_npy_images};
/// let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 2), }\n";
/// let mut file = b"\x93NUMPY\x01\x00".to_vec();
/// file.extend((header.len() as u16).to_le_bytes());
/// file.extend(header.as_bytes());
/// file.extend([0.5f32, -1.0].into_iter().flat_map(f32::to_le_bytes));
/// let images = read_npy_images(&file, [1, 1, 2])?;
/// assert_eq!(images.shape(), [1, 1, 1, 2]);
/// assert!(matches!(read_npy_images(&file, [3, 32, 32]), Err(NpyError::Shape { .. })));
/// # Ok::<(), NpyError>(())
/// ```
///
/// # Errors
/// A file that is damaged or holds another type or shape, more than [`MAX_IMAGES`], none, or an element that is NaN or
/// infinite.
pub fn read_npy_images(bytes: &[u8], image: [usize; 3]) -> Result<ArrayD<f32>, NpyError> {
    let [channels, height, width] = image;
    let fits = |shape: &[usize]| match shape {
        [count, rest @ ..] if rest == image => (1..=MAX_IMAGES).contains(count),
        _ => shape == image,
    };
    let expected = format!("[N, {channels}, {height}, {width}] with N from 1 to {MAX_IMAGES}");
    let array = read::<f32>(bytes, "float32", &["<f4", ">f4"], fits, expected)?;
    if let Some((index, _)) = array.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(NpyError::NotFinite { index: index.slice().to_vec() });
    }
    Ok(if array.ndim() == 3 { array.insert_axis(Axis(0)) } else { array })
}

/// An array of one of the types that NumPy's `descriptors` name, in row-major order.
pub(crate) fn read<T: ReadableElement + Clone + Zeroize>(
    bytes: &[u8],
    type_name: &'static str,
    descriptors: &[&str],
    fits: impl Fn(&[usize]) -> bool,
    expected: String,
) -> Result<ArrayD<T>, NpyError> {
    let (header_end, header) = header(bytes)?;
    let descriptor = header.type_descriptor.as_string();
    if !descriptor.is_some_and(|descriptor| descriptors.contains(&descriptor.as_str())) {
        return Err(NpyError::Type { expected: type_name, found: header.type_descriptor.to_string() });
    }
    if !fits(&header.shape) {
        return Err(NpyError::Shape { expected, found: header.shape });
    }
    let elements = header.shape.iter().try_fold(size_of::<T>(), |product, &size| product.checked_mul(size));
    let (needed, found) = (elements.unwrap_or(usize::MAX), bytes.len() - header_end);
    if needed != found {
        return Err(NpyError::Length { expected: needed, found });
    }
    let mut array = ArrayD::<T>::read_npy(bytes).map_err(format_error)?;
    make_standard(&mut array);
    Ok(array)
}

/// NumPy's name of the type of a file's elements.
pub(crate) fn descriptor(bytes: &[u8]) -> Result<String, NpyError> {
    let (_, header) = header(bytes)?;
    Ok(header.type_descriptor.as_string().cloned().unwrap_or_else(|| header.type_descriptor.to_string()))
}

/// Where the header ends, and what it says.
fn header(bytes: &[u8]) -> Result<(usize, Header), NpyError> {
    let end = check_header(bytes)?;
    Ok((end, Header::from_reader(&mut &bytes[..end]).map_err(format_error)?))
}

/// Where the header ends, if it is one whose parsing takes little memory and stack.
fn check_header(bytes: &[u8]) -> Result<usize, NpyError> {
    let (start, length): (usize, usize) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, a, b, ..] => (10, usize::from(u16::from_le_bytes([*a, *b]))),
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, 0, a, b, c, d, ..] => {
            (12, usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX))
        }
        _ => return Err(format_error("it does not begin as one of version 1, 2 or 3")),
    };
    let header =
        bytes.get(start..start.saturating_add(length)).ok_or_else(|| format_error("its header is cut short"))?;
    let brackets = header.iter().filter(|byte| b"([{".contains(byte)).count();
    let is_plain = header.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n') && *byte != b'\\');
    if length > MAX_HEADER || brackets > MAX_BRACKETS || !is_plain {
        return Err(format_error("its header is not as NumPy writes it"));
    }
    Ok(start + length)
}

fn format_error(reason: impl ToString) -> NpyError {
    NpyError::Format { reason: reason.to_string() }
}
