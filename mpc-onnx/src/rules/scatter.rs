//! Scatter at public places: a choice between old and new elements, or their sum.

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::index::{place, row_major};
use crate::value::Value;

/// For each element of the result its places in the data followed by the updates, whose sum it is.
struct Sources {
    places: Vec<Vec<usize>>,
    /// Whether updates are added to what is there.
    is_sum: bool,
}

impl Sources {
    fn new(context: &mut Context, call: &Call<'_>) -> Lowered<Self> {
        let is_sum = match call.string("reduction", "none")?.as_str() {
            "none" => false,
            "add" => true,
            other => return unsupported(format!("scatter with the reduction `{other}`")),
        };
        let (data, updates) = (call.required(0)?.shape(), call.required(2)?.shape());
        let total = arrays::elements(data)?;
        context.charge(total.saturating_add(arrays::elements(updates)?).saturating_mul(2))?;
        Ok(Self { places: (0..total).map(|place| [place].into()).collect(), is_sum })
    }

    /// An update of the element at `place`.
    fn update(&mut self, place: usize, update: usize) {
        let source = self.places.len() + update;
        if !self.is_sum {
            self.places[place].clear();
        }
        self.places[place].push(source);
    }
}

fn scattered(context: &mut Context, call: &Call<'_>, sources: &Sources) -> Lowered<Vec<Value>> {
    let (data, updates) = (call.required(0)?, call.required(2)?);
    let flat = |context: &mut Context, value: &Value| {
        let elements = arrays::elements(value.shape())?;
        context.reshape_value(value, &[elements])
    };
    let both = [flat(context, data)?, flat(context, updates)?];
    let joined = context.concat_values(&both, 0)?;
    let firsts: Vec<usize> = sources.places.iter().filter_map(|places| places.first().copied()).collect();
    let chosen = match &joined {
        _ if sources.places.iter().all(|places| places.len() == 1) => context.gather_value(&joined, 0, &firsts)?,
        Value::Node(x) => {
            let row = |places: &Vec<usize>| places.iter().map(|&place| (place, 1.0)).collect();
            let rows: Vec<Vec<(usize, f32)>> = sources.places.iter().map(row).collect();
            context.combine(x, 0, &rows)?.into()
        }
        _ => return unsupported("scatter with a sum of constants"),
    };
    Ok([context.reshape_value(&chosen, data.shape())?].into())
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
    scattered(context, call, &sources)
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
    scattered(context, call, &sources)
}
