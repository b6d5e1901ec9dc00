//! The readers of `.npy` files: the inputs that they take and those that they refuse.

use mpc_models::{Digits, DigitsError, FileError, NpyError, read_file, read_npy_images};
use ndarray::{Array1, Array3, Array4, ArrayD, Axis, ShapeBuilder};
use ndarray_npy::WriteNpyExt;
use proptest::prelude::*;

fn npy(array: &impl WriteNpyExt) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<ArrayD<f32>, NpyError> {
    read_npy_images(bytes, [3, 4, 5])
}

/// A file with a header of one's own.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn images() {
    let many = Array4::from_shape_fn((2, 3, 4, 5), |(n, c, y, x)| (n * 60 + c * 20 + y * 5 + x) as f32);
    assert_eq!(read(&npy(&many)).unwrap(), many.clone().into_dyn());
    let one = many.index_axis(Axis(0), 0).to_owned();
    assert_eq!(read(&npy(&one)).unwrap(), one.clone().insert_axis(Axis(0)).into_dyn());
    let mut in_columns = Array4::zeros((2, 3, 4, 5).f());
    in_columns.assign(&many);
    let array = read(&npy(&in_columns)).unwrap();
    assert!(array.is_standard_layout());
    assert_eq!(array, many.into_dyn());
}

#[test]
fn unfit_arrays() {
    let shape = |found: &[usize]| {
        let expected = "[N, 3, 4, 5] with N from 1 to 65536".into();
        NpyError::Shape { expected, found: found.to_vec() }
    };
    assert_eq!(read(&npy(&Array4::<f32>::zeros((2, 3, 5, 4)))), Err(shape(&[2, 3, 5, 4])));
    assert_eq!(read(&npy(&Array4::<f32>::zeros((0, 3, 4, 5)))), Err(shape(&[0, 3, 4, 5])));
    assert_eq!(read(&npy(&Array1::<f32>::zeros(60))), Err(shape(&[60])));
    let error = read(&npy(&Array3::<f64>::zeros((3, 4, 5)))).unwrap_err();
    assert!(matches!(error, NpyError::Type { expected: "float32", .. }), "{error}");
    for value in [f32::NAN, f32::INFINITY] {
        let mut image = Array3::zeros((3, 4, 5));
        image[[1, 2, 3]] = value;
        assert_eq!(read(&npy(&image)), Err(NpyError::NotFinite { index: vec![1, 2, 3] }));
    }
}

#[test]
fn damaged_files() {
    let whole = npy(&Array3::<f32>::zeros((3, 4, 5)));
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    let cut = read(&whole[..whole.len() - 1]);
    assert_eq!(cut, Err(NpyError::Length { expected: 240, found: 239 }));
    assert!(matches!(read(&[whole.as_slice(), &[0]].concat()), Err(NpyError::Length { .. })));
}

#[test]
fn hostile_headers() {
    let header = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let huge = read(&with_header(&header("(65536, 3, 4, 5)"), &[]));
    assert_eq!(huge, Err(NpyError::Length { expected: 65536 * 240, found: 0 }));
    let endless = read(&with_header(&header("(99999999999999999999999, 3, 4, 5)"), &[]));
    assert!(matches!(endless, Err(NpyError::Format { .. })));
    let nested = read(&with_header(&"(".repeat(4000), &[]));
    assert!(matches!(nested, Err(NpyError::Format { .. })));
    let long = read(&with_header(&" ".repeat(60_000), &[]));
    assert!(matches!(long, Err(NpyError::Format { .. })));
    assert!(matches!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}"), Err(NpyError::Format { .. })));
    assert!(matches!(read(b"PK\x03\x04"), Err(NpyError::Format { .. })));
}

#[test]
fn unfit_digits() {
    let images = |pixel: u8| npy(&Array3::from_elem((2, 8, 8), pixel));
    let labels = |labels: &[u8]| npy(&Array1::from(labels.to_vec()));
    let error = |images: &[u8], labels: &[u8]| Digits::from_npy(images, labels).unwrap_err();
    assert_eq!(error(&images(16), &labels(&[1])), DigitsError::Count { images: 2, labels: 1 });
    assert_eq!(error(&images(17), &labels(&[1, 2])), DigitsError::Pixel { index: 0 });
    assert_eq!(error(&images(0), &labels(&[9, 10])), DigitsError::Label { index: 1 });
    let wrong_size = npy(&Array3::<u8>::zeros((2, 8, 9)));
    assert!(matches!(error(&wrong_size, &labels(&[1, 2])), DigitsError::Images(NpyError::Shape { .. })));
    assert!(matches!(error(&images(0), b""), DigitsError::Labels(NpyError::Format { .. })));
}

#[test]
fn digits_become_images() {
    let pixels = Array3::from_shape_fn((2, 8, 8), |(i, y, x)| ((i * 5 + y + x) % 17) as u8);
    let digits = Digits::from_npy(&npy(&pixels), &npy(&Array1::from(vec![3u8, 7]))).unwrap();
    let image = digits.image(1).unwrap();
    assert_eq!(image.shape(), [1, 3, 32, 32]);
    for (channel, y, x) in [(0, 0, 0), (1, 17, 30), (2, 31, 31)] {
        let expected = f32::from(pixels[[1, y / 4, x / 4]]) / 16.0 * 2.0 - 1.0;
        assert_eq!(image[[0, channel, y, x]], expected);
    }
    assert_eq!(digits.batch(0..2).unwrap().index_axis(Axis(0), 1), image.index_axis(Axis(0), 0));
    assert_eq!(digits.labels().collect::<Vec<_>>(), [3, 7]);
    assert_eq!(digits.image(2), Err(DigitsError::Index { index: 2, len: 2 }));
    assert_eq!(digits.label(usize::MAX), Err(DigitsError::Index { index: usize::MAX, len: 2 }));
    assert_eq!(digits.batch(1..3), Err(DigitsError::Index { index: 2, len: 2 }));
    assert_eq!(digits.batch(1..1), Err(DigitsError::EmptyRange { start: 1, end: 1 }));
}

#[test]
fn files() {
    let path = std::env::temp_dir().join(format!("mpc-models-{}", std::process::id()));
    let name = path.display().to_string();
    assert!(matches!(read_file(&path, 10), Err(FileError::Read { path, .. }) if path == name));
    std::fs::write(&path, [7; 10]).unwrap();
    let (fits, too_large) = (read_file(&path, 10), read_file(&path, 9));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(fits.unwrap().as_slice(), [7; 10]);
    assert_eq!(too_large, Err(FileError::TooLarge { path: name, limit: 9 }));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
        prop_assert!(Digits::from_npy(&bytes, &bytes).is_err());
    }

    #[test]
    fn arbitrary_headers_never_panic(header in "[ -~]{0,120}\n", data in prop::collection::vec(any::<u8>(), 0..50)) {
        let _ = read(&with_header(&header, &data));
    }

    #[test]
    fn arbitrary_entries_never_panic(
        descr in "'[<>|=]?[a-z][0-9]{1,2}'|[0-9]{1,5}|[(][)]",
        order in "True|False|0",
        shape in "[(]([0-9]{1,20}, ?){0,5}[)]|None|-?[0-9.e]{1,9}",
        data in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n");
        prop_assert!(read(&with_header(&header, &data)).is_err());
    }

    #[test]
    fn damaged_bytes_never_panic(place in any::<prop::sample::Index>(), byte: u8) {
        let mut file = npy(&Array3::<f32>::zeros((3, 4, 5)));
        let place = place.index(file.len());
        file[place] = byte;
        let _ = read(&file);
    }
}
