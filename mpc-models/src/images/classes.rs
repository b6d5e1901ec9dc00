use std::collections::BTreeSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde::Deserialize;

use super::{ImageChannels, ImageError, ImageOptions, MAX_CLASSES};

/// The largest file of classes in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The contents of the training script's file beside the weights: the names of the classes, and how images are read.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageClasses {
    /// The names, in the order of the network's logits.
    pub names: Vec<String>,
    /// How an image becomes the network's input.
    pub options: ImageOptions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    classes: Vec<String>,
    size: [usize; 2],
    mean: [f32; 3],
    deviation: [f32; 3],
}

impl ImageClasses {
    /// The classes from the JSON that the training script writes.
    ///
    /// ```
    /// use mpc_models::ImageClasses;
    /// let json = r#"{"classes": ["covid", "normal"], "size": [32, 32],
    ///                "mean": [0.5, 0.5, 0.5], "deviation": [0.5, 0.5, 0.5]}"#;
    /// assert_eq!(ImageClasses::from_json(json.as_bytes())?.names, ["covid", "normal"]);
    /// # Ok::<(), mpc_models::ImageError>(())
    /// ```
    ///
    /// # Errors
    /// JSON of another form or of more than 1 MiB; no classes, too many or the same twice; options that cannot be met.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.len() > MAX_BYTES {
            return Err(wrong(format!("it has more than {MAX_BYTES} bytes")));
        }
        let Unchecked { classes: names, size, mean, deviation } = serde_json::from_slice(bytes).map_err(wrong)?;
        if !(1..=MAX_CLASSES).contains(&names.len()) {
            return Err(wrong(format!("it has {} classes, not 1 to {MAX_CLASSES}", names.len())));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(wrong(format!("it has the class `{twice}` twice")));
        }
        let options = ImageOptions { size, channels: ImageChannels::GreyThrice, mean, deviation };
        options.check()?;
        Ok(Self { names, options })
    }
}

fn wrong(reason: impl ToString) -> ImageError {
    ImageError::Classes { reason: reason.to_string() }
}
