//! Steps that each party does on its shares alone: they are linear, so they need no message.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, SecretVec, ShareError};
use ndarray::{ArrayViewD, ArrayViewMutD, Axis, IxDyn, Slice};

use crate::graph::{Channels, Pool};
use crate::plan::Action;

/// The result of a step that needs no message, at one party; `None` for a step that does, or without its operand.
pub(crate) fn apply<R: Ring>(
    action: &Action,
    operands: &[&ArithmeticShares<R>],
    constants: &[ArithmeticShares<R>],
    party: usize,
    shape: &[usize],
) -> Option<Result<ArithmeticShares<R>, ShareError>> {
    if let Action::Constant { constant } = action {
        return Some(copy(constants.get(*constant)?).reshape(shape));
    }
    let first = *operands.first()?;
    Some(match action {
        Action::SumPool(pool) => sum_windows(first, pool, shape),
        Action::MeanPool { pool, bits } => mean_windows(first, pool, *bits, shape),
        Action::Sum { axes } => sum_axes(first, axes, shape),
        Action::Scale { factor } => Ok(copy(first).scale(R::from_i128(i128::from(*factor)))),
        Action::Offset { value } => Ok(offset(copy(first), *value, party)),
        Action::AddConstant { constant, map } => {
            let mut sum = copy(first);
            add_channels(&mut sum, constants.get(*constant)?, *map);
            Ok(sum)
        }
        Action::Combine { axis, rows } => combine(first, *axis, rows, shape),
        Action::Add { shifts } => add(first, operands.get(1)?, *shifts),
        Action::Concat { axis, shifts } => concat(operands, shifts, *axis, shape),
        Action::Reshape => copy(first).reshape(shape),
        Action::Transpose { permutation } => transpose(first, permutation, shape),
        Action::Gather { axis, indices } => gather(first, *axis, indices, shape),
        Action::Pad { before } => pad(first, before, shape),
        Action::Slice { start, stop, step } => slice(first, [start, stop, step], shape),
        _ => return None,
    })
}

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
    ArithmeticShares::new(x.shape(), SecretVec::copy_of(x.elements()).into_vec()).expect("the shape is the same")
}

fn zeros<R: Ring>(shape: &[usize]) -> Result<ArithmeticShares<R>, ShareError> {
    ArithmeticShares::new(shape, SecretVec::zeros(shape.iter().product()).into_vec())
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
    let sums: SecretVec<R> = pairs.map(|(&x, &y)| (x << shifts[0]).wrapping_add(y << shifts[1])).collect();
    ArithmeticShares::new(x.shape(), sums.into_vec())
}

/// Adds entry (i / inner) mod channels of a constant to element i.
pub(crate) fn add_channels<R: Ring>(x: &mut ArithmeticShares<R>, constant: &ArithmeticShares<R>, map: Channels) {
    for (block, values) in x.elements_mut().chunks_exact_mut(map.inner).enumerate() {
        let entry = constant.elements()[block % map.channels];
        values.iter_mut().for_each(|x| *x = x.wrapping_add(entry));
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
        let mut target = all.slice_axis_mut(Axis(axis), Slice::from(at..end));
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

/// Means over windows whose numbers of elements differ, with `bits` more fractional bits.
pub(crate) fn mean_windows<R: Ring>(
    x: &ArithmeticShares<R>,
    pool: &Pool,
    bits: u32,
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let size = [x.shape()[2], x.shape()[3]];
    let mut means = sum_windows(x, pool, shape)?;
    for plane in means.elements_mut().chunks_exact_mut(shape[2] * shape[3]) {
        for (window, value) in plane.iter_mut().enumerate() {
            let divisor = pool.divisor([window / shape[3], window % shape[3]], size) as u128;
            let reciprocal = ((1u128 << bits) + divisor / 2) / divisor;
            *value = value.wrapping_mul(R::from_u128(reciprocal));
        }
    }
    Ok(means)
}

/// Sums over axes, which stay with size 1.
pub(crate) fn sum_axes<R: Ring>(
    x: &ArithmeticShares<R>,
    axes: &[usize],
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let kept = (0..x.shape().len()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let reordered = view(x).permuted_axes(order);
    let count = x.len() / shape.iter().product::<usize>().max(1);
    let mut sums = zeros::<R>(shape)?;
    for (index, &element) in reordered.iter().enumerate() {
        let sum = &mut sums.elements_mut()[index / count];
        *sum = sum.wrapping_add(element);
    }
    Ok(sums)
}

/// Sums of positions along an axis with public coefficients.
pub(crate) fn combine<R: Ring>(
    x: &ArithmeticShares<R>,
    axis: usize,
    rows: &[Vec<(usize, i64)>],
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let mut result = zeros(shape)?;
    let (input, mut output) = (view(x), view_mut(&mut result));
    for (mut target, row) in output.axis_iter_mut(Axis(axis)).zip(rows) {
        for &(position, coefficient) in row {
            let coefficient = R::from_i128(i128::from(coefficient));
            let add = |sum: &mut R, &x: &R| *sum = sum.wrapping_add(x.wrapping_mul(coefficient));
            target.zip_mut_with(&input.index_axis(Axis(axis), position), add);
        }
    }
    Ok(result)
}

/// The axes in another order.
pub(crate) fn transpose<R: Ring>(
    x: &ArithmeticShares<R>,
    permutation: &[usize],
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    ArithmeticShares::new(shape, view(x).permuted_axes(permutation).iter().copied().collect())
}

/// Positions along an axis.
pub(crate) fn gather<R: Ring>(
    x: &ArithmeticShares<R>,
    axis: usize,
    indices: &[usize],
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let inner: usize = x.shape()[axis + 1..].iter().product();
    let mut elements = Vec::with_capacity(shape.iter().product());
    for block in x.elements().chunks_exact(x.shape()[axis] * inner) {
        indices.iter().for_each(|&index| elements.extend_from_slice(&block[index * inner..][..inner]));
    }
    ArithmeticShares::new(shape, elements)
}

/// The sum with a public integer, which party 0 adds.
pub(crate) fn offset<R: Ring>(mut x: ArithmeticShares<R>, value: i128, party: usize) -> ArithmeticShares<R> {
    if party == 0 {
        let value = R::from_i128(value);
        x.elements_mut().iter_mut().for_each(|x| *x = x.wrapping_add(value));
    }
    x
}

/// For each position i along the last axis, its elements with count − 1 − i in `index_bits` bits below them.
pub(crate) fn indexed_candidates<R: Ring>(
    x: &ArithmeticShares<R>,
    count: usize,
    index_bits: u32,
    party: usize,
    shape: &[usize],
) -> Result<Vec<ArithmeticShares<R>>, ShareError> {
    let candidate = |index: usize| {
        let elements = x.elements().iter().skip(index).step_by(count).map(|&x| x << index_bits).collect();
        Ok(offset(ArithmeticShares::new(shape, elements)?, (count - 1 - index) as i128, party))
    };
    (0..count).map(candidate).collect()
}

/// The first tensors of a sort, one behind the other along the last axis of `shape`.
pub(crate) fn interleave<R: Ring>(
    tensors: &[ArithmeticShares<R>],
    shape: &[usize],
) -> Result<ArithmeticShares<R>, ShareError> {
    let kept = shape.last().copied().unwrap_or_default().min(tensors.len());
    let rows = tensors.first().map_or(0, ArithmeticShares::len);
    let row = |row: usize| tensors[..kept].iter().map(move |tensor| tensor.elements()[row]);
    ArithmeticShares::new(shape, (0..rows).flat_map(row).collect())
}

/// The lowest bits of each share: a sharing of the element's lowest bits, modulo 2^`bits`.
pub(crate) fn low_bits<R: Ring>(x: &ArithmeticShares<R>, bits: u32) -> ArithmeticShares<R> {
    let mut low = copy(x);
    low.elements_mut().iter_mut().for_each(|x| *x = *x & R::low_mask(bits));
    low
}
