//! Operations by name and attributes: the enumeration that graphs are made of.

use alloc::string::String;
use alloc::vec::Vec;
use core::iter::StepBy;
use core::ops::Range;

use mpc_protocols::function::Function;
use mpc_ring::Convolution;
use serde::{Deserialize, Serialize};

/// The operation of a node. Images are [batch, channels, height, width]; any other axis is like every other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Op {
    /// A tensor that the data owner provides.
    Input,
    /// A tensor that the model owner provides: the parameter `value`.
    Parameter,
    /// A two-dimensional convolution with the parameters `weight` and, if `bias`, `bias`.
    Convolution {
        /// The sizes.
        shape: Convolution,
        /// Whether a bias is added to each output channel.
        bias: bool,
    },
    /// y = x·Wᵀ + b for x of shape [rows, input_features].
    Linear {
        /// The length of a row of the input.
        input_features: usize,
        /// The length of a row of the output.
        output_features: usize,
        /// Whether a bias is added.
        bias: bool,
        /// The name before `.weight` and `.bias` of parameters that several nodes share; `None` for the node's own.
        tied: Option<String>,
    },
    /// x ⊙ w: element i times entry (i / inner) mod channels of the parameter `weight`.
    ScaleChannels(Channels),
    /// x + b: element i plus entry (i / inner) mod channels of the parameter `bias`.
    OffsetChannels(Channels),
    /// max(x, 0), element by element.
    Relu,
    /// A function of each element.
    Function(Function),
    /// The largest element of each window; padding never wins.
    MaxPool(Pool),
    /// The mean of each window.
    AveragePool(Pool),
    /// The sum over axes, which stay with size 1.
    Sum {
        /// The axes.
        axes: Vec<usize>,
    },
    /// The mean over axes, which stay with size 1.
    Mean {
        /// The axes.
        axes: Vec<usize>,
    },
    /// The index of the largest element along the last axis, the first of equal ones.
    ArgMax,
    /// The largest elements along the last axis in falling order, the first of equal ones in front, each together with its
    /// index: for [`Op::RankedValue`] and [`Op::RankedIndex`] alone.
    Rank {
        /// How many.
        count: usize,
    },
    /// The values of a [`Op::Rank`], which is the first input; the second is what was ranked.
    RankedValue,
    /// The indices of a [`Op::Rank`], which is the first input; the second is what was ranked.
    RankedIndex,
    /// The sum of two tensors of one shape, element by element.
    Add,
    /// The product of two tensors; element j of the second multiplies the j-th block of elements of the first.
    Multiply,
    /// x², element by element.
    Square,
    /// Products of matrices: [batch, rows, inner] × [batch, inner, columns] → [batch, rows, columns].
    MatrixProduct,
    /// x·factor, the factor being public.
    Scale {
        /// The factor.
        factor: f32,
    },
    /// x + value, the value being public.
    Offset {
        /// The value.
        value: f32,
    },
    /// A public linear map along an axis: position i of the result is a sum of coefficients times positions.
    Combine {
        /// The axis.
        axis: usize,
        /// For each position of the result, positions of the input and their coefficients.
        rows: Vec<Vec<(usize, f32)>>,
    },
    /// Tensors one after the other along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// The same elements, in row-major order, in another shape.
    Reshape,
    /// The axes in another order: axis i of the result is axis `permutation[i]` of the input.
    Transpose {
        /// A permutation of the axes.
        permutation: Vec<usize>,
    },
    /// Positions along an axis, which may repeat and be in any order.
    Gather {
        /// The axis.
        axis: usize,
        /// The position in the input of each position of the result.
        indices: Vec<usize>,
    },
    /// Zeros around a tensor.
    Pad {
        /// The number of zeros in front, for each axis.
        before: Vec<usize>,
        /// The number of zeros behind, for each axis.
        after: Vec<usize>,
    },
    /// Each axis restricted to the positions `start`, `start + step`, … below `stop`.
    Slice {
        /// The first position of each axis.
        start: Vec<usize>,
        /// One past the last position that each axis may use.
        stop: Vec<usize>,
        /// The distance of one position from the next, for each axis.
        step: Vec<usize>,
    },
    /// Running sums along an axis.
    CumulativeSum {
        /// The axis.
        axis: usize,
        /// Whether an element's own sum is without itself.
        exclusive: bool,
        /// Whether the sums run from the end.
        reverse: bool,
    },
    /// A digit of the largest whole number that is not above the input; the sum of all digits is that number.
    Digit {
        /// 0 for the sign, 1 for the highest two bits, then one more for each four bits of what is left.
        level: u32,
    },
    /// The same elements, with f fractional bits and `finer` more where a plan has room for them.
    Rounded {
        /// How many more.
        finer: u32,
    },
    /// The quotient of two tensors; element j of the second divides the j-th block of elements of the first.
    Divide {
        /// Whether no divisor is below 0.
        positive: bool,
    },
    /// A tensor of whole numbers that the data owner provides. They have no fractional bits where layers read them.
    WholeInput,
}

impl Op {
    /// Whether the data owner provides its value.
    #[must_use]
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Input | Self::WholeInput)
    }
}

/// Which entry of a vector belongs to which element of a tensor: entry (i / inner) mod channels to element i.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Channels {
    /// The number of entries.
    pub channels: usize,
    /// The number of neighbouring elements that share an entry.
    pub inner: usize,
}

/// The windows of a pooling layer, over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Distance from one window to the next, down and across.
    pub stride: [usize; 2],
    /// Rows or columns added at the top, left, bottom and right; each smaller than the window.
    pub padding: [usize; 4],
    /// Distance from one row or column of a window to the next, in the input.
    pub dilation: [usize; 2],
    /// Whether a mean counts the padding as zeros. Of no effect on a maximum.
    pub count_padding: bool,
}

impl Pool {
    /// Windows side by side, without padding.
    ///
    /// ```
    /// use mpc_nn::Pool;
    /// let overlapping = Pool { stride: [2, 2], padding: [1; 4], ..Pool::new([3, 3]) };
    /// let [rows, columns] = overlapping.window([0, 1], [8, 8]);
    /// assert!(rows.eq(0..2) && columns.eq(1..4));
    /// assert_eq!(overlapping.divisor([0, 1], [8, 8]), 6);
    /// ```
    #[must_use]
    pub const fn new(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: kernel, padding: [0; 4], dilation: [1; 2], count_padding: false }
    }

    /// The number of positions in a window.
    pub(crate) fn area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The rows and the columns of an input of size `input` that the window of `output` = [row, column] covers,
    /// without the padding. Never empty for a pool that a graph holds.
    pub fn window(&self, output: [usize; 2], input: [usize; 2]) -> [StepBy<Range<usize>>; 2] {
        [0, 1].map(|axis| self.window_along(axis, output[axis], input[axis]))
    }

    /// As [`window`](Self::window), the rows alone (axis 0) or the columns alone (axis 1).
    pub(crate) fn window_along(&self, axis: usize, output: usize, input: usize) -> StepBy<Range<usize>> {
        let (padding, dilation) = (self.padding[axis], self.dilation[axis]);
        let first = output * self.stride[axis];
        let outside = padding.saturating_sub(first).div_ceil(dilation);
        let start = (first + outside * dilation).saturating_sub(padding);
        let stop = (first + (self.kernel[axis] - 1) * dilation + 1).saturating_sub(padding).min(input);
        (start..stop).step_by(dilation)
    }

    /// The number that the sum over the window of `output` is divided by for its mean.
    #[must_use]
    pub fn divisor(&self, output: [usize; 2], input: [usize; 2]) -> usize {
        if self.count_padding {
            return self.area();
        }
        let [rows, columns] = self.window(output, input);
        rows.len() * columns.len()
    }
}
