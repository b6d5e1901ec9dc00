//! Test data from files, and what is refused.

use mpc_models::{BreastCancer, Overlap, SamplesError, Segments};
use ndarray::{Array1, Array2, Array3, Array4, ArrayBase, Axis, Data, Dimension};
use ndarray_npy::{WritableElement, WriteNpyExt};

fn npy<S: Data<Elem: WritableElement>, D: Dimension>(array: &ArrayBase<S, D>) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

fn small_table() -> (Array2<f32>, Array1<u8>, Array2<f32>) {
    let rows = Array2::from_shape_fn((3, 30), |(row, column)| (10 * row + column) as f32);
    let statistics = Array2::from_shape_fn((2, 30), |(kind, column)| if kind == 0 { column as f32 } else { 2.0 });
    (rows, Array1::from(vec![0, 1, 1]), statistics)
}

#[test]
fn rows_are_standardised_and_divided() {
    let (rows, labels, statistics) = small_table();
    let table = BreastCancer::from_npy(&npy(&rows), &npy(&labels), &npy(&statistics)).unwrap();
    assert_eq!((table.len(), table.is_empty()), (3, false));
    assert_eq!(table.labels().collect::<Vec<_>>(), [0, 1, 1]);
    let [first, second] = table.batch(1..3).unwrap();
    for owner in [first, second] {
        assert_eq!(owner.shape(), [2, 15]);
        assert!(owner.index_axis(Axis(0), 0).iter().all(|&x| x == 5.0), "{owner}");
        assert!(owner.index_axis(Axis(0), 1).iter().all(|&x| x == 10.0), "{owner}");
    }
    for (start, end) in [(0, 0), (2, 4), (3, 3), (2, 1), (usize::MAX, 0)] {
        assert_eq!(table.batch(start..end).unwrap_err(), SamplesError::Range { start, end, len: 3 });
    }
}

/// The columns look like standardised columns of the training data, and so should those of others.
#[test]
fn bundled_rows() {
    let table = BreastCancer::bundled().unwrap();
    let [first, second] = table.batch(0..table.len()).unwrap();
    for column in first.axis_iter(Axis(1)).chain(second.axis_iter(Axis(1))) {
        let mean = column.iter().sum::<f32>() / 143.0;
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 143.0;
        assert!(mean.abs() < 0.3 && (0.4..2.5).contains(&variance), "{mean} {variance}");
        assert!(column.iter().all(|x| x.abs() < 15.0));
    }
    assert_eq!(table.labels().filter(|&label| label == 0).count(), 53);
}

/// The error that a change of the small table leads to.
fn error_after(change: impl FnOnce(&mut Array2<f32>, &mut Array1<u8>, &mut Array2<f32>)) -> SamplesError {
    let (mut rows, mut labels, mut statistics) = small_table();
    change(&mut rows, &mut labels, &mut statistics);
    BreastCancer::from_npy(&npy(&rows), &npy(&labels), &npy(&statistics)).unwrap_err()
}

#[test]
fn unfit_tables() {
    let error = error_after(|rows, _, _| *rows = rows.slice_axis(Axis(1), (..29).into()).to_owned());
    assert!(matches!(error, SamplesError::File { what: "rows of the table", .. }), "{error}");
    let error = error_after(|_, labels, _| *labels = Array1::from(vec![0, 1]));
    assert_eq!(error, SamplesError::Count { samples: 3, what: "labels", targets: 2 });
    let error = error_after(|_, labels, _| labels[1] = 2);
    assert!(matches!(&error, SamplesError::Value { what: "labels", index, .. } if *index == [1]), "{error}");
    for value in [f32::NAN, f32::INFINITY, 2e6] {
        let error = error_after(|rows, _, _| rows[[2, 29]] = value);
        assert!(matches!(&error, SamplesError::Value { what: "rows of the table", index, .. } if *index == [2, 29]));
        let error = error_after(|_, _, statistics| statistics[[0, 4]] = value);
        assert!(matches!(error, SamplesError::Value { what: "means and deviations", .. }), "{error}");
    }
    for deviation in [0.0, -1.0, 1e-7] {
        let error = error_after(|_, _, statistics| statistics[[1, 4]] = deviation);
        assert!(matches!(error, SamplesError::Value { what: "means and deviations", .. }), "{error}");
    }
    assert!(BreastCancer::from_npy(b"", b"", b"").is_err());
}

#[test]
fn segments_as_the_network_takes_them() {
    let mut images = Array4::<u8>::zeros((2, 3, 32, 32));
    images[[1, 2, 31, 30]] = 255;
    let mut masks = Array3::<u8>::zeros((2, 32, 32));
    masks[[1, 0, 5]] = 1;
    let segments = Segments::from_npy(&npy(&images), &npy(&masks)).unwrap();
    assert_eq!((segments.len(), segments.is_empty()), (2, false));
    let batch = segments.batch(1..2).unwrap();
    assert_eq!((batch.shape(), batch[[0, 2, 31, 30]], batch[[0, 0, 0, 0]]), (&[1, 3, 32, 32][..], 1.0, -1.0));
    let masks = segments.masks(0..2).unwrap();
    assert_eq!((masks.shape(), masks[[1, 0, 0, 5]], masks[[0, 0, 0, 5]]), (&[2, 1, 32, 32][..], 1, 0));
    for (start, end) in [(0, 0), (1, 3), (2, 2)] {
        assert_eq!(segments.batch(start..end).unwrap_err(), SamplesError::Range { start, end, len: 2 });
        assert!(segments.masks(start..end).is_err());
    }
}

#[test]
fn unfit_segments() {
    let images = Array4::<u8>::zeros((2, 3, 32, 32));
    let masks = Array3::<u8>::zeros((2, 32, 32));
    let error = Segments::from_npy(&npy(&images), &npy(&Array3::<u8>::zeros((3, 32, 32)))).unwrap_err();
    assert_eq!(error, SamplesError::Count { samples: 2, what: "masks", targets: 3 });
    let error = Segments::from_npy(&npy(&images), &npy(&Array3::<u8>::from_elem((2, 32, 32), 2))).unwrap_err();
    assert!(matches!(&error, SamplesError::Value { what: "masks", index, .. } if *index == [0, 0, 0]), "{error}");
    let error = Segments::from_npy(&npy(&images.mapv(f32::from)), &npy(&masks)).unwrap_err();
    assert!(matches!(error, SamplesError::File { what: "images to segment", .. }), "{error}");
    let error = Segments::from_npy(&npy(&masks), &npy(&masks)).unwrap_err();
    assert!(matches!(error, SamplesError::File { what: "images to segment", .. }), "{error}");
}

#[test]
fn bundled_masks_hold_a_digit_each() {
    let segments = Segments::bundled().unwrap();
    assert_eq!(segments.len(), 64);
    for mask in segments.masks(0..64).unwrap().outer_iter() {
        let pixels = mask.iter().filter(|&&pixel| pixel == 1).count();
        assert!((15..400).contains(&pixels), "{pixels}");
    }
}

#[test]
fn empty_masks_agree() {
    let overlap = Overlap::of(Array1::from(vec![-1.0, 0.0]).view(), Array1::from(vec![0, 0]).view());
    assert_eq!((overlap, overlap.iou()), (Overlap { both: 0, either: 0 }, 1.0));
}
