//! Tensors from files, and hostile files.

use std::io::{Cursor, Write};

use mpc_models::NpyError;
use mpc_models::arrays::{ArchiveError, read_npy, read_npz, write_npy};
use ndarray::{ArrayD, array};
use ndarray_npy::WriteNpyExt;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn archive(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tensor() -> ArrayD<f32> {
    array![[1.0, -2.5], [0.0, 3.0]].into_dyn()
}

#[test]
fn every_real_type() {
    fn bytes<T: ndarray_npy::WritableElement + Clone>(values: Vec<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        ndarray::Array1::from(values).write_npy(&mut bytes).unwrap();
        bytes
    }
    let expected = array![1.0f32, 0.0, 100.0].into_dyn();
    let files = [
        bytes(vec![1f32, 0.0, 100.0]),
        bytes(vec![1f64, 0.0, 100.0]),
        bytes(vec![1i64, 0, 100]),
        bytes(vec![1i32, 0, 100]),
        bytes(vec![1i16, 0, 100]),
        bytes(vec![1i8, 0, 100]),
        bytes(vec![1u64, 0, 100]),
        bytes(vec![1u32, 0, 100]),
        bytes(vec![1u16, 0, 100]),
        bytes(vec![1u8, 0, 100]),
    ];
    for file in files {
        assert_eq!(read_npy(&file).unwrap(), expected);
    }
    // The writer knows no halves: integers of the same bits, renamed.
    let halves = bytes(vec![0x3c00u16, 0, 0x5640]);
    let place = halves.windows(3).position(|text| text == b"<u2").unwrap();
    let renamed = [&halves[..place], b"<f2", &halves[place + 3..]].concat();
    assert_eq!(read_npy(&renamed).unwrap(), expected);
    assert!(matches!(read_npy(&renamed[..renamed.len() - 1]), Err(NpyError::Length { .. })));
    assert_eq!(read_npy(&bytes(vec![true, false])).unwrap(), array![1.0f32, 0.0].into_dyn());
    assert!(matches!(read_npy(&bytes(vec![1.0, f64::NAN])), Err(NpyError::NotFinite { index }) if index == [1]));
}

#[test]
fn archives() {
    let file = write_npy(&tensor());
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let one = archive(&[("x.npy", &file)], method);
        assert_eq!(read_npz(&one, None).unwrap(), tensor());
        assert_eq!(read_npz(&one, Some("x")).unwrap(), tensor());
        let two = archive(&[("x.npy", &file), ("y.npy", &write_npy(&(tensor() * 2.0)))], method);
        assert_eq!(read_npz(&two, Some("y")).unwrap(), tensor() * 2.0);
        for name in [None, Some("z")] {
            let error = read_npz(&two, name).unwrap_err();
            assert!(matches!(error, ArchiveError::Missing { found, .. } if found == ["x", "y"]));
        }
    }
    let damaged = archive(&[("x.npy", b"no tensor")], CompressionMethod::Stored);
    assert!(matches!(read_npz(&damaged, None), Err(ArchiveError::Tensor { .. })));
}

#[test]
fn damaged_files_are_errors() {
    let file = write_npy(&tensor());
    let packed = archive(&[("x.npy", &file)], CompressionMethod::Deflated);
    for at in 0..file.len() {
        assert!(read_npy(&file[..at]).is_err());
    }
    for at in 0..packed.len() {
        let _ = read_npz(&packed[..at], None);
        for flip in [1, 0x80, 0xff] {
            let mut changed = packed.clone();
            changed[at] ^= flip;
            if let Ok(read) = read_npz(&changed, None) {
                assert!(read.len() <= file.len());
            }
        }
    }
}
