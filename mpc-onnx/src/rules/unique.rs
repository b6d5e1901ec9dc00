//! The different elements of public integers, as graphs and segments are written with.

use ndarray::{ArrayD, Axis};

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, unsupported};
use crate::rules::hint;
use crate::value::Value;

/// The different elements, or slices along an axis: in order, or in that of their first places; those places; for each
/// element its place among them, and how often each is there.
pub(super) fn unique(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let Value::Integer(array) = call.required(0)? else { return unsupported(hint("Unique", "")) };
    context.charge(array.len().saturating_mul(4))?;
    let axis = call.optional_int("axis")?;
    let (array, axis) = match axis {
        Some(axis) => (array.as_ref().clone(), arrays::axis(axis, array.ndim())?),
        None => (arrays::reshape(array, &[array.len()])?, 0),
    };
    let slices: Vec<Vec<i64>> = array.axis_iter(Axis(axis)).map(|slice| slice.iter().copied().collect()).collect();
    let found = Distinct::new(&slices, call.int("sorted", 1)? != 0);
    let numbers = |list: &[usize]| Value::integers(list.iter().map(|&number| number as i64).collect());
    let y: ArrayD<i64> = arrays::gather(&array, axis, &found.first);
    Ok([Value::integer(y), numbers(&found.first), numbers(&found.place_of), numbers(&found.counts)].into())
}

struct Distinct {
    /// The first place of each.
    first: Vec<usize>,
    /// For each element, which of them it is.
    place_of: Vec<usize>,
    counts: Vec<usize>,
}

impl Distinct {
    fn new(elements: &[Vec<i64>], is_sorted: bool) -> Self {
        let mut order: Vec<usize> = (0..elements.len()).collect();
        order.sort_by(|&one, &other| elements[one].cmp(&elements[other]));
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for place in order {
            match groups.last_mut() {
                Some(group) if elements[group[0]] == elements[place] => group.push(place),
                _ => groups.push(vec![place]),
            }
        }
        if !is_sorted {
            groups.sort_by_key(|group| group[0]);
        }
        let mut place_of = vec![0; elements.len()];
        for (number, group) in groups.iter().enumerate() {
            group.iter().for_each(|&place| place_of[place] = number);
        }
        let first = groups.iter().map(|group| group[0]).collect();
        Self { first, place_of, counts: groups.iter().map(Vec::len).collect() }
    }
}
