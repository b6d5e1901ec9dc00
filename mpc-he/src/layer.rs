//! Linear layers as cross-correlations: extents, and where each operand's elements stand.

use mpc_ring::Convolution;

use crate::HeError;

/// No operand has more elements than this.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// A linear map with fixed weights that can be evaluated on an encrypted input: a convolution of one image of any stride, dilation,
/// padding and grouping, a transposed one, or a matrix product with the weights on either side.
///
/// ```
/// use mpc_he::Linear;
/// // 10 × 64 weights times an input of 64 × 1.
/// let layer = Linear::left_product(10, 64, 1)?;
/// assert_eq!((layer.input_len(), layer.weight_len(), layer.output_len()), (64, 640, 10));
/// # Ok::<(), mpc_he::HeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    order: Order,
    pub(crate) groups: usize,
    /// Channels of a group's input and output.
    pub(crate) channels: [usize; 2],
    /// Rows and columns.
    pub(crate) axes: [Axis; 2],
}

/// The order of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Convolution,
    Transposed,
    LeftProduct,
    RightProduct,
}

/// One spatial dimension. The kernel moves over a grid whose positions are elements of the input or zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Axis {
    /// Elements of the input.
    pub(crate) input: usize,
    /// Taps of the kernel.
    pub(crate) kernel: usize,
    /// Positions of the grid between two outputs, and between two taps.
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Outputs.
    pub(crate) outputs: usize,
    /// Position v of the grid is element (v·step − padding) / upsampling of the input, where that is one.
    step: usize,
    padding: isize,
    upsampling: usize,
}

impl Axis {
    fn new(input: usize, kernel: usize, stride: usize, dilation: usize, outputs: usize, padding: isize) -> Self {
        // A kernel of one tap skips what lies between two outputs.
        let [grid, step, dilation] = if kernel == 1 { [1, stride, 1] } else { [stride, 1, dilation] };
        Self { input, kernel, stride: grid, dilation, outputs, step, padding, upsampling: 1 }
    }

    /// Positions of the grid under `outputs` outputs.
    pub(crate) fn extent(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
    }

    /// The element of the input at a position of the grid; padding has none.
    pub(crate) fn source(&self, position: usize) -> Option<usize> {
        let place = usize::try_from((position * self.step) as isize - self.padding).ok()?;
        let element = place / self.upsampling;
        (place.is_multiple_of(self.upsampling) && element < self.input).then_some(element)
    }

    /// Whether one of `outputs` outputs reads this position, counted from the first output's first tap.
    pub(crate) fn is_read(&self, outputs: usize, position: usize) -> bool {
        (0..self.kernel).any(|tap| {
            let first = position.checked_sub(tap * self.dilation);
            first.is_some_and(|first| first.is_multiple_of(self.stride) && first / self.stride < outputs)
        })
    }
}

impl Linear {
    /// A convolution (a cross-correlation, as in PyTorch) of one image, in the orders of [`Convolution`].
    ///
    /// # Errors
    /// If the shape is not valid, has more than one image, or an operand has more than [`MAX_ELEMENTS`] elements.
    pub fn convolution(shape: &Convolution) -> Result<Self, HeError> {
        shape.validate()?;
        let [height, width] = [shape.output_height(), shape.output_width()];
        Self::from_shape(shape, Order::Convolution, [(shape.height, height, 0), (shape.width, width, 1)], |axis| {
            Ok(shape.padding[axis] as isize)
        })
    }

    /// A transposed convolution of one image: `shape` has the channels and extents of its input; each element of it is put
    /// `stride` apart, meets the kernel, and `padding` is cut off; `output_padding` rows and columns come on top. Weights are
    /// in the order input channel, output channel of the group, row, column, as in ONNX and PyTorch.
    ///
    /// # Errors
    /// As [`convolution`](Self::convolution), and if the padding is larger than the kernel reaches or nothing is left.
    pub fn transposed(shape: &Convolution, output_padding: [usize; 2]) -> Result<Self, HeError> {
        // The kernel's extents do not depend on the input's: with enough padding this is a valid convolution or none.
        let extent = |axis: usize| -> Result<usize, HeError> {
            let reach = (shape.kernel[axis].max(1) - 1).checked_mul(shape.dilation[axis]);
            let sides = shape.padding[axis].checked_add(shape.padding[axis + 2]);
            let input = [shape.height, shape.width][axis];
            let full = input.checked_sub(1).and_then(|last| last.checked_mul(shape.stride[axis])?.checked_add(1));
            full.zip(reach)
                .and_then(|(full, reach)| full.checked_add(reach)?.checked_add(output_padding[axis]))
                .zip(sides)
                .and_then(|(full, sides)| full.checked_sub(sides))
                .filter(|&extent| (1..=MAX_ELEMENTS).contains(&extent))
                .ok_or(HeError::Unsupported { reason: "the transposed convolution has no output, or a huge one" })
        };
        let outputs = [extent(0)?, extent(1)?];
        if shape.dilation.contains(&0) || shape.kernel.contains(&0) {
            return Err(HeError::Unsupported { reason: "an extent is zero" });
        }
        Convolution { padding: [0; 4], dilation: [1, 1], height: shape.kernel[0], width: shape.kernel[1], ..*shape }
            .validate()?;
        let axes = [(shape.height, outputs[0], 0), (shape.width, outputs[1], 1)];
        let mut layer = Self::from_shape(shape, Order::Transposed, axes, |axis| {
            let reach = (shape.kernel[axis] - 1) * shape.dilation[axis];
            Ok(reach as isize - shape.padding[axis] as isize)
        })?;
        for (axis, stride) in layer.axes.iter_mut().zip(shape.stride) {
            // The kernel moves by one over the input with zeros between its elements.
            (axis.upsampling, axis.step, axis.stride) = (stride, 1, 1);
        }
        Ok(layer)
    }

    fn from_shape(
        shape: &Convolution,
        order: Order,
        axes: [(usize, usize, usize); 2],
        padding: impl Fn(usize) -> Result<isize, HeError>,
    ) -> Result<Self, HeError> {
        if shape.batch != 1 {
            return Err(HeError::Unsupported { reason: "it has more than one image: encrypt each image" });
        }
        let axis = |(input, outputs, axis): (usize, usize, usize)| -> Result<Axis, HeError> {
            let bounded =
                [shape.stride[axis], shape.dilation[axis], shape.kernel[axis], input, outputs, shape.padding[axis]];
            if bounded.into_iter().any(|extent| extent > MAX_ELEMENTS) {
                return Err(HeError::Unsupported { reason: "an extent is larger than 2^28" });
            }
            let [stride, dilation] = [shape.stride[axis], shape.dilation[axis]];
            Ok(Axis::new(input, shape.kernel[axis], stride, dilation, outputs, padding(axis)?))
        };
        let channels = [shape.input_channels / shape.groups, shape.output_channels / shape.groups];
        Self { order, groups: shape.groups, channels, axes: [axis(axes[0])?, axis(axes[1])?] }.checked()
    }

    /// Weights of `rows` × `inner` times an input of `inner` × `columns`, row by row.
    ///
    /// # Errors
    /// If an extent is zero or an operand has more than [`MAX_ELEMENTS`] elements.
    pub fn left_product(rows: usize, inner: usize, columns: usize) -> Result<Self, HeError> {
        Self::product(Order::LeftProduct, [inner, rows], columns)
    }

    /// An input of `rows` × `inner` times weights of `inner` × `columns`, row by row.
    ///
    /// # Errors
    /// If an extent is zero or an operand has more than [`MAX_ELEMENTS`] elements.
    pub fn right_product(rows: usize, inner: usize, columns: usize) -> Result<Self, HeError> {
        Self::product(Order::RightProduct, [inner, columns], rows)
    }

    fn product(order: Order, channels: [usize; 2], positions: usize) -> Result<Self, HeError> {
        if channels[0] == 0 || channels[1] == 0 || positions == 0 {
            return Err(HeError::Unsupported { reason: "an extent is zero" });
        }
        let axis = |extent| Axis::new(extent, 1, 1, 1, extent, 0);
        Self { order, groups: 1, channels, axes: [axis(positions), axis(1)] }.checked()
    }

    fn checked(self) -> Result<Self, HeError> {
        let [rows, columns] = self.axes;
        let lengths = [
            [self.channels[0], rows.input, columns.input],
            [self.channels[1], rows.outputs, columns.outputs],
            [self.channels[0].saturating_mul(self.channels[1]), rows.kernel, columns.kernel],
        ];
        let len = |factors: [usize; 3]| factors.into_iter().fold(self.groups, usize::saturating_mul);
        if lengths.into_iter().any(|factors| len(factors) > MAX_ELEMENTS) {
            return Err(HeError::Unsupported { reason: "an operand has more than 2^28 elements" });
        }
        Ok(self)
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.groups * self.channels[0] * self.axes[0].input * self.axes[1].input
    }

    /// Elements of the weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.groups * self.channels[0] * self.channels[1] * self.taps()
    }

    /// Elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.groups * self.channels[1] * self.axes[0].outputs * self.axes[1].outputs
    }

    /// Taps of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.axes[0].kernel * self.axes[1].kernel
    }

    pub(crate) fn input_index(&self, channel: [usize; 2], [y, x]: [usize; 2]) -> usize {
        let [group, channel] = channel;
        match self.order {
            Order::RightProduct => y * self.channels[0] + channel,
            _ => ((group * self.channels[0] + channel) * self.axes[0].input + y) * self.axes[1].input + x,
        }
    }

    pub(crate) fn output_index(&self, channel: [usize; 2], [y, x]: [usize; 2]) -> usize {
        let [group, channel] = channel;
        match self.order {
            Order::RightProduct => y * self.channels[1] + channel,
            _ => ((group * self.channels[1] + channel) * self.axes[0].outputs + y) * self.axes[1].outputs + x,
        }
    }

    /// The weight from input channel `input` to output channel `output` of a group at tap (y, x).
    pub(crate) fn weight_index(&self, group: usize, [input, output]: [usize; 2], [y, x]: [usize; 2]) -> usize {
        let [height, width] = [self.axes[0].kernel, self.axes[1].kernel];
        let [inputs, outputs] = self.channels;
        match self.order {
            Order::Convolution | Order::LeftProduct => {
                (((group * outputs + output) * inputs + input) * height + y) * width + x
            }
            Order::RightProduct => input * outputs + output,
            Order::Transposed => {
                let first = ((group * inputs + input) * outputs + output) * height + (height - 1 - y);
                first * width + (width - 1 - x)
            }
        }
    }
}
