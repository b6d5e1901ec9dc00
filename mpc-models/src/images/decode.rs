use std::io::Cursor;
use std::string::ToString;
use std::vec::Vec;

use image::imageops::{FilterType, resize};
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Luma, Pixel, Rgb, RgbImage};
use ndarray::{ArrayD, IxDyn};
use zeroize::Zeroizing;

use super::{ImageError, MAX_PIXELS, MAX_SIDE};

/// The largest height or width that an image is resized to.
const MAX_RESIZED: usize = 4096;
/// The most memory that decoding may take beyond the image itself.
const DECODER_MEMORY: u64 = 512 << 20;

/// Which channels a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageChannels {
    /// One channel of brightness.
    Grey,
    /// Brightness, in three equal channels.
    GreyThrice,
    /// Red, green and blue.
    Colour,
}

impl ImageChannels {
    /// The number of channels.
    #[must_use]
    pub fn len(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }

    /// Always false.
    #[must_use]
    pub fn is_empty(self) -> bool {
        false
    }
}

/// The form that an image is brought into: resized, and each value x of 0 to 255 as (x/255 − mean) / deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageOptions {
    /// Height and width.
    pub size: [usize; 2],
    /// The channels.
    pub channels: ImageChannels,
    /// Of each channel; the first counts where there is one only.
    pub mean: [f32; 3],
    /// Of each channel, positive.
    pub deviation: [f32; 3],
}

impl ImageOptions {
    /// As the training script reads a folder: three equal channels of 32×32, values from −1 (black) to 1 (white).
    pub const GREY_32: Self =
        Self { size: [32, 32], channels: ImageChannels::GreyThrice, mean: [0.5; 3], deviation: [0.5; 3] };

    /// Whether images can be brought to this form.
    ///
    /// # Errors
    /// [`ImageError::Options`].
    pub fn check(&self) -> Result<(), ImageError> {
        let wrong = |what, expected| Err(ImageError::Options { what, expected });
        if !self.size.iter().all(|side| (1..=MAX_RESIZED).contains(side)) {
            return wrong("size", "height and width from 1 to 4096");
        }
        if !self.mean.iter().all(|mean| mean.abs() <= 1e3) {
            return wrong("mean", "numbers between -1000 and 1000");
        }
        // A comparison with NaN is false.
        if !self.deviation.iter().all(|deviation| (1e-3..=1e3).contains(deviation)) {
            return wrong("deviation", "numbers between 0.001 and 1000");
        }
        Ok(())
    }
}

/// A PNG or JPEG image as a network takes it, [1, channels, height, width].
///
/// Transparency is ignored; the orientation that the file states is applied. Grey is (19595·R + 38470·G + 7471·B) / 2^16 (ITU-R BT.601, as
/// Pillow has it); a resized pixel is the mean of those it covers and their neighbours, weighted by a triangle.
///
/// ```
/// use mpc_models::{ImageError, ImageOptions, decode_image};
/// let mut png = std::io::Cursor::new(Vec::new());
/// image::GrayImage::from_pixel(40, 50, image::Luma([255])).write_to(&mut png, image::ImageFormat::Png)?;
/// let x = decode_image(png.get_ref(), &ImageOptions::GREY_32)?;
/// assert_eq!((x.shape(), x[[0, 2, 31, 31]]), (&[1, 3, 32, 32][..], 1.0));
/// assert!(matches!(decode_image(b"GIF89a", &ImageOptions::GREY_32), Err(ImageError::Format { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Bytes that are neither PNG nor JPEG, are damaged or too large; options that cannot be met.
pub fn decode_image(bytes: &[u8], options: &ImageOptions) -> Result<ArrayD<f32>, ImageError> {
    options.check()?;
    let colours = decode(bytes)?;
    let values = match options.channels {
        ImageChannels::Colour => resized::<Rgb<u8>>(colours, options.size)?,
        _ => resized::<Luma<u8>>(grey(colours)?, options.size)?,
    };
    let [height, width] = options.size;
    let stored = if options.channels == ImageChannels::Colour { 3 } else { 1 };
    Ok(ArrayD::from_shape_fn(IxDyn(&[1, options.channels.len(), height, width]), |index| {
        let (channel, pixel) = (index[1], index[2] * width + index[3]);
        let value = f32::from(values[pixel * stored + channel % stored]) / 255.0;
        (value - options.mean[channel]) / options.deviation[channel]
    }))
}

fn decode(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let format = image::guess_format(bytes).map_err(format_error)?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
        return Err(ImageError::Format { reason: std::format!("it is {}", format.to_mime_type()) });
    }
    let reader = || ImageReader::with_format(Cursor::new(bytes), format);
    // From the header, before memory for the pixels is taken.
    let (width, height) = reader().into_dimensions().map_err(format_error)?;
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge { width, height });
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(DECODER_MEMORY);
    let mut reader = reader();
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(format_error)?;
    // A camera says in its file which way up it was held.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(format_error)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

fn grey(colours: RgbImage) -> Result<ImageBuffer<Luma<u8>, Vec<u8>>, ImageError> {
    let (width, height) = colours.dimensions();
    let colours = Zeroizing::new(colours.into_raw());
    let brightness = |&[red, green, blue]: &[u8; 3]| {
        let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
        ((sum + (1 << 15)) >> 16) as u8
    };
    let values = colours.as_chunks().0.iter().map(brightness).collect();
    ImageBuffer::from_raw(width, height, values).ok_or_else(|| format_error("it has too few pixels"))
}

/// The values of the resized image, row by row, the channels of a pixel side by side.
fn resized<P>(image: ImageBuffer<P, Vec<u8>>, [height, width]: [usize; 2]) -> Result<Zeroizing<Vec<u8>>, ImageError>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    // At most MAX_RESIZED, which the options are checked for.
    let (width, height) = (width as u32, height as u32);
    let small = Zeroizing::new(resize(&image, width, height, FilterType::Triangle).into_raw());
    drop(Zeroizing::new(image.into_raw()));
    Ok(small)
}

fn format_error(reason: impl ToString) -> ImageError {
    ImageError::Format { reason: reason.to_string() }
}
