//! Constants of the file: element types, sizes, and data in files beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use half::{bf16, f16};
use mpc_nn::graph::MAX_ELEMENTS;
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{DataLocation, DataType, TensorProto};
use zeroize::Zeroizing;

use crate::arrays;
use crate::value::Value;

/// The number of elements of a tensor, if its shape makes sense.
pub(crate) fn element_count(tensor: &TensorProto) -> Result<usize, String> {
    let overflow = || format!("its shape {:?} is negative or has more than {MAX_ELEMENTS} elements", tensor.dims);
    let mut elements = 1usize;
    for &size in &tensor.dims {
        let size = usize::try_from(size).map_err(|_| overflow())?;
        // A size of 0 must not hide that the others overflow.
        elements = elements.checked_mul(size.max(1)).filter(|&n| n <= MAX_ELEMENTS).ok_or_else(overflow)?;
    }
    Ok(if tensor.dims.contains(&0) { 0 } else { elements })
}

/// The value of a constant; `folder` is where the file lies, if it has one.
pub(crate) fn decode(tensor: &TensorProto, folder: Option<&Path>) -> Result<Value, String> {
    let value = decode_with_nan(tensor, folder)?;
    match &value {
        Value::Constant(constant) if !arrays::all(constant.array(), |value| !value.is_nan()) => {
            Err("it has an element that is NaN; export the model again".into())
        }
        _ => Ok(value),
    }
}

/// [`decode`] of what NaN delimits.
pub(crate) fn decode_with_nan(tensor: &TensorProto, folder: Option<&Path>) -> Result<Value, String> {
    let elements = element_count(tensor)?;
    let shape: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
    let data_type = tensor.data_type.unwrap_or(DataType(0));
    let external;
    let inline = tensor.raw_data.as_ref().map(|data| data.borrow());
    let raw: Option<&[u8]> = if tensor.data_location == Some(DataLocation::EXTERNAL) {
        let bytes = byte_count(data_type, elements).ok_or_else(|| wrong_type(data_type))?;
        external = read_external(tensor, folder, bytes)?;
        Some(&external)
    } else {
        inline.as_ref().map(|data| data.as_slice())
    };
    let mismatch = |found: usize| format!("its shape {shape:?} needs {elements} elements, but it has {found}");
    match numbers(tensor, data_type, raw, elements)? {
        Numbers::Real(values) if values.len() == elements => {
            let array = ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|error| error.to_string())?;
            Ok(Value::constant(array))
        }
        Numbers::Whole(values) if values.len() == elements => {
            let array = ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|error| error.to_string())?;
            Ok(Value::integer(array))
        }
        Numbers::Real(values) => Err(mismatch(values.len())),
        Numbers::Whole(values) => Err(mismatch(values.len())),
    }
}

enum Numbers {
    Real(Vec<f32>),
    Whole(Vec<i64>),
}

fn numbers(tensor: &TensorProto, kind: DataType, raw: Option<&[u8]>, elements: usize) -> Result<Numbers, String> {
    let fields = || tensor.int32_data.iter();
    let is = |data_type| kind == data_type;
    let real = |values| Ok(Numbers::Real(values));
    let whole = |values| Ok(Numbers::Whole(values));
    match raw {
        Some(raw) if byte_count(kind, elements) != Some(raw.len()) => match byte_count(kind, elements) {
            Some(needed) => Err(format!("its shape needs {needed} bytes, but it has {}", raw.len())),
            None => Err(wrong_type(kind)),
        },
        Some(raw) if is(DataType::FLOAT) => real(read(raw, f32::from_le_bytes)),
        Some(raw) if is(DataType::DOUBLE) => real(read(raw, |bytes| f64::from_le_bytes(bytes) as f32)),
        Some(raw) if is(DataType::FLOAT16) => real(read(raw, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Some(raw) if is(DataType::BFLOAT16) => real(read(raw, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        Some(raw) if is(DataType::INT64) => whole(read(raw, i64::from_le_bytes)),
        Some(raw) if is(DataType::INT32) => whole(read(raw, |bytes| i32::from_le_bytes(bytes).into())),
        Some(raw) if is(DataType::UINT32) => whole(read(raw, |bytes| u32::from_le_bytes(bytes).into())),
        Some(raw) if is(DataType::INT16) => whole(read(raw, |bytes| i16::from_le_bytes(bytes).into())),
        Some(raw) if is(DataType::UINT16) => whole(read(raw, |bytes| u16::from_le_bytes(bytes).into())),
        Some(raw) if is(DataType::INT8) => whole(read(raw, |bytes| i8::from_le_bytes(bytes).into())),
        Some(raw) if is(DataType::UINT8) => whole(read(raw, |[byte]| byte.into())),
        Some(raw) if is(DataType::BOOL) => whole(read(raw, |[byte]| (byte != 0).into())),
        Some(raw) if is(DataType::INT4) => whole(nibbles(raw, elements, |nibble| (nibble ^ 8) - 8)),
        Some(raw) if is(DataType::UINT4) => whole(nibbles(raw, elements, |nibble| nibble)),
        Some(raw) if is(INT2) || is(UINT2) => whole(quarters(raw, elements, is(INT2))),
        Some(raw) if is_small(kind) => real(raw.iter().map(|&byte| small(kind, byte)).collect()),
        Some(raw) if is(FLOAT4) => {
            let halves = raw.iter().flat_map(|&byte| [byte & 15, byte >> 4]);
            real(halves.take(elements).map(|half| small(kind, half)).collect())
        }
        Some(raw) if is(DataType::UINT64) => {
            let values: Result<_, _> = read(raw, u64::from_le_bytes).into_iter().map(i64::try_from).collect();
            whole(values.map_err(|_| "it has an element above 2^63".to_string())?)
        }
        None if is(DataType::FLOAT) => real(tensor.float_data.clone()),
        None if is(DataType::DOUBLE) => real(tensor.double_data.iter().map(|&x| x as f32).collect()),
        None if is(DataType::FLOAT16) => real(fields().map(|&bits| f16::from_bits(bits as u16).to_f32()).collect()),
        None if is(DataType::BFLOAT16) => real(fields().map(|&bits| bf16::from_bits(bits as u16).to_f32()).collect()),
        None if is(DataType::INT64) => whole(tensor.int64_data.clone()),
        None if [DataType::INT32, DataType::INT16, DataType::UINT16, DataType::INT8, DataType::UINT8]
            .contains(&kind) =>
        {
            whole(fields().map(|&value| value.into()).collect())
        }
        None if is_small(kind) => real(fields().map(|&byte| small(kind, byte as u8)).collect()),
        None if is(DataType::INT4) || is(DataType::UINT4) => {
            let bytes: Vec<u8> = fields().map(|&byte| byte as u8).collect();
            let convert = |nibble: i64| if is(DataType::INT4) { (nibble ^ 8) - 8 } else { nibble };
            whole(nibbles(&bytes, elements, convert))
        }
        None if is(INT2) || is(UINT2) => {
            let bytes: Vec<u8> = fields().map(|&byte| byte as u8).collect();
            whole(quarters(&bytes, elements, is(INT2)))
        }
        None if is(DataType::BOOL) => whole(fields().map(|&value| (value != 0).into()).collect()),
        _ => Err(wrong_type(kind)),
    }
}

/// Floats of 8 bits, in the order of their numbers: e4m3fn, e4m3fnuz, e5m2, e5m2fnuz.
const FLOATS8: [DataType; 4] = [DataType(17), DataType(18), DataType(19), DataType(20)];
/// The float of 4 bits.
const FLOAT4: DataType = DataType(23);
/// The float of 8 bits that is an exponent alone.
const EXPONENT8: DataType = DataType(24);
pub(crate) const UINT2: DataType = DataType(25);
pub(crate) const INT2: DataType = DataType(26);

fn is_small(kind: DataType) -> bool {
    FLOATS8.contains(&kind)
}

/// Whether a type is one of the floats of 4 or 8 bits.
pub(crate) fn is_small_float(kind: DataType) -> bool {
    is_small(kind) || [FLOAT4, EXPONENT8].contains(&kind)
}

/// The number that a float of 4 or 8 bits is.
fn small(kind: DataType, bits: u8) -> f32 {
    let (mantissa_bits, bias, sign_bit) = match kind.0 {
        17 => (3, 7, 7),
        18 => (3, 8, 7),
        19 => (2, 15, 7),
        20 => (2, 16, 7),
        _ => (1, 1, 3),
    };
    let magnitude = bits & ((1 << sign_bit) - 1);
    let is_negative = bits >> sign_bit & 1 == 1;
    let has_no_negative_zero = matches!(kind.0, 18 | 20);
    let is_nan = match kind.0 {
        17 => magnitude == 0x7f,
        19 => magnitude > 0x7c,
        _ => has_no_negative_zero && is_negative && magnitude == 0,
    };
    let (exponent, mantissa) =
        (i32::from(magnitude >> mantissa_bits), f32::from(magnitude & ((1 << mantissa_bits) - 1)));
    let fraction = mantissa / f32::from(1u8 << mantissa_bits);
    let value = match exponent {
        _ if is_nan => f32::NAN,
        _ if kind.0 == 19 && magnitude == 0x7c => f32::INFINITY,
        0 => fraction * 2f32.powi(1 - bias),
        exponent => (1.0 + fraction) * 2f32.powi(exponent - bias),
    };
    if is_negative { -value } else { value }
}

fn wrong_type(data_type: DataType) -> String {
    format!("elements of type {data_type} are not supported; use floats or integers")
}

fn read<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|&bytes| convert(bytes)).collect()
}

/// Two elements a byte, the low half first.
fn nibbles(raw: &[u8], elements: usize, convert: impl Fn(i64) -> i64) -> Vec<i64> {
    let halves = raw.iter().flat_map(|&byte| [byte & 15, byte >> 4]);
    halves.take(elements).map(|nibble| convert(nibble.into())).collect()
}

/// Four elements a byte, the low bits first.
fn quarters(raw: &[u8], elements: usize, is_signed: bool) -> Vec<i64> {
    let parts = raw.iter().flat_map(|&byte| [0, 2, 4, 6].map(|place| i64::from(byte >> place & 3)));
    parts.take(elements).map(|part| if is_signed { (part ^ 2) - 2 } else { part }).collect()
}

/// The number of bytes that elements of a type take.
fn byte_count(data_type: DataType, elements: usize) -> Option<usize> {
    Some(match data_type {
        DataType::DOUBLE | DataType::INT64 | DataType::UINT64 => elements * 8,
        DataType::FLOAT | DataType::INT32 | DataType::UINT32 => elements * 4,
        DataType::FLOAT16 | DataType::BFLOAT16 | DataType::INT16 | DataType::UINT16 => elements * 2,
        DataType::INT8 | DataType::UINT8 | DataType::BOOL => elements,
        kind if is_small(kind) => elements,
        DataType::INT4 | DataType::UINT4 | FLOAT4 => elements.div_ceil(2),
        INT2 | UINT2 => elements.div_ceil(4),
        _ => return None,
    })
}

/// Exactly `bytes` bytes of the file in `folder` that the tensor names.
fn read_external(tensor: &TensorProto, folder: Option<&Path>, bytes: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let entries: BTreeMap<&str, &str> = tensor
        .external_data
        .iter()
        .filter_map(|entry| Some((entry.key.as_deref()?, entry.value.as_deref()?)))
        .collect();
    let number = |key: &str| match entries.get(key) {
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("its external {key} is not a number")),
        None => Ok(None),
    };
    let folder = folder.ok_or("its data is in another file; open the model by its path")?;
    let location = *entries.get("location").ok_or("its data is external, but no file is named")?;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    if length.is_some_and(|length| length != bytes as u64) {
        return Err(format!("its shape needs {bytes} bytes, but its external length is {}", length.unwrap_or(0)));
    }
    let outside = || format!("its data is in `{location}`, which is not a file in the model's folder");
    let folder = folder.canonicalize().map_err(|error| format!("the model's folder: {error}"))?;
    // Resolves links, so that none leads out of the folder.
    let path = folder.join(location).canonicalize().map_err(|_| outside())?;
    if !path.starts_with(&folder) || !path.is_file() {
        return Err(outside());
    }
    let read_error = |error: std::io::Error| format!("`{location}`: {error}");
    let mut file = File::open(&path).map_err(read_error)?;
    let size = file.metadata().map_err(read_error)?.len();
    if offset.checked_add(bytes as u64).is_none_or(|end| end > size) {
        return Err(format!("`{location}` has {size} bytes, too few for it; copy the file again"));
    }
    let mut data = Zeroizing::new(vec![0; bytes]);
    file.seek(SeekFrom::Start(offset)).map_err(read_error)?;
    file.read_exact(&mut data).map_err(read_error)?;
    Ok(data)
}
