//! Scatter at public places: a choice between old and new elements, their sum, product, maximum or minimum.

use std::collections::BTreeMap;

use mpc_nn::weights::MAX_WEIGHT;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::index::{place, row_major};
use crate::rules::reduce;
use crate::value::{Tensor, Value};

/// The most sources of one element of a product.
const MAX_FACTORS: usize = 64;
/// The most updates at private places of which the last one counts, each of which takes a round.
const MAX_UPDATES: usize = 64;

/// The way in which several sources of one element are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    /// The last one counts.
    Last,
    Sum,
    Product,
    Largest,
    Smallest,
}

/// For each element of the result its places in the data followed by the updates.
struct Sources {
    places: Vec<Vec<usize>>,
    join: Join,
}

impl Sources {
    fn new(context: &mut Context, call: &Call<'_>) -> Lowered<Self> {
        let join = match call.string("reduction", "none")?.as_str() {
            "none" => Join::Last,
            "add" => Join::Sum,
            "mul" => Join::Product,
            "max" => Join::Largest,
            "min" => Join::Smallest,
            other => return unsupported(format!("scatter with the reduction `{other}`")),
        };
        let (data, updates) = (call.required(0)?.shape(), call.required(2)?.shape());
        let total = arrays::elements(data)?;
        context.charge(total.saturating_add(arrays::elements(updates)?).saturating_mul(2))?;
        Ok(Self { places: (0..total).map(|place| [place].into()).collect(), join })
    }

    /// An update of the element at `place`.
    fn update(&mut self, place: usize, update: usize) {
        let source = self.places.len() + update;
        if self.join == Join::Last {
            self.places[place].clear();
        }
        self.places[place].push(source);
    }

    /// Leaves data out that no private update is below or above, as of a maximum that begins with the least float.
    fn without_ends(&mut self, data: &Value) {
        let Value::Constant(data) = data else { return };
        for (places, &value) in self.places.iter_mut().zip(data.array()) {
            let is_end = match self.join {
                Join::Largest => value <= -MAX_WEIGHT,
                Join::Smallest => value >= MAX_WEIGHT,
                _ => false,
            };
            if is_end && places.len() > 1 {
                places.remove(0);
            }
        }
    }

    /// The data with zeros for what no element of the result has as a source, which may be the least float.
    fn without_unused(&self, data: &Value) -> Value {
        let Value::Constant(constant) = data else { return data.clone() };
        let mut array = constant.array().clone();
        for (place, (value, places)) in array.iter_mut().zip(&self.places).enumerate() {
            if !places.contains(&place) {
                *value = 0.0;
            }
        }
        Value::constant(array)
    }

    /// The elements of the result, of public ones.
    fn joined<T: Copy>(&self, all: &[T], join: impl Fn(Join, T, T) -> T) -> Vec<T> {
        let one = |places: &Vec<usize>| {
            let mut elements = places.iter().map(|&place| all[place]);
            elements.next().map(|first| elements.fold(first, |a, b| join(self.join, a, b)))
        };
        self.places.iter().filter_map(one).collect()
    }
}

fn scattered(context: &mut Context, call: &Call<'_>, mut sources: Sources) -> Lowered<Vec<Value>> {
    let (mut data, updates) = (call.required(0)?.clone(), call.required(2)?);
    if updates.is_private() {
        sources.without_ends(&data);
        data = sources.without_unused(&data);
    }
    let flat = |context: &mut Context, value: &Value| {
        let elements = arrays::elements(value.shape())?;
        context.reshape_value(value, &[elements])
    };
    let both = [flat(context, &data)?, flat(context, updates)?];
    if sources.places.iter().all(|places| places.len() == 1) {
        return chosen(context, call, &both, &sources);
    }
    let count = sources.places.len();
    let joined = if sources.places.iter().flatten().all(|&place| place >= count) {
        // Of the data nothing is left, which may be the least float.
        sources.places.iter_mut().flatten().for_each(|place| *place -= count);
        both[1].clone()
    } else {
        context.concat_values(&both, 0)?
    };
    context.charge(count)?;
    let result = match &joined {
        Value::Integer(array) => {
            let all: Vec<i64> = array.iter().copied().collect();
            let join = |join, a: i64, b: i64| match join {
                Join::Sum => a.wrapping_add(b),
                Join::Product => a.wrapping_mul(b),
                Join::Largest => a.max(b),
                Join::Smallest => a.min(b),
                Join::Last => b,
            };
            Value::integer(arrays::from_elements(&[count], sources.joined(&all, join))?)
        }
        Value::Constant(constant) => {
            let all: Vec<f32> = constant.array().iter().copied().collect();
            let join = |join, a: f32, b: f32| match join {
                Join::Sum => a + b,
                Join::Product => a * b,
                Join::Largest => a.max(b),
                Join::Smallest => a.min(b),
                Join::Last => b,
            };
            Value::constant(arrays::from_elements(&[count], sources.joined(&all, join))?)
        }
        Value::Node(x) => private(context, x, &sources)?.into(),
        Value::Tokens { .. } => return unsupported("scatter of a private input of integers"),
    };
    Ok([context.reshape_value(&result, data.shape())?].into())
}

/// Each element from one place. What of the data is never taken may be anything, and empty updates change nothing.
fn chosen(context: &mut Context, call: &Call<'_>, both: &[Value; 2], sources: &Sources) -> Lowered<Vec<Value>> {
    let total = sources.places.len();
    let places: Vec<usize> = sources.places.iter().filter_map(|places| places.first().copied()).collect();
    let shape = call.required(0)?.shape();
    let result = if places.iter().all(|&place| place >= total) {
        let places: Vec<usize> = places.iter().map(|&place| place - total).collect();
        context.gather_value(&both[1], 0, &places)?
    } else {
        let joined = context.concat_values(both, 0)?;
        context.gather_value(&joined, 0, &places)?
    };
    Ok([context.reshape_value(&result, shape)?].into())
}

fn private(context: &mut Context, x: &Tensor, sources: &Sources) -> Lowered<Tensor> {
    let most = sources.places.iter().map(Vec::len).max().unwrap_or(1);
    let rows = |context: &mut Context, x: &Tensor, fill: &dyn Fn(&[usize]) -> usize| {
        context.charge(sources.places.len().saturating_mul(most))?;
        let mut places = Vec::new();
        for own in &sources.places {
            places.extend(own.iter().copied().chain(core::iter::repeat_n(fill(own), most - own.len())));
        }
        let table = context.gather(x, 0, &places)?;
        context.reshape(&table, &[sources.places.len(), most])
    };
    let first = |own: &[usize]| own.first().copied().unwrap_or(0);
    let y = match sources.join {
        Join::Sum | Join::Last => {
            let row = |places: &Vec<usize>| {
                let mut counts = BTreeMap::new();
                places.iter().for_each(|&place| *counts.entry(place).or_insert(0.0) += 1.0);
                counts.into_iter().collect()
            };
            let rows: Vec<Vec<(usize, f32)>> = sources.places.iter().map(row).collect();
            return context.combine(x, 0, &rows);
        }
        Join::Largest => {
            let table = rows(context, x, &first)?;
            context.maximum_of_last(&table)?
        }
        Join::Smallest => {
            let negative = context.scale(x, -1.0)?;
            let table = rows(context, &negative, &first)?;
            let largest = context.maximum_of_last(&table)?;
            context.scale(&largest, -1.0)?
        }
        Join::Product if most > MAX_FACTORS => {
            return unsupported(format!("products of more than {MAX_FACTORS} private factors"));
        }
        Join::Product => {
            let one = context.parameter(&ndarray::ArrayD::from_elem([1].as_slice(), 1.0))?;
            let longer = context.join(&[x.clone(), one], 0)?;
            let table = rows(context, &longer, &|_| x.len())?;
            reduce::product(context, &table, &[1])?
        }
    };
    context.reshape(&y, &[sources.places.len()])
}

pub(super) fn scatter_nd(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut sources = Sources::new(context, call)?;
    let shape = call.required(0)?.shape();
    let Some(indices) = call.optional_integer_array(1)? else { return invalid("it has no indices") };
    let Some((&depth, outer)) = indices.shape().split_last() else { return invalid("its indices are a scalar") };
    if depth == 0 || depth > shape.len() || call.required(2)?.shape() != [outer, &shape[depth..]].concat() {
        return invalid("its updates do not fit its indices");
    }
    let inner = arrays::elements(&shape[depth..])?;
    let indices: Vec<i64> = indices.iter().copied().collect();
    for (row, index) in indices.chunks(depth).enumerate() {
        let mut flat = 0;
        for (axis, &index) in index.iter().enumerate() {
            flat = flat * shape[axis] + place(index, shape[axis])?;
        }
        for i in 0..inner {
            sources.update(flat * inner + i, row * inner + i);
        }
    }
    scattered(context, call, sources)
}

pub(super) fn scatter_elements(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut sources = Sources::new(context, call)?;
    let shape = call.required(0)?.shape();
    let axis = arrays::axis(call.int("axis", 0)?, shape.len())?;
    let Some(indices) = call.optional_integer_array(1)? else { return invalid("it has no indices") };
    let fits = |i: usize| i == axis || indices.shape()[i] <= shape[i];
    let is_same = indices.shape() == call.required(2)?.shape();
    if !is_same || indices.ndim() != shape.len() || !(0..shape.len()).all(fits) {
        return invalid("its updates do not fit its indices");
    }
    for (count, (position, &index)) in indices.indexed_iter().enumerate() {
        let mut position: Vec<usize> = (0..shape.len()).map(|i| position[i]).collect();
        position[axis] = place(index, shape[axis])?;
        sources.update(row_major(&position, shape), count);
    }
    scattered(context, call, sources)
}

/// Updates along an axis of the data, at the places that rows with a single 1 in their last axis stand for.
pub(crate) fn at_rows(
    context: &mut Context,
    call: &Call<'_>,
    [data, updates]: [&Value; 2],
    rows: &Tensor,
    axis: usize,
) -> Lowered<Tensor> {
    let (shape, places) = (data.shape().to_vec(), &rows.shape[..rows.rank() - 1]);
    if updates.shape() != places || places.len() != shape.len() {
        return invalid("its updates do not fit its indices");
    }
    if (0..shape.len()).any(|other| other != axis && places[other] != shape[other]) {
        return unsupported("private places in a part of its data; give it updates for all of the other axes");
    }
    let is_quantised = |value: &Value| matches!(value, Value::Node(x) if context.quantisation(x.id).is_some());
    if is_quantised(data) || is_quantised(updates) {
        return unsupported("private places of quantised integers; put it behind their DequantizeLinear");
    }
    // The axis behind the others.
    let mut order: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
    order.push(axis);
    let (data, updates) = (context.transpose_value(data, &order)?, context.transpose_value(updates, &order)?);
    let rows = context.transpose(rows, &[order.as_slice(), &[shape.len()]].concat())?;
    let y = match call.string("reduction", "none")?.as_str() {
        "none" => replaced(context, &data, &updates, &rows)?,
        "add" => {
            let column = [updates.shape(), &[1]].concat();
            let column = context.reshape_value(&updates, &column)?;
            let product = times(context, &rows, &column)?;
            let sum = context.sum(&product, &[shape.len() - 1])?;
            let data = context.tensor_of(&data)?;
            let sum = context.reshape(&sum, &data.shape)?;
            context.add(&data, &sum)?
        }
        other => return unsupported(format!("scatter at private places with the reduction `{other}`")),
    };
    context.transpose(&y, &arrays::inverse(&order))
}

/// Rows times a value, public or private.
fn times(context: &mut Context, rows: &Tensor, value: &Value) -> Lowered<Tensor> {
    match value {
        Value::Node(x) => context.multiply(rows, x),
        public => context.scale_by(rows, real(public)?.array()),
    }
}

/// One update after the other, so that of two at one place the last one counts: y + r·(u − y).
fn replaced(context: &mut Context, data: &Value, updates: &Value, rows: &Tensor) -> Lowered<Tensor> {
    let axis = data.shape().len() - 1;
    let count = updates.shape()[axis];
    if count > MAX_UPDATES {
        return unsupported(format!("more than {MAX_UPDATES} updates at private places"));
    }
    let is_zero = match data {
        Value::Integer(array) => array.iter().all(|&value| value == 0),
        Value::Constant(constant) => constant.array().iter().all(|&value| value == 0.0),
        _ => false,
    };
    let mut y = if is_zero { None } else { Some(context.tensor_of(data)?) };
    for place in 0..count {
        let row = context.slice(rows, axis, place, place + 1)?;
        let row = context.reshape(&row, data.shape())?;
        let update = context.gather_value(updates, axis, &[place])?;
        let new = times(context, &row, &update)?;
        y = Some(match y {
            None => new,
            Some(y) => {
                let old = context.multiply(&row, &y)?;
                let kept = context.subtract(&y, &old)?;
                context.add(&kept, &new)?
            }
        });
    }
    y.map_or_else(|| context.tensor_of(data), Ok)
}
