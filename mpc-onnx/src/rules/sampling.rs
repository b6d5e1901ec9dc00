//! Values of an image at places that are public: each is a public sum of the image's elements.

mod private_grid;

use mpc_nn::graph::MAX_ELEMENTS;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::value::{Tensor, Value};

/// Positions along an axis, and their coefficients.
type Taps = Vec<(usize, f64)>;

/// The values outside of an image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// How the value at a place comes from its neighbours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// The way of a GridSample.
struct Sampler {
    mode: Mode,
    outside: Outside,
    aligns_corners: bool,
}

pub(super) fn grid_sample(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if call.required(1)?.is_private() {
        return private_grid::grid_sample(context, call);
    }
    let (x, grid) = (call.tensor(0)?, call.constant(1)?);
    let grid = grid.array();
    let (Some(&[batch, channels]), Some((&axes, points))) = (x.shape.first_chunk(), grid.shape().split_last()) else {
        return invalid("its input or grid has too few axes");
    };
    let sizes = &x.shape[2..];
    if axes != sizes.len() || axes == 0 || points.len() != axes + 1 || points[0] != batch {
        return invalid("its grid does not fit its input");
    }
    let sampler = Sampler::new(call)?;
    let per_batch: usize = points[1..].iter().product();
    let places = grid.as_slice().unwrap_or_default();
    let mut parts = Vec::new();
    let flat = context.reshape(x, &[batch, channels, sizes.iter().product()])?;
    for sample in 0..batch {
        let mut rows = Vec::with_capacity(per_batch);
        for place in places[sample * per_batch * axes..(sample + 1) * per_batch * axes].chunks(axes) {
            // The last axis comes first in a place.
            let taps = (0..axes).map(|axis| sampler.taps(place[axes - 1 - axis], sizes[axis]));
            rows.push(product_of(&taps.collect::<Vec<_>>(), sizes));
        }
        let image = context.slice(&flat, 0, sample, sample + 1)?;
        parts.push(sums(context, &image, 2, &rows)?);
    }
    let all = context.join(&parts, 0)?;
    let shape = [&[batch, channels], &points[1..]].concat();
    Ok([context.reshape(&all, &shape)?.into()].into())
}

/// Sums of positions along an axis; a sum of nothing is 0.
fn sums(context: &mut Context, x: &Tensor, axis: usize, rows: &[Taps]) -> Lowered<Tensor> {
    let row = |taps: &Taps| match taps.as_slice() {
        [] => vec![(0, 0.0)],
        taps => taps.iter().map(|&(place, weight)| (place, weight as f32)).collect(),
    };
    context.charge(rows.iter().map(Vec::len).sum::<usize>().saturating_mul(2))?;
    let rows: Vec<Vec<(usize, f32)>> = rows.iter().map(row).collect();
    context.combine(x, axis, &rows)
}

/// Places of all axes in row-major order, with the products of their coefficients; each place once.
fn product_of(taps: &[Taps], sizes: &[usize]) -> Taps {
    let mut all = vec![(0, 1.0)];
    for (taps, &size) in taps.iter().zip(sizes) {
        let next = |(place, weight): (usize, f64)| {
            taps.iter().map(move |&(position, own)| (place * size + position, weight * own))
        };
        all = all.into_iter().flat_map(next).collect();
    }
    merged(all)
}

fn merged(mut taps: Taps) -> Taps {
    taps.sort_by_key(|&(place, _)| place);
    let mut all: Taps = Vec::new();
    for (place, weight) in taps.into_iter().filter(|&(_, weight)| weight != 0.0) {
        match all.last_mut() {
            Some((last, sum)) if *last == place => *sum += weight,
            _ => all.push((place, weight)),
        }
    }
    all
}

impl Sampler {
    fn new(call: &Call<'_>) -> Lowered<Self> {
        let mode = match call.string("mode", "linear")?.as_str() {
            "nearest" => Mode::Nearest,
            "linear" | "bilinear" => Mode::Linear,
            "cubic" | "bicubic" => Mode::Cubic,
            other => return invalid(format!("mode `{other}` is not known")),
        };
        let outside = match call.string("padding_mode", "zeros")?.as_str() {
            "zeros" => Outside::Zeros,
            "border" => Outside::Border,
            "reflection" => Outside::Reflection,
            other => return invalid(format!("padding mode `{other}` is not known")),
        };
        Ok(Self { mode, outside, aligns_corners: call.int("align_corners", 0)? != 0 })
    }

    /// The positions along an axis of `size` that a place between −1 and 1 is between.
    fn taps(&self, place: f32, size: usize) -> Taps {
        let length = size as f64;
        let unit = (f64::from(place) + 1.0) / 2.0;
        let mut x = if self.aligns_corners { unit * (length - 1.0) } else { unit * length - 0.5 };
        if self.mode == Mode::Nearest {
            x = x.round_ties_even();
        }
        let (low, high) = if self.aligns_corners { (0.0, length - 1.0) } else { (-0.5, length - 0.5) };
        if x < low || x > high {
            x = match self.outside {
                Outside::Border if self.mode != Mode::Cubic => x.clamp(0.0, length - 1.0),
                Outside::Reflection => reflected(x, low, high),
                // A cubic has the border behind each of its neighbours, as PyTorch and onnxruntime have it.
                _ => x,
            };
        }
        let first = x.floor();
        let rest = x - first;
        let weights: Vec<(f64, f64)> = match self.mode {
            Mode::Nearest => vec![(x, 1.0)],
            Mode::Linear => vec![(first, 1.0 - rest), (first + 1.0, rest)],
            Mode::Cubic => {
                let weights = [cubic(1.0 + rest), cubic(rest), cubic(1.0 - rest), cubic(2.0 - rest)];
                weights.into_iter().enumerate().map(|(i, weight)| (first + i as f64 - 1.0, weight)).collect()
            }
        };
        let taps = weights.into_iter().filter_map(|(position, weight)| {
            let position = match self.outside {
                Outside::Zeros => position,
                Outside::Border => position.clamp(0.0, length - 1.0),
                Outside::Reflection => reflected(position, low, high).clamp(0.0, length - 1.0),
            };
            ((0.0..length).contains(&position)).then_some((position as usize, weight))
        });
        merged(taps.collect())
    }
}

/// x, mirrored at both ends until it is between them.
fn reflected(x: f64, low: f64, high: f64) -> f64 {
    let length = high - low;
    if length <= 0.0 {
        return low;
    }
    let distance = if x < low {
        low - x
    } else if x > high {
        x - high
    } else {
        return x;
    };
    let turns = (distance / length).floor();
    let rest = distance - turns * length;
    if (turns % 2.0 == 0.0) == (x < low) { low + rest } else { high - rest }
}

/// The weight of a neighbour at a distance, for a cubic of coefficient −3/4.
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let d = distance.abs();
    if d <= 1.0 { ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0 } else { ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A }
}

/// The places of a grid under an affine map.
pub(super) fn affine_grid(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let theta = call.tensor(0)?;
    let size = call.integers(1)?.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?;
    let axes = size.len().saturating_sub(2);
    if !(2..=3).contains(&axes) || theta.shape != [size[0], axes, axes + 1] {
        return invalid("its map does not fit its size");
    }
    let aligns_corners = call.int("align_corners", 0)? != 0;
    let sizes = &size[2..];
    let points = arrays::elements(sizes)?;
    context.charge(points.saturating_mul(axes + 1))?;
    let place = |position: usize, size: usize| {
        let (position, size) = (position as f64, size as f64);
        match (aligns_corners, size > 1.0) {
            (true, true) => 2.0 * position / (size - 1.0) - 1.0,
            (true, false) => 0.0,
            (false, _) => (2.0 * position + 1.0) / size - 1.0,
        }
    };
    // The last axis comes first, then a one.
    let mut rows = Vec::with_capacity(points);
    for flat in 0..points {
        let mut rest = flat;
        let mut row = vec![(axes, 1.0)];
        for axis in (0..axes).rev() {
            row.push((axes - 1 - axis, place(rest % sizes[axis], sizes[axis]) as f32));
            rest /= sizes[axis];
        }
        row.sort_by_key(|&(place, _)| place);
        rows.push(row);
    }
    let grid = context.combine(theta, 2, &rows)?;
    let grid = context.transpose(&grid, &[0, 2, 1])?;
    let shape: Vec<usize> = [size[0]].into_iter().chain(sizes.iter().copied()).chain([axes]).collect();
    Ok([context.reshape(&grid, &shape)?.into()].into())
}

/// The sums of overlapping blocks, which are the columns of the input.
pub(super) fn col2im(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let sizes = |index: usize| call.integers(index)?.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>();
    let (image, block) = (sizes(1)?, sizes(2)?);
    let axes = image.len();
    let list = |name: &str, default: usize, count: usize| -> Lowered<Vec<usize>> {
        Ok(call.sizes(name)?.unwrap_or_else(|| vec![default; count]))
    };
    let (strides, dilations) = (list("strides", 1, axes)?, list("dilations", 1, axes)?);
    let pads = list("pads", 0, 2 * axes)?;
    let &[batch, rows, columns] = x.shape.as_slice() else { return invalid("its input has not three axes") };
    let (area, inside) = (arrays::elements(&block)?, arrays::elements(&image)?);
    let lists = [block.len(), strides.len(), dilations.len(), pads.len() / 2];
    if area == 0 || rows % area != 0 || lists.iter().any(|&length| length != axes) || strides.contains(&0) {
        return invalid("its blocks do not fit its input");
    }
    let mut counts = Vec::new();
    for axis in 0..axes {
        let reach = block[axis].saturating_sub(1).saturating_mul(dilations[axis]).saturating_add(1);
        let room = image[axis].saturating_add(pads[axis]).saturating_add(pads[axes + axis]).checked_sub(reach);
        let Some(room) = room else { return invalid("a block is larger than the image") };
        counts.push(room / strides[axis] + 1);
    }
    if arrays::elements(&counts)? != columns || rows.saturating_mul(columns) > MAX_ELEMENTS {
        return invalid("it has another number of columns than blocks");
    }
    context.charge(area.saturating_mul(columns).saturating_mul(2).saturating_add(inside))?;
    let mut taps: Vec<Taps> = vec![Vec::new(); inside];
    for element in 0..area {
        for column in 0..columns {
            if let Some(place) = block_place(element, column, [&block, &counts, &image], [&strides, &dilations, &pads])
            {
                taps[place].push((element * columns + column, 1.0));
            }
        }
    }
    let channels = rows / area;
    let flat = context.reshape(x, &[batch, channels, area * columns])?;
    let y = sums(context, &flat, 2, &taps)?;
    let shape: Vec<usize> = [batch, channels].into_iter().chain(image).collect();
    Ok([context.reshape(&y, &shape)?.into()].into())
}

/// Where an element of a block lies in the image, if it does.
fn block_place(
    mut element: usize,
    mut column: usize,
    [block, counts, image]: [&[usize]; 3],
    [strides, dilations, pads]: [&[usize]; 3],
) -> Option<usize> {
    let (mut place, mut step) = (0, 1);
    let mut is_inside = true;
    for axis in (0..image.len()).rev() {
        let position = (column % counts[axis]) * strides[axis] + (element % block[axis]) * dilations[axis];
        match position.checked_sub(pads[axis]).filter(|&position| position < image[axis]) {
            Some(position) => place += position * step,
            None => is_inside = false,
        }
        step *= image[axis];
        element /= block[axis];
        column /= counts[axis];
    }
    is_inside.then_some(place)
}

/// The middle of an array, or zeros around it.
pub(super) fn center_crop_pad(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut value = call.required(0)?.clone();
    let rank = value.shape().len();
    let sizes = call.integers(1)?.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?;
    let axes = match call.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| arrays::axis(axis, rank)).collect::<Lowered<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if sizes.len() != axes.len() {
        return invalid("it has not one size for each axis");
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (&axis, &wanted) in axes.iter().zip(&sizes) {
        let size = value.shape()[axis];
        match size.checked_sub(wanted) {
            Some(excess) => {
                let indices = context.range(excess / 2, excess / 2 + wanted)?;
                value = context.gather_value(&value, axis, &indices)?;
            }
            None => {
                let missing = wanted - size;
                (before[axis], after[axis]) = (missing / 2, missing - missing / 2);
            }
        }
    }
    Ok([context.pad_value(&value, &before, &after)?].into())
}

/// The means or maxima of an image in public boxes.
pub(super) fn roi_align(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    if [1, 2].iter().any(|&index| call.input(index).is_some_and(Value::is_private)) {
        return unsupported("its boxes depend on the private input; they must be public");
    }
    let (x, boxes, batches) = (call.tensor(0)?, call.constant(1)?, call.integers(2)?);
    let &[batch, channels, height, width] = x.shape.as_slice() else { return invalid("its input is not an image") };
    let boxes = boxes.array();
    if boxes.ndim() != 2 || boxes.shape() != [batches.len(), 4] {
        return invalid("its boxes have another shape");
    }
    let default = if call.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let is_half = call.string("coordinate_transformation_mode", default)? == "half_pixel";
    let scale = f64::from(call.float("spatial_scale", 1.0)?);
    let pooled = [arrays::size(call.int("output_height", 1)?)?, arrays::size(call.int("output_width", 1)?)?];
    let ratio = arrays::size(call.int("sampling_ratio", 0)?)?;
    let is_max = match call.string("mode", "avg")?.as_str() {
        "avg" => false,
        "max" => true,
        other => return invalid(format!("mode `{other}` is not known")),
    };
    let flat = context.reshape(x, &[batch, channels, height * width])?;
    let mut parts = Vec::new();
    for (index, &sample) in batches.iter().enumerate() {
        let sample = super::place(sample, batch)?;
        let corner = |place: usize| f64::from(boxes[[index, place]]) * scale - if is_half { 0.5 } else { 0.0 };
        let sides = [(corner(1), corner(3), height, pooled[0]), (corner(0), corner(2), width, pooled[1])];
        let image = context.slice(&flat, 0, sample, sample + 1)?;
        let lines = sides.map(|side| lines(side, ratio, is_half));
        let [rows, columns] = [lines[0].as_ref(), lines[1].as_ref()];
        let (Some(rows), Some(columns)) = (rows, columns) else { return invalid("a box is too large") };
        parts.push(pooled_box(context, &image, rows, columns, width, is_max)?);
    }
    let all = context.join(&parts, 0)?;
    Ok([context.reshape(&all, &[batches.len(), channels, pooled[0], pooled[1]])?.into()].into())
}

/// For each of the `pooled` bins of a side its sampled positions as neighbours.
fn lines((start, end, size, pooled): (f64, f64, usize, usize), ratio: usize, is_half: bool) -> Option<Vec<Vec<Taps>>> {
    let length = if is_half { end - start } else { (end - start).max(1.0) };
    let bin = length / pooled as f64;
    let samples = if ratio > 0 { ratio as f64 } else { bin.ceil() };
    // A comparison with NaN is false.
    if !(0.0..=4096.0).contains(&samples) {
        return None;
    }
    let one = |bin_index: usize, i: usize| {
        let y = start + bin_index as f64 * bin + (i as f64 + 0.5) * bin / samples;
        let length = size as f64;
        if !(-1.0..=length).contains(&y) {
            return Vec::new();
        }
        let y = y.max(0.0);
        let low = y as usize;
        if low + 1 >= size { vec![(size - 1, 1.0)] } else { vec![(low, 1.0 - y.fract()), (low + 1, y.fract())] }
    };
    Some((0..pooled).map(|bin| (0..samples as usize).map(|i| one(bin, i)).collect()).collect())
}

/// All bins of a box.
fn pooled_box(
    context: &mut Context,
    image: &Tensor,
    rows: &[Vec<Taps>],
    columns: &[Vec<Taps>],
    width: usize,
    is_max: bool,
) -> Lowered<Tensor> {
    let mut bins: Vec<Vec<Taps>> = Vec::new();
    for row in rows {
        for column in columns {
            let pairs = row.iter().flat_map(|y| column.iter().map(move |x| [y.clone(), x.clone()]));
            let bin: Vec<Taps> = pairs.map(|pair| product_of(&pair, &[0, width])).collect();
            context.charge(bin.iter().map(Vec::len).sum::<usize>().saturating_add(1))?;
            bins.push(bin);
        }
    }
    if !is_max {
        let mean = |bin: &Vec<Taps>| {
            let count = bin.len().max(1) as f64;
            merged(bin.iter().flatten().map(|&(place, weight)| (place, weight / count)).collect())
        };
        let means: Vec<Taps> = bins.iter().map(mean).collect();
        return sums(context, image, 2, &means);
    }
    // Of each sample the largest of its weighted neighbours, as the definition has it.
    let candidates: Vec<Taps> = bins.iter().map(|bin| bin.concat()).collect();
    let most = candidates.iter().map(Vec::len).max().unwrap_or(0);
    if most == 0 {
        return Err(Problem::Invalid("its boxes are outside of its input".into()));
    }
    let mut rows = Vec::new();
    for own in &candidates {
        let fill = own.first().copied().unwrap_or((0, 0.0));
        rows.extend(own.iter().copied().chain(core::iter::repeat_n(fill, most - own.len())).map(|tap| vec![tap]));
    }
    let channels = image.shape[1];
    let table = sums(context, image, 2, &rows)?;
    let table = context.reshape(&table, &[1, channels, candidates.len(), most])?;
    let largest = context.maximum_of_last(&table)?;
    context.reshape(&largest, &[1, channels, candidates.len()])
}

/// Sequences whose first elements are in the opposite order, as many as public lengths say.
pub(super) fn reverse_sequence(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (value, lengths) = (call.required(0)?.clone(), call.integers(1)?);
    let rank = value.shape().len();
    let (batch, time) =
        (arrays::axis(call.int("batch_axis", 1)?, rank)?, arrays::axis(call.int("time_axis", 0)?, rank)?);
    let (samples, steps) = (value.shape()[batch], value.shape()[time]);
    let fits = |&length: &i64| usize::try_from(length).is_ok_and(|length| length <= steps);
    if batch == time || lengths.len() != samples || !lengths.iter().all(fits) {
        return invalid("its lengths do not fit its input");
    }
    let mut order: Vec<usize> = (0..rank).filter(|&axis| axis != batch && axis != time).collect();
    order.splice(0..0, [batch, time]);
    let moved = context.transpose_value(&value, &order)?;
    let shape = moved.shape().to_vec();
    let flat = context.reshape_value(&moved, &[&[samples * steps], &shape[2..]].concat())?;
    context.charge(samples.saturating_mul(steps))?;
    let place = |sample: usize, step: usize| {
        let length = lengths[sample] as usize;
        sample * steps + if step < length { length - 1 - step } else { step }
    };
    let places: Vec<usize> =
        (0..samples).flat_map(|sample| (0..steps).map(move |step| (sample, step))).map(|(s, t)| place(s, t)).collect();
    let turned = context.gather_value(&flat, 0, &places)?;
    let turned = context.reshape_value(&turned, &shape)?;
    Ok([context.transpose_value(&turned, &arrays::inverse(&order))?].into())
}
