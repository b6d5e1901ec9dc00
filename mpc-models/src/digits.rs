//! Handwritten digits for trying a network on: UCI's optical recognition data set, in the form of the networks' images.

use std::ops::Range;
use std::string::ToString;

use ndarray::{Array1, Array3, ArrayD, Ix1, Ix3, IxDyn};

use crate::npy::{NpyError, read};

/// The brightest pixel.
const BRIGHTEST: u8 = 16;
/// Each pixel becomes a square of this size.
const SCALE: usize = 4;
const SIZE: usize = 8;
/// The largest number of digits that one file may hold.
const MAX_DIGITS: usize = 1 << 16;

#[cfg(feature = "bundled")]
const IMAGES: &[u8] = include_bytes!("../data/digits_test_images.npy");
#[cfg(feature = "bundled")]
const LABELS: &[u8] = include_bytes!("../data/digits_test_labels.npy");

/// Why digits could not be read or chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigitsError {
    /// The file of images.
    #[error("images of digits: {0}")]
    Images(#[source] NpyError),
    /// The file of labels.
    #[error("labels of digits: {0}")]
    Labels(#[source] NpyError),
    /// Images and labels that are not of the same digits.
    #[error("there are {images} images of digits, but {labels} labels; use files that belong together")]
    Count {
        /// The number of images.
        images: usize,
        /// The number of labels.
        labels: usize,
    },
    /// A pixel above 16.
    #[error("digit {index} has a pixel above {BRIGHTEST}; use the data set's own scale of 0 to {BRIGHTEST}")]
    Pixel {
        /// The first such digit.
        index: usize,
    },
    /// A label above 9.
    #[error("digit {index} has a label above 9; labels are the digits 0 to 9")]
    Label {
        /// The first such digit.
        index: usize,
    },
    /// A digit that is not there.
    #[error("there is no digit {index}; the {len} digits are counted from 0")]
    Index {
        /// The number asked for.
        index: usize,
        /// The number of digits.
        len: usize,
    },
    /// A range of digits without any in it.
    #[error("the range {start}..{end} holds no digits; give a start below the end")]
    EmptyRange {
        /// Where it starts.
        start: usize,
        /// Where it ends.
        end: usize,
    },
}

/// Images of digits with their labels. Public data, not a secret.
#[derive(Clone, Debug)]
pub struct Digits {
    images: Array3<u8>,
    labels: Array1<u8>,
}

impl Digits {
    /// The 450 digits that come with this crate, none of which the bundled networks were trained on.
    ///
    /// ```
    /// use mpc_models::{Digits, DigitsError};
    /// let digits = Digits::bundled()?;
    /// assert_eq!(digits.len(), 450);
    /// assert_eq!(digits.image(0)?.shape(), [1, 3, 32, 32]);
    /// assert!(digits.label(0)? < 10);
    /// assert!(matches!(digits.image(450), Err(DigitsError::Index { .. })));
    /// # Ok::<(), DigitsError>(())
    /// ```
    ///
    /// # Errors
    /// The bundled files are damaged.
    #[cfg(feature = "bundled")]
    pub fn bundled() -> Result<Self, DigitsError> {
        Self::from_npy(IMAGES, LABELS)
    }

    /// Digits from two `.npy` files: `uint8` images `[N, 8, 8]` of pixels from 0 to 16, and `uint8` labels `[N]`.
    ///
    /// # Errors
    /// A file that is damaged or holds another type or shape; pixels or labels out of range; different numbers of them.
    pub fn from_npy(images: &[u8], labels: &[u8]) -> Result<Self, DigitsError> {
        let types = ["|u1", "u1"];
        let fits = |shape: &[usize]| matches!(*shape, [1..=MAX_DIGITS, SIZE, SIZE]);
        let images = read(images, "uint8", &types, fits, "[N, 8, 8] with N from 1 to 65536".to_string())
            .and_then(|array| array.into_dimensionality::<Ix3>().map_err(shape_error))
            .map_err(DigitsError::Images)?;
        let fits = |shape: &[usize]| matches!(*shape, [1..=MAX_DIGITS]);
        let labels = read(labels, "uint8", &types, fits, "[N] with N from 1 to 65536".to_string())
            .and_then(|array| array.into_dimensionality::<Ix1>().map_err(shape_error))
            .map_err(DigitsError::Labels)?;
        Self { images, labels }.checked()
    }

    fn checked(self) -> Result<Self, DigitsError> {
        let (images, labels) = (self.images.len_of(ndarray::Axis(0)), self.labels.len());
        if images != labels {
            return Err(DigitsError::Count { images, labels });
        }
        let is_bright = |image: ndarray::ArrayView2<'_, u8>| image.iter().any(|&pixel| pixel > BRIGHTEST);
        if let Some(index) = self.images.outer_iter().position(is_bright) {
            return Err(DigitsError::Pixel { index });
        }
        if let Some(index) = self.labels.iter().position(|&label| label > 9) {
            return Err(DigitsError::Label { index });
        }
        Ok(self)
    }

    /// The number of digits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false: files without digits are refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// A digit as an image [1, 3, 32, 32] with values from −1 (white) to 1 (black).
    ///
    /// Each pixel p of 0 to 16 becomes a square of 4×4 in three equal channels, (p/16 − 1/2)/(1/2).
    ///
    /// # Errors
    /// [`DigitsError::Index`].
    pub fn image(&self, index: usize) -> Result<ArrayD<f32>, DigitsError> {
        self.check_index(index)?;
        self.batch(index..index + 1)
    }

    /// The digit that an image shows, 0 to 9.
    ///
    /// # Errors
    /// [`DigitsError::Index`].
    pub fn label(&self, index: usize) -> Result<u8, DigitsError> {
        self.check_index(index)?;
        Ok(self.labels[index])
    }

    /// The digits that the images show, in order.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = u8> {
        self.labels.iter().copied()
    }

    /// Several digits as images [number of digits, 3, 32, 32], as [`image`](Self::image) gives them.
    ///
    /// # Errors
    /// [`DigitsError::EmptyRange`], [`DigitsError::Index`].
    pub fn batch(&self, range: Range<usize>) -> Result<ArrayD<f32>, DigitsError> {
        let Range { start, end } = range;
        let last = end.checked_sub(1).filter(|_| start < end).ok_or(DigitsError::EmptyRange { start, end })?;
        self.check_index(last)?;
        let shape = IxDyn(&[end - start, 3, SIZE * SCALE, SIZE * SCALE]);
        Ok(ArrayD::from_shape_fn(shape, |index| {
            let pixel = self.images[[start + index[0], index[2] / SCALE, index[3] / SCALE]];
            (f32::from(pixel) / f32::from(BRIGHTEST) - 0.5) / 0.5
        }))
    }

    fn check_index(&self, index: usize) -> Result<(), DigitsError> {
        let len = self.len();
        if index < len { Ok(()) } else { Err(DigitsError::Index { index, len }) }
    }
}

fn shape_error(error: ndarray::ShapeError) -> NpyError {
    NpyError::Format { reason: error.to_string() }
}
