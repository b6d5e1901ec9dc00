//! PNG and JPEG images as inputs of a network, one by one or from a folder with a folder for each class.
//!
//! As the training script reads them: made grey, resized, taken once or three times, and normalised. Files are
//! untrusted; their sizes are checked before they are decoded. Images can be secret: buffers of this crate are
//! zeroised, those inside the decoders are not.

mod classes;
mod decode;
mod folder;

use std::string::String;

use mpc_nn::file::FileError;

pub use classes::ImageClasses;
pub use decode::{ImageChannels, ImageOptions, decode_image};
pub use folder::ImageFolder;

/// The largest file in bytes.
pub const MAX_FILE: usize = 64 << 20;
/// The largest height or width of an image in a file.
pub const MAX_SIDE: u32 = 16_384;
/// The largest number of pixels of an image in a file.
pub const MAX_PIXELS: u64 = 1 << 26;
/// The largest number of classes.
pub const MAX_CLASSES: usize = 1 << 12;

/// Why images cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file that is neither PNG nor JPEG, or is damaged.
    #[error("not a complete PNG or JPEG image: {reason}; convert it or save it again")]
    Format {
        /// The fault.
        reason: String,
    },
    /// An image of a size that is not decoded.
    #[error(
        "an image of {width}×{height} pixels; at most {MAX_PIXELS} pixels and {MAX_SIDE} on a side are read: scale it \
         down"
    )]
    TooLarge {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// Sizes, means or deviations that no image can be brought to.
    #[error("{what} of the image options: {expected}")]
    Options {
        /// The field.
        what: &'static str,
        /// The condition that it must meet.
        expected: &'static str,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file or folder.
        path: String,
        /// The operating system's message.
        reason: String,
    },
    /// A file that cannot be read or is too large.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the folder that is no image that can be used.
    #[error("{path}: {error}")]
    In {
        /// The file.
        path: String,
        /// The fault.
        #[source]
        error: Box<ImageError>,
    },
    /// A folder without what it should hold.
    #[error("{path} has {found} {what}, but must have {expected}")]
    Count {
        /// The folder.
        path: String,
        /// The things that it should hold.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: &'static str,
    },
    /// A name that is not UTF-8.
    #[error("{path} has a name that is not UTF-8; rename it")]
    Name {
        /// The file or folder, as far as it can be shown.
        path: String,
    },
    /// A file of classes that is not one.
    #[error("not a file of classes as the training script writes it: {reason}")]
    Classes {
        /// The fault.
        reason: String,
    },
    /// A range without images in it, or with some that are not there.
    #[error("the range {start}..{end} is empty or not within the {len} images, which are counted from 0")]
    Range {
        /// Where it starts.
        start: usize,
        /// Where it ends.
        end: usize,
        /// The number of images.
        len: usize,
    },
}
