//! Rows of UCI's breast-cancer data, whose columns two owners hold.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayD, ArrayView1, Axis, IxDyn};

use crate::breast_cancer::{CLASSES, COLUMNS};
use crate::samples::{MAX_SAMPLES, SamplesError, array, check, part};

const WIDTH: usize = COLUMNS[0] + COLUMNS[1];
const ROWS_NAME: &str = "rows of the table";
const LABELS_NAME: &str = "labels";
const STATISTICS_NAME: &str = "means and deviations";
/// Far beyond every column of the data, whose largest value is 4254.
const MAX_VALUE: f32 = 1e6;
/// Well below the deviation of every column of the data, whose smallest is 0.0026.
const MIN_DEVIATION: f32 = 1e-6;

#[cfg(feature = "bundled")]
const ROWS: &[u8] = include_bytes!("../data/cancer_test_rows.npy");
#[cfg(feature = "bundled")]
const LABELS: &[u8] = include_bytes!("../data/cancer_test_labels.npy");
#[cfg(feature = "bundled")]
const STATISTICS: &[u8] = include_bytes!("../data/cancer_statistics.npy");

/// Rows of measurements of tumours, with their labels. Public data, not a secret.
#[derive(Clone, Debug)]
pub struct BreastCancer {
    rows: Array2<f32>,
    labels: Array1<u8>,
    statistics: Array2<f32>,
}

impl BreastCancer {
    /// The 143 rows that come with this crate, none of which the bundled network was trained on.
    ///
    /// ```
    /// use mpc_models::BreastCancer;
    /// let table = BreastCancer::bundled()?;
    /// assert_eq!(table.len(), 143);
    /// let [size_and_surface, shape] = table.batch(0..2)?;
    /// assert_eq!((size_and_surface.shape(), shape.shape()), (&[2, 15][..], &[2, 15][..]));
    /// # Ok::<(), mpc_models::SamplesError>(())
    /// ```
    ///
    /// # Errors
    /// The bundled files are damaged.
    #[cfg(feature = "bundled")]
    pub fn bundled() -> Result<Self, SamplesError> {
        Self::from_npy(ROWS, LABELS, STATISTICS)
    }

    /// A table from three `.npy` files: `float32` rows `[N, 30]` as measured, the first owner's 15 columns in front;
    /// `uint8` labels `[N]`, 0 malignant and 1 benign; `float32` `[2, 30]`, the mean and the standard deviation of each
    /// column in the training data.
    ///
    /// # Errors
    /// A file that is damaged or holds another type or shape; a value out of range; different numbers of them.
    pub fn from_npy(rows: &[u8], labels: &[u8], statistics: &[u8]) -> Result<Self, SamplesError> {
        let (floats, bytes) = (["<f4", ">f4"], ["|u1", "u1"]);
        let rows_fit = |shape: &[usize]| matches!(*shape, [1..=MAX_SAMPLES, WIDTH]);
        let rows: Array2<f32> =
            array(ROWS_NAME, rows, "float32", &floats, (rows_fit, "[N, 30] with N from 1 to 65536"))?;
        let labels_fit = |shape: &[usize]| matches!(*shape, [1..=MAX_SAMPLES]);
        let labels: Array1<u8> =
            array(LABELS_NAME, labels, "uint8", &bytes, (labels_fit, "[N] with N from 1 to 65536"))?;
        let statistics_fit = |shape: &[usize]| shape == [2, WIDTH];
        let statistics = array(STATISTICS_NAME, statistics, "float32", &floats, (statistics_fit, "[2, 30]"))?;
        Self { rows, labels, statistics }.checked()
    }

    fn checked(self) -> Result<Self, SamplesError> {
        let (samples, targets) = (self.rows.len_of(Axis(0)), self.labels.len());
        if samples != targets {
            return Err(SamplesError::Count { samples, what: LABELS_NAME, targets });
        }
        // Comparisons with NaN are false.
        check(ROWS_NAME, &self.rows, "between -1e6 and 1e6", |value| value.abs() <= MAX_VALUE)?;
        check(STATISTICS_NAME, &self.statistics, "between -1e6 and 1e6", |value| value.abs() <= MAX_VALUE)?;
        let deviations = self.statistics.row(1).to_owned();
        check(STATISTICS_NAME, &deviations, "a deviation of at least 1e-6", |value| value >= MIN_DEVIATION)?;
        check(LABELS_NAME, &self.labels, "0 or 1", |label| usize::from(label) < CLASSES)?;
        Ok(self)
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false: files without rows are refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The true class of each row, 0 malignant and 1 benign.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = u8> {
        self.labels.iter().copied()
    }

    /// Several rows as the network takes them: each owner's columns [number of rows, 15], standardised.
    ///
    /// (x − mean) / deviation, which each owner computes by himself.
    ///
    /// # Errors
    /// An empty range, or rows that are not there.
    pub fn batch(&self, range: Range<usize>) -> Result<[ArrayD<f32>; 2], SamplesError> {
        let rows = part(&self.rows, range)?;
        let (means, deviations): (ArrayView1<'_, f32>, _) = (self.statistics.row(0), self.statistics.row(1));
        let owned_by = |first: usize, columns: usize| {
            ArrayD::from_shape_fn(IxDyn(&[rows.len_of(Axis(0)), columns]), |index| {
                let column = first + index[1];
                (rows[[index[0], column]] - means[column]) / deviations[column]
            })
        };
        Ok([owned_by(0, COLUMNS[0]), owned_by(COLUMNS[0], COLUMNS[1])])
    }
}
