//! Images from files: their form, their order in a folder, and what is refused.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use mpc_models::images::ImageChannels;
use mpc_models::{ImageClasses, ImageError, ImageFolder, ImageOptions, Model, decode_image, random_weights};
use mpc_nn::evaluate;
use proptest::prelude::*;

/// A folder of its own for a test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mpc-models-images-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn grey(value: u8, side: u32) -> GrayImage {
    GrayImage::from_pixel(side, side, Luma([value]))
}

fn png(value: u8) -> Vec<u8> {
    encoded(grey(value, 8), ImageFormat::Png)
}

/// An image that uses every value.
fn pattern(width: u32, height: u32) -> RgbImage {
    let low = |value: u32| (value % 256) as u8;
    RgbImage::from_fn(width, height, |x, y| Rgb([low(5 * x + 3 * y), low(x * y), low(x * x + 7 * y)]))
}

/// Keeps the values of 0 to 255.
fn bytes_of(size: [usize; 2], channels: ImageChannels) -> ImageOptions {
    ImageOptions { size, channels, mean: [0.0; 3], deviation: [1.0 / 255.0; 3] }
}

/// The values that Pillow 13 gives, which the training script uses, larger and smaller.
#[test]
fn grey_and_resized_as_pillow_does() {
    let larger: [[u8; 8]; 6] = [
        [0, 1, 2, 2, 3, 4, 5, 6],
        [2, 3, 4, 4, 5, 6, 7, 8],
        [3, 4, 5, 6, 7, 9, 10, 11],
        [4, 5, 6, 8, 9, 11, 13, 14],
        [6, 7, 8, 10, 12, 14, 16, 17],
        [7, 8, 10, 12, 14, 16, 18, 19],
    ];
    let smaller: [[u8; 8]; 6] = [
        [16, 40, 65, 81, 101, 118, 131, 141],
        [35, 75, 113, 142, 145, 141, 149, 157],
        [56, 113, 145, 125, 135, 152, 157, 137],
        [77, 141, 119, 141, 147, 150, 147, 103],
        [97, 137, 128, 142, 152, 153, 116, 98],
        [110, 124, 146, 145, 153, 143, 100, 101],
    ];
    for (image, expected) in [(pattern(45, 37), smaller), (pattern(4, 5), larger)] {
        let x = decode_image(&encoded(image, ImageFormat::Png), &bytes_of([6, 8], ImageChannels::Grey)).unwrap();
        assert_eq!(x.shape(), [1, 1, 6, 8]);
        // Pillow rounds between the two passes.
        for (found, expected) in x.iter().zip(expected.as_flattened()) {
            assert!((found - f32::from(*expected)).abs() <= 1.01, "{x} is not {expected:?}");
        }
    }
}

#[test]
fn channels_and_normalisation() {
    let image = encoded(RgbImage::from_pixel(5, 4, Rgb([255, 0, 51])), ImageFormat::Png);
    let options = ImageOptions {
        size: [2, 3],
        channels: ImageChannels::Colour,
        mean: [0.5, 0.25, 0.0],
        deviation: [0.5, 0.5, 0.1],
    };
    let x = decode_image(&image, &options).unwrap();
    assert_eq!(x.shape(), [1, 3, 2, 3]);
    for (channel, expected) in [(0, 1.0), (1, -0.5), (2, 2.0)] {
        assert!(x.index_axis(ndarray::Axis(1), channel).iter().all(|&value| (value - expected).abs() < 1e-6), "{x}");
    }
    let grey = decode_image(&image, &bytes_of([2, 3], ImageChannels::GreyThrice)).unwrap();
    // 0.299·255 + 0.114·51
    assert!(grey.shape() == [1, 3, 2, 3] && grey.iter().all(|&value| (value - 82.0).abs() < 1e-3), "{grey}");
}

#[test]
fn kinds_of_files() {
    let options = bytes_of([8, 8], ImageChannels::Grey);
    let half = DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(8, 8, Luma([200u16 * 257])));
    let clear = DynamicImage::ImageRgba8(image::ImageBuffer::from_pixel(8, 8, image::Rgba([200, 200, 200, 0])));
    let files = [
        png(200),
        encoded(grey(200, 8), ImageFormat::Jpeg),
        encoded(DynamicImage::ImageLuma8(grey(200, 8)).into_rgb8(), ImageFormat::Jpeg),
        encoded(half, ImageFormat::Png),
        encoded(clear, ImageFormat::Png),
        encoded(grey(200, 1), ImageFormat::Png),
    ];
    for (index, file) in files.iter().enumerate() {
        let x = decode_image(file, &options).unwrap();
        assert!(x.iter().all(|&value| (value - 200.0).abs() <= 1.001), "file {index}: {x}");
    }
}

#[test]
fn damaged_files() {
    let options = ImageOptions::GREY_32;
    for whole in [encoded(pattern(20, 20), ImageFormat::Png), encoded(pattern(20, 20), ImageFormat::Jpeg)] {
        assert!(decode_image(&whole, &options).is_ok());
        for length in (0..whole.len() / 2).chain([whole.len() / 2]) {
            assert!(matches!(decode_image(&whole[..length], &options), Err(ImageError::Format { .. })), "{length}");
        }
    }
    for other in [&b""[..], b"GIF89a\x01\x00\x01\x00", b"BM", b"P5 1 1 255 a", b"RIFF\0\0\0\0WEBPVP8 "] {
        assert!(matches!(decode_image(other, &options), Err(ImageError::Format { .. })));
    }
}

/// A header that promises a large image costs nothing.
#[test]
fn large_images_are_refused_by_their_header() {
    let mut file = png(0);
    file[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let checksum = crc32(&file[12..29]);
    file[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = decode_image(&file, &ImageOptions::GREY_32).unwrap_err();
    assert_eq!(error, ImageError::TooLarge { width: 65_536, height: 65_536 });

    let mut file = encoded(grey(0, 8), ImageFormat::Jpeg);
    let frame = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    file[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0x40, 0x00]);
    let error = decode_image(&file, &ImageOptions::GREY_32).unwrap_err();
    assert_eq!(error, ImageError::TooLarge { width: 16_384, height: 65_535 });
}

/// PNG's checksum (RFC 2083, section 15).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

#[test]
fn options_out_of_range() {
    let good = ImageOptions::GREY_32;
    let bad = [
        ("size", ImageOptions { size: [0, 32], ..good }),
        ("size", ImageOptions { size: [32, 4097], ..good }),
        ("mean", ImageOptions { mean: [0.0, f32::NAN, 0.0], ..good }),
        ("deviation", ImageOptions { deviation: [0.5, 0.5, 0.0], ..good }),
        ("deviation", ImageOptions { deviation: [f32::INFINITY; 3], ..good }),
        ("deviation", ImageOptions { deviation: [-1.0; 3], ..good }),
    ];
    for (field, options) in bad {
        let error = decode_image(&png(0), &options).unwrap_err();
        assert!(matches!(error, ImageError::Options { what, .. } if what == field), "{error}");
    }
}

#[test]
fn a_folder_in_order() {
    let folder = Folder::new();
    folder.write("normal/b.png", &png(30));
    folder.write("normal/a.JPG", &encoded(grey(20, 9), ImageFormat::Jpeg));
    folder.write("normal/10.png", &png(10));
    folder.write("normal/notes.txt", b"not an image");
    folder.write("normal/inner/c.png", &png(99));
    folder.write("COVID/z.jpeg", &encoded(grey(0, 9), ImageFormat::Jpeg));
    folder.write("read me.png", b"not in a class");
    let images = ImageFolder::open(folder.path()).unwrap();
    assert_eq!(images.classes(), ["COVID", "normal"]);
    assert_eq!(images.labels().collect::<Vec<_>>(), [0, 1, 1, 1]);
    let names: Vec<_> = images.files().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["z.jpeg", "10.png", "a.JPG", "b.png"]);
    let batch = images.batch(0..4, &bytes_of([2, 2], ImageChannels::GreyThrice)).unwrap();
    assert_eq!(batch.shape(), [4, 3, 2, 2]);
    for (image, value) in [0.0, 10.0, 20.0, 30.0].into_iter().enumerate() {
        assert!((batch[[image, 2, 1, 1]] - value).abs() <= 1.001, "{batch}");
    }
    for (start, end) in [(0, 0), (3, 5), (4, 4), (usize::MAX, 0)] {
        let error = images.batch(start..end, &ImageOptions::GREY_32).unwrap_err();
        assert_eq!(error, ImageError::Range { start, end, len: 4 });
    }
}

/// An X-ray data set's way through the network, with images that are made up and weights that are random.
#[test]
fn a_folder_through_resnet32() {
    let folder = Folder::new();
    for (class, value) in [("COVID", 60), ("Normal", 120), ("Viral Pneumonia", 180)] {
        for number in 0..2 {
            folder.write(&format!("{class}/{number}.png"), &encoded(grey(value + number, 299), ImageFormat::Png));
        }
    }
    let images = ImageFolder::open(folder.path()).unwrap();
    let json = br#"{"classes": ["COVID", "Normal", "Viral Pneumonia"], "size": [32, 32],
                    "mean": [0.5, 0.5, 0.5], "deviation": [0.5, 0.5, 0.5]}"#;
    let classes = ImageClasses::from_json(json).unwrap();
    assert_eq!((&classes.names[..], classes.options), (images.classes(), ImageOptions::GREY_32));
    let graph = Model::by_name("resnet32").unwrap().graph_for(6, classes.names.len()).unwrap();
    let weights = random_weights(&graph, 0).unwrap();
    let logits = evaluate(&graph, &weights, &[images.batch(0..6, &classes.options).unwrap()]).unwrap().remove(0);
    assert_eq!(logits.shape(), [6, 3]);
}

#[test]
fn unfit_folders() {
    let folder = Folder::new();
    let missing = folder.path().join("missing");
    assert!(matches!(ImageFolder::open(&missing), Err(ImageError::Read { .. })));
    assert!(matches!(ImageFolder::open(folder.path()), Err(ImageError::Count { what: "folders", found: 0, .. })));
    folder.write("a/x.txt", b"");
    let error = ImageFolder::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, ImageError::Count { what: "PNG or JPEG files", found: 0, path, .. } if path.ends_with("a"))
    );

    folder.write("a/x.png", b"no image");
    let images = ImageFolder::open(folder.path()).unwrap();
    let error = images.batch(0..1, &ImageOptions::GREY_32).unwrap_err();
    assert!(
        matches!(&error, ImageError::In { path, error } if path.ends_with("x.png")
        && matches!(**error, ImageError::Format { .. })),
        "{error}"
    );
    fs::remove_file(folder.path().join("a/x.png")).unwrap();
    assert!(matches!(images.batch(0..1, &ImageOptions::GREY_32), Err(ImageError::File(_))));
}

#[cfg(unix)]
#[test]
fn a_class_that_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let class = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    // Not every file system takes such a name.
    if fs::create_dir(&class).is_ok() {
        fs::write(class.join("x.png"), png(0)).unwrap();
        assert!(matches!(ImageFolder::open(folder.path()), Err(ImageError::Name { .. })));
    }
}

#[test]
fn unfit_classes() {
    let json = |classes: &str, size: &str, deviation: &str| {
        format!(r#"{{"classes": {classes}, "size": {size}, "mean": [0, 0, 0], "deviation": {deviation}}}"#)
    };
    let read = |json: String| ImageClasses::from_json(json.as_bytes());
    assert!(read(json(r#"["a", "b"]"#, "[32, 32]", "[1, 1, 1]")).is_ok());
    for (classes, size, deviation) in [
        ("[]", "[32, 32]", "[1, 1, 1]"),
        (r#"["a", "a"]"#, "[32, 32]", "[1, 1, 1]"),
        (r#"["a", 1]"#, "[32, 32]", "[1, 1, 1]"),
        (r#"["a"]"#, "[32]", "[1, 1, 1]"),
        (r#"["a"]"#, "[32, -1]", "[1, 1, 1]"),
        (r#"["a"]"#, "[32, 32]", r#"[1, 1, 1], "more": 0"#),
        (r#"["a"]"#, "[32, 32]", "[1, 1]"),
    ] {
        let error = read(json(classes, size, deviation)).unwrap_err();
        assert!(matches!(error, ImageError::Classes { .. }), "{error}");
    }
    let error = read(json(r#"["a"]"#, "[32, 32]", "[1, 1, 0]")).unwrap_err();
    assert!(matches!(error, ImageError::Options { what: "deviation", .. }), "{error}");
    assert!(matches!(ImageClasses::from_json(&vec![b' '; (1 << 20) + 1]), Err(ImageError::Classes { .. })));
    assert!(matches!(ImageClasses::from_json(&vec![b'['; 1 << 20]), Err(ImageError::Classes { .. })));
}

proptest! {
    #[test]
    fn damaged_images_never_panic(
        jpeg: bool,
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let format = if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png };
        let mut file = encoded(pattern(19, 23), format);
        for (place, byte) in places {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if let Ok(x) = decode_image(&file, &ImageOptions::GREY_32) {
            prop_assert!(x.shape() == [1, 3, 32, 32] && x.iter().all(|value| value.abs() <= 1.0));
        }
    }
}
