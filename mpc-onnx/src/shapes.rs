//! The shapes that an import is for.

use std::collections::BTreeMap;

/// The shapes of inputs, by name, where a file leaves them open. A size that is not given is 1.
///
/// ```
/// use mpc_onnx::InputShapes;
/// let shapes = InputShapes::new().with("image", &[4, 3, 32, 32]);
/// assert_eq!(shapes.get("image"), Some([4, 3, 32, 32].as_slice()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputShapes(BTreeMap<String, Vec<usize>>);

impl InputShapes {
    /// Every open size is 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These shapes, and one for the input `name`.
    #[must_use]
    pub fn with(mut self, name: &str, shape: &[usize]) -> Self {
        self.0.insert(name.into(), shape.to_vec());
        self
    }

    /// The shape that was given for an input.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
