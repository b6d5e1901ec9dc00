//! The result of a segmentation, as a picture.

use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use ndarray::{ArrayD, Axis};

use super::results::Results;
use super::samples::Samples;

/// Pixels of the picture for one of an image.
const SCALE: u32 = 6;
/// Pixels between pictures.
const GAP: u32 = 12;
const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);

/// A pixel's colour, by row and column.
type Colour<'a> = &'a dyn Fn(usize, usize) -> Rgb<u8>;

/// Writes a PNG with a row for each sample: the image, the private mask and the mask in the clear.
pub fn draw(path: &Path, samples: &Samples, results: &Results) -> Result<(), String> {
    let images: Vec<ArrayD<f32>> = samples
        .inferences
        .iter()
        .filter_map(|inputs| inputs.first()?.as_ref())
        .flat_map(|batch| batch.outer_iter().map(|image| image.to_owned()))
        .collect();
    let Some(&[_, height, width]) = images.first().map(ArrayD::shape) else {
        return Err("a picture needs images of channels, height and width".to_owned());
    };
    let cell = [width as u32 * SCALE + GAP, height as u32 * SCALE + GAP];
    let mut picture = RgbImage::from_pixel(3 * cell[0] + GAP, images.len() as u32 * cell[1] + GAP, BACKGROUND);
    for (row, (image, (private, plain))) in images.iter().zip(results.samples()).enumerate() {
        let channel = |channel: usize, y: usize, x: usize| {
            // Networks take values from −1 to 1; what has one channel is grey.
            let plane = image.index_axis(Axis(0), channel.min(image.len_of(Axis(0)) - 1));
            (plane[[y, x]].clamp(-1.0, 1.0).mul_add(127.5, 127.5)) as u8
        };
        let colour = |y: usize, x: usize| Rgb([0, 1, 2].map(|of| channel(of, y, x)));
        let bit = |is_inside: bool| Rgb([if is_inside { 255 } else { 0 }; 3]);
        let private = |y: usize, x: usize| bit(private[[0, y, x]] > 0.0);
        let plain = |y: usize, x: usize| bit(plain[[0, y, x]] > 0.0);
        let columns: [Colour<'_>; 3] = [&colour, &private, &plain];
        for (column, colour) in columns.into_iter().enumerate() {
            let corner = [GAP + column as u32 * cell[0], GAP + row as u32 * cell[1]];
            fill(&mut picture, corner, [height, width], colour);
        }
    }
    let failed = |reason: String| format!("cannot write {}: {reason}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    }
    picture.save_with_format(path, ImageFormat::Png).map_err(|error| failed(error.to_string()))
}

fn fill(picture: &mut RgbImage, [left, top]: [u32; 2], [height, width]: [usize; 2], colour: Colour<'_>) {
    for y in 0..height as u32 * SCALE {
        for x in 0..width as u32 * SCALE {
            picture.put_pixel(left + x, top + y, colour((y / SCALE) as usize, (x / SCALE) as usize));
        }
    }
}
