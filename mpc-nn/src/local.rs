//! Steps that each party does on its shares alone: they are linear, so they need no message.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, ShareError};
use ndarray::{ArrayViewD, ArrayViewMutD, IxDyn, Slice};

use crate::graph::Pool;

/// A view of shares in their shape.
fn view<R: Ring>(shares: &ArithmeticShares<R>) -> ArrayViewD<'_, R> {
    ArrayViewD::from_shape(IxDyn(shares.shape()), shares.elements())
        .expect("shares have as many elements as their shape")
}

fn view_mut<R: Ring>(shares: &mut ArithmeticShares<R>) -> ArrayViewMutD<'_, R> {
    let shape = IxDyn(shares.shape());
    ArrayViewMutD::from_shape(shape, shares.elements_mut()).expect("shares have as many elements as their shape")
}

/// A copy, for a value that other steps still read.
pub(crate) fn copy<R: Ring>(x: &ArithmeticShares<R>) -> ArithmeticShares<R> {
    ArithmeticShares::new(x.shape(), x.elements().to_vec()).expect("the shape is the same")
}

fn zeros<R: Ring>(shape: &[usize]) -> Result<ArithmeticShares<R>, ShareError> {
    ArithmeticShares::new(shape, vec![R::ZERO; shape.iter().product()])
}

/// The sum of two tensors of one shape, each shifted left by its number of bits.
pub(crate) fn add<R: Ring>(
    x: &ArithmeticShares<R>,
    y: &ArithmeticShares<R>,
    shifts: [u32; 2],
) -> Result<ArithmeticShares<R>, ShareError> {
    if x.shape() != y.shape() {
        return Err(ShareError::ShapesDiffer { left: x.shape().to_vec(), right: y.shape().to_vec() });
    }
    let pairs = x.elements().iter().zip(y.elements());
    ArithmeticShares::new(x.shape(), pairs.map(|(&x, &y)| (x << shifts[0]).wrapping_add(y << shifts[1])).collect())
}

/// Adds a bias to each channel (axis 1).
pub(crate) fn add_bias<R: Ring>(x: &mut ArithmeticShares<R>, bias: &ArithmeticShares<R>) {
    let channels = bias.len();
    let pixels = x.shape()[2..].iter().product::<usize>().max(1);
    for (plane, values) in x.elements_mut().chunks_exact_mut(pixels).enumerate() {
        let bias = bias.elements()[plane % channels];
        values.iter_mut().for_each(|x| *x = x.wrapping_add(bias));
    }
}

/// Tensors one after the other along an axis, each shifted left by its number of bits.
pub(crate) fn concat<R: Ring>(
    tensors: &[&ArithmeticShares<R>],
    shifts: &[u32],
    axis: usize,
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let mut result = zeros(shape)?;
    let mut at = 0;
    for (tensor, &shift) in tensors.iter().zip(shifts) {
        let end = at + tensor.shape()[axis];
        let mut all = view_mut(&mut result);
        let mut target = all.slice_axis_mut(ndarray::Axis(axis), Slice::from(at..end));
        target.zip_mut_with(&view(tensor), |target, &x| *target = x << shift);
        at = end;
    }
    Ok(result)
}

/// Zeros around a tensor: `before` each axis, and behind it up to `shape`.
pub(crate) fn pad<R: Ring>(
    x: &ArithmeticShares<R>,
    before: &[usize],
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let mut result = zeros(shape)?;
    let mut all = view_mut(&mut result);
    let mut target = all.slice_each_axis_mut(|axis| {
        let start = before[axis.axis.index()];
        Slice::from(start..start + x.shape()[axis.axis.index()])
    });
    target.assign(&view(x));
    Ok(result)
}

/// Every `step`-th position from `start` to `stop` of each axis.
pub(crate) fn slice<R: Ring>(
    x: &ArithmeticShares<R>,
    [start, stop, step]: [&[usize]; 3],
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let all = view(x);
    let part = all.slice_each_axis(|axis| {
        let axis = axis.axis.index();
        Slice::from(start[axis]..stop[axis]).step_by(step[axis] as isize)
    });
    ArithmeticShares::new(shape, part.iter().copied().collect())
}

/// The sum over each window of [batch, channels, height, width].
pub(crate) fn sum_windows<R: Ring>(
    x: &ArithmeticShares<R>,
    pool: &Pool,
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    map_windows(x, shape, |plane, size, window| {
        let [rows, columns] = pool.window(window, size);
        let row_sum = |row: usize| {
            let row = &plane[row * size[1]..][..size[1]];
            columns.clone().fold(R::ZERO, |sum, column| sum.wrapping_add(row[column]))
        };
        rows.map(row_sum).fold(R::ZERO, R::wrapping_add)
    })
}

/// For each position of a pooling window, the tensor of the elements at that position of every window. Where a window
/// hangs over the edge, its nearest element inside stands in, which leaves the maximum as it is.
pub(crate) fn window_candidates<R: Ring>(
    x: &ArithmeticShares<R>,
    pool: &Pool,
    shape: &[usize],
) -> Result<Vec<ArithmeticShares<R>>, ShareError> {
    let positions = (0..pool.kernel[0]).flat_map(|row| (0..pool.kernel[1]).map(move |column| [row, column]));
    let candidate = |position: [usize; 2]| {
        map_windows(x, shape, |plane, size, window| {
            let inside = pool.window(window, size);
            let [row, column] = [0, 1].map(|axis| {
                let place = window[axis] * pool.stride[axis] + position[axis] * pool.dilation[axis];
                let mut positions = inside[axis].clone();
                let (first, len) = (positions.next().unwrap_or_default(), inside[axis].len());
                place.saturating_sub(pool.padding[axis]).clamp(first, first + (len - 1) * pool.dilation[axis])
            });
            plane[row * size[1] + column]
        })
    };
    positions.map(candidate).collect()
}

/// One element for each window of each plane: `map` is given the plane, its size, and the window's row and column.
fn map_windows<R: Ring>(
    x: &ArithmeticShares<R>,
    shape: &[usize],
    map: impl Fn(&[R], [usize; 2], [usize; 2]) -> R,
) -> Result<ArithmeticShares<R>, ShareError> {
    let size = [x.shape()[2], x.shape()[3]];
    let mut elements = Vec::with_capacity(shape.iter().product());
    for plane in x.elements().chunks_exact(size[0] * size[1]) {
        for row in 0..shape[2] {
            elements.extend((0..shape[3]).map(|column| map(plane, size, [row, column])));
        }
    }
    ArithmeticShares::new(shape, elements)
}

/// 1/d as a fixed-point constant with f fractional bits.
pub(crate) fn reciprocal<R: Ring>(divisor: usize, fractional_bits: u32) -> R {
    let one = 1u128 << fractional_bits;
    R::from_u128((one + divisor as u128 / 2) / divisor as u128)
}

/// Means over windows whose numbers of elements differ: from scale 2^f to 2^{2f}.
pub(crate) fn mean_windows<R: Ring>(
    x: &ArithmeticShares<R>,
    pool: &Pool,
    fractional_bits: u32,
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let size = [x.shape()[2], x.shape()[3]];
    let mut means = sum_windows(x, pool, shape)?;
    for plane in means.elements_mut().chunks_exact_mut(shape[2] * shape[3]) {
        for (window, value) in plane.iter_mut().enumerate() {
            let divisor = pool.divisor([window / shape[3], window % shape[3]], size);
            *value = value.wrapping_mul(reciprocal(divisor, fractional_bits));
        }
    }
    Ok(means)
}
