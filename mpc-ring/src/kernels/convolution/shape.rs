//! The extents of a convolution, and their validation.

/// A two-dimensional convolution (a cross-correlation, as in PyTorch) of images in NCHW order.
///
/// The input is batch × input_channels × height × width, the weights are output_channels × (input_channels / groups) ×
/// kernel\[0\] × kernel\[1\], the output is batch × output_channels × output_height × output_width.
///
/// [`validate`](Self::validate) says whether the extents fit together; the other methods require that they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Channels of an input image.
    pub input_channels: usize,
    /// Channels of an output image.
    pub output_channels: usize,
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal distance between the positions of the kernel.
    pub stride: [usize; 2],
    /// Zeros around an input image: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Vertical and horizontal distance between the taps of the kernel, 1 for a dense kernel.
    pub dilation: [usize; 2],
    /// Groups of channels: group g of the output depends on group g of the input only.
    pub groups: usize,
}

/// Extents that do not make a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// An extent is zero.
    #[error("{extent} is zero")]
    Zero {
        /// The field's name.
        extent: &'static str,
    },
    /// The groups do not divide the channels.
    #[error("{groups} groups do not divide {channels} {extent}")]
    Groups {
        /// The number of groups.
        groups: usize,
        /// The number of channels.
        channels: usize,
        /// The field's name.
        extent: &'static str,
    },
    /// The dilated kernel is larger than the padded input.
    #[error("the kernel spans {span} along the {extent}, the padded input has {padded}")]
    KernelTooLarge {
        /// `"height"` or `"width"`.
        extent: &'static str,
        /// The extent of the dilated kernel.
        span: usize,
        /// The extent of the padded input.
        padded: usize,
    },
    /// A length overflows.
    #[error("the length of the {what} overflows")]
    Overflow {
        /// Which length.
        what: &'static str,
    },
}

impl Convolution {
    /// A convolution of one image, at every position where the kernel fits: stride 1, no padding, no dilation, one group.
    ///
    /// `channels` are those of the input and of the output; `size` and `kernel` are rows and columns.
    ///
    /// ```
    /// use mpc_ring::Convolution;
    /// let shape = Convolution { padding: [1; 4], ..Convolution::valid([3, 16], [32, 32], [3, 3]) };
    /// assert_eq!(shape.output_len(), 16 * 32 * 32);
    /// ```
    #[must_use]
    pub const fn valid(channels: [usize; 2], size: [usize; 2], kernel: [usize; 2]) -> Self {
        Self {
            batch: 1,
            input_channels: channels[0],
            output_channels: channels[1],
            height: size[0],
            width: size[1],
            kernel,
            stride: [1; 2],
            padding: [0; 4],
            dilation: [1; 2],
            groups: 1,
        }
    }

    /// Whether the extents make a convolution whose lengths, in bytes of any ring, fit a `usize`.
    ///
    /// # Errors
    /// If an extent is zero, the groups do not divide the channels, the kernel is larger than the padded input, or a
    /// length overflows.
    pub fn validate(&self) -> Result<(), ShapeError> {
        self.check_nonzero()?;
        for (channels, extent) in [(self.input_channels, "input_channels"), (self.output_channels, "output_channels")] {
            if !channels.is_multiple_of(self.groups) {
                return Err(ShapeError::Groups { groups: self.groups, channels, extent });
            }
        }
        let output = [self.checked_output_extent(0)?, self.checked_output_extent(1)?];
        self.check_lengths(output)
    }

    /// Rows of an output image.
    #[must_use]
    pub fn output_height(&self) -> usize {
        self.output_extent(0)
    }

    /// Columns of an output image.
    #[must_use]
    pub fn output_width(&self) -> usize {
        self.output_extent(1)
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.batch * self.input_channels * self.height * self.width
    }

    /// Elements of the weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.output_channels * (self.input_channels / self.groups) * self.kernel[0] * self.kernel[1]
    }

    /// Elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.batch * self.output_channels * self.output_height() * self.output_width()
    }

    /// Multiplications of ring elements, those by padding included.
    #[must_use]
    pub fn multiplications(&self) -> u64 {
        let taps = (self.input_channels / self.groups) as u64 * self.kernel[0] as u64 * self.kernel[1] as u64;
        self.output_len() as u64 * taps
    }

    /// The convolution of one group of one image.
    pub(super) fn group(&self) -> Self {
        // A stride beyond the padded input moves nowhere; bounded, it does not enlarge the copy either.
        let stride = |axis: usize| self.stride[axis].min(self.padded_extent(axis));
        Self {
            batch: 1,
            input_channels: self.input_channels / self.groups,
            output_channels: self.output_channels / self.groups,
            stride: [stride(0), stride(1)],
            groups: 1,
            ..*self
        }
    }

    /// Whether the kernel covers the input exactly, so that every output is one dot product.
    pub(super) fn is_product(&self) -> bool {
        self.padding == [0; 4] && self.dilation == [1, 1] && self.kernel == [self.height, self.width]
    }

    /// Whether the taps find their columns contiguous in the input itself.
    pub(super) fn is_contiguous(&self) -> bool {
        self.padding == [0; 4] && self.stride == [1, 1]
    }

    pub(super) fn expect_valid(&self) {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
    }

    fn padded_extent(&self, axis: usize) -> usize {
        [self.height, self.width][axis] + self.padding[axis] + self.padding[axis + 2]
    }

    fn output_extent(&self, axis: usize) -> usize {
        (self.padded_extent(axis) - (self.kernel[axis] - 1) * self.dilation[axis] - 1) / self.stride[axis] + 1
    }

    fn checked_output_extent(&self, axis: usize) -> Result<usize, ShapeError> {
        let extent = ["height", "width"][axis];
        let overflow = ShapeError::Overflow { what: ["padded height", "padded width"][axis] };
        let input = [self.height, self.width][axis];
        let padded = input.checked_add(self.padding[axis]).and_then(|sum| sum.checked_add(self.padding[axis + 2]));
        let span = (self.kernel[axis] - 1).checked_mul(self.dilation[axis]).and_then(|span| span.checked_add(1));
        let (padded, span) = padded.zip(span).ok_or(overflow)?;
        if span > padded {
            return Err(ShapeError::KernelTooLarge { extent, span, padded });
        }
        Ok((padded - span) / self.stride[axis] + 1)
    }

    fn check_nonzero(&self) -> Result<(), ShapeError> {
        let extents = [
            (self.batch, "batch"),
            (self.input_channels, "input_channels"),
            (self.output_channels, "output_channels"),
            (self.height, "height"),
            (self.width, "width"),
            (self.kernel[0], "kernel height"),
            (self.kernel[1], "kernel width"),
            (self.stride[0], "vertical stride"),
            (self.stride[1], "horizontal stride"),
            (self.dilation[0], "vertical dilation"),
            (self.dilation[1], "horizontal dilation"),
            (self.groups, "groups"),
        ];
        match extents.into_iter().find(|&(extent, _)| extent == 0) {
            Some((_, extent)) => Err(ShapeError::Zero { extent }),
            None => Ok(()),
        }
    }

    fn check_lengths(&self, output: [usize; 2]) -> Result<(), ShapeError> {
        // The copy of an image has less than one stride more than its padded extents.
        let copied = [0, 1].map(|axis| self.padded_extent(axis).saturating_mul(2));
        let channels = self.input_channels / self.groups;
        let taps = [channels, self.kernel[0], self.kernel[1]];
        checked_len("input", &[self.batch, self.input_channels, self.height, self.width])?;
        checked_len("padded input", &[channels, copied[0], copied[1]])?;
        checked_len("weights", &[self.output_channels, taps[0], taps[1], taps[2]])?;
        checked_len("output", &[self.batch, self.output_channels, output[0], output[1]])?;
        let factors = [self.batch, self.output_channels, output[0], output[1], taps[0], taps[1], taps[2]];
        let product = factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(factor as u64));
        product.map(|_| ()).ok_or(ShapeError::Overflow { what: "multiplications" })
    }
}

/// Fails unless that many elements of the largest ring fit the address space.
fn checked_len(what: &'static str, factors: &[usize]) -> Result<(), ShapeError> {
    let len = factors.iter().try_fold(size_of::<u128>(), |product, &factor| product.checked_mul(factor));
    match len {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(ShapeError::Overflow { what }),
    }
}
