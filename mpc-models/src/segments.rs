//! Digits laid over crops of photographs, with the mask of their pixels: what the U-Net is for.

use std::ops::Range;

use ndarray::{Array3, Array4, ArrayD, ArrayView1, Axis};

use crate::samples::{MAX_SAMPLES, SamplesError, array, check, part};

const SIZE: usize = 32;
const IMAGES_NAME: &str = "images to segment";
const MASKS_NAME: &str = "masks";

#[cfg(feature = "bundled")]
const IMAGES: &[u8] = include_bytes!("../data/segment_test_images.npy");
#[cfg(feature = "bundled")]
const MASKS: &[u8] = include_bytes!("../data/segment_test_masks.npy");

/// Colour images with the mask of the digit in each. Public data, not a secret.
#[derive(Clone, Debug)]
pub struct Segments {
    images: Array4<u8>,
    masks: Array3<u8>,
}

impl Segments {
    /// The images that come with this crate: 64 digits that the bundled U-Net was not trained on, the first 32 over the
    /// photograph that it was trained with, the others over one that it has never seen.
    ///
    /// # Errors
    /// The bundled files are damaged.
    #[cfg(feature = "bundled")]
    pub fn bundled() -> Result<Self, SamplesError> {
        Self::from_npy(IMAGES, MASKS)
    }

    /// Images from two `.npy` files: `uint8` images `[N, 3, 32, 32]`, and `uint8` masks `[N, 32, 32]` of 0 and 1.
    ///
    /// # Errors
    /// A file that is damaged or holds another type or shape; another value in a mask; different numbers of them.
    pub fn from_npy(images: &[u8], masks: &[u8]) -> Result<Self, SamplesError> {
        let types = ["|u1", "u1"];
        let images_fit = |shape: &[usize]| matches!(*shape, [1..=MAX_SAMPLES, 3, SIZE, SIZE]);
        let masks_fit = |shape: &[usize]| matches!(*shape, [1..=MAX_SAMPLES, SIZE, SIZE]);
        let images: Array4<u8> =
            array(IMAGES_NAME, images, "uint8", &types, (images_fit, "[N, 3, 32, 32] with N from 1 to 65536"))?;
        let masks: Array3<u8> =
            array(MASKS_NAME, masks, "uint8", &types, (masks_fit, "[N, 32, 32] with N from 1 to 65536"))?;
        let (samples, targets) = (images.len_of(Axis(0)), masks.len_of(Axis(0)));
        if samples != targets {
            return Err(SamplesError::Count { samples, what: MASKS_NAME, targets });
        }
        check(MASKS_NAME, &masks, "0 or 1", |value| value <= 1)?;
        Ok(Self { images, masks })
    }

    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len_of(Axis(0))
    }

    /// Always false: files without images are refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Several images as the network takes them, [number of images, 3, 32, 32]: (x/255 − 1/2)/(1/2).
    ///
    /// # Errors
    /// An empty range, or images that are not there.
    pub fn batch(&self, range: Range<usize>) -> Result<ArrayD<f32>, SamplesError> {
        Ok(part(&self.images, range)?.mapv(|value| (f32::from(value) / 255.0 - 0.5) / 0.5))
    }

    /// Their masks, [number of images, 1, 32, 32], 1 where at least half of a pixel is ink.
    ///
    /// # Errors
    /// An empty range, or images that are not there.
    pub fn masks(&self, range: Range<usize>) -> Result<ArrayD<u8>, SamplesError> {
        Ok(part(&self.masks, range)?.to_owned().insert_axis(Axis(1)))
    }
}

/// How far a predicted mask and the true one agree, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Pixels in both masks.
    pub both: usize,
    /// Pixels in at least one.
    pub either: usize,
}

impl Overlap {
    /// Compares logits with masks, element by element; a positive logit is a pixel of the mask.
    ///
    /// ```
    /// use mpc_models::Overlap;
    /// use ndarray::array;
    /// let overlap = Overlap::of(array![2.0, -1.0, 0.5, -3.0].view(), array![1, 1, 0, 0].view());
    /// assert_eq!(overlap, Overlap { both: 1, either: 3 });
    /// assert_eq!(overlap.iou(), 1.0 / 3.0);
    /// ```
    #[must_use]
    pub fn of(logits: ArrayView1<'_, f32>, masks: ArrayView1<'_, u8>) -> Self {
        let pixels = logits.iter().zip(masks).map(|(&logit, &mask)| (logit > 0.0, mask != 0));
        pixels.fold(Self::default(), |Self { both, either }, (found, wanted)| Self {
            both: both + usize::from(found && wanted),
            either: either + usize::from(found || wanted),
        })
    }

    /// Intersection over union, 1 if both masks are empty.
    #[must_use]
    pub fn iou(self) -> f64 {
        if self.either == 0 { 1.0 } else { self.both as f64 / self.either as f64 }
    }
}
