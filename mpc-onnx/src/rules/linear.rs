//! Products of matrices.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::value::{Tensor, Value};

/// α·A·B + β·C
pub(super) fn gemm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let (left, right) = (call.required(0)?.clone(), call.required(1)?.clone());
    if left.shape().len() != 2 || right.shape().len() != 2 {
        return invalid("its factors are not matrices");
    }
    let turned = |context: &mut Context, value: Value, name: &str| {
        if call.int(name, 0)? != 0 { context.transpose_value(&value, &[1, 0]) } else { Ok(value) }
    };
    let (left, right) = (turned(context, left, "transA")?, turned(context, right, "transB")?);
    if let (Value::Node(x), Value::Constant(b)) = (&left, &right) {
        let mut weight = arrays::transpose(b.array(), &[1, 0]).mapv(|value| alpha * value);
        let outputs = weight.shape()[0];
        let mut bias = row_bias(call, outputs)?.map(|bias| bias.into_iter().map(|value| beta * value).collect());
        let is_whole = call.input(2).is_none() || bias.is_some();
        if let Some(norm) = call.norm.as_ref().filter(|_| is_whole) {
            bias = Some(norm.fold(&mut weight, bias, |element, shape| element / shape[1])?);
        }
        let has_bias = bias.is_some();
        let y = context.linear(x, weight, bias)?;
        let y = if has_bias { y } else { plus(context, call, &y, beta)? };
        return Ok([y.into()].into());
    }
    if call.norm.is_some() {
        return unsupported("a batch normalisation behind a product of two private matrices");
    }
    let product = product(context, &left, &right)?;
    let product = context.scale(&product, alpha)?;
    Ok([plus(context, call, &product, beta)?.into()].into())
}

/// The third operand, if it is a constant with one entry for each column or one for all.
fn row_bias(call: &Call<'_>, outputs: usize) -> Lowered<Option<Vec<f32>>> {
    if !matches!(call.input(2), Some(Value::Constant(_) | Value::Integer(_))) {
        return Ok(None);
    }
    let bias = call.constant(2)?;
    let is_row = bias.array().shape().iter().rev().skip(1).all(|&size| size == 1);
    match bias.array().len() {
        1 => Ok(Some(arrays::broadcast(&arrays::reshape(bias.array(), &[1])?, &[outputs])?.into_iter().collect())),
        len if len == outputs && is_row => Ok(Some(bias.array().iter().copied().collect())),
        _ => Ok(None),
    }
}

fn plus(context: &mut Context, call: &Call<'_>, y: &Tensor, beta: f32) -> Lowered<Tensor> {
    match call.input(2) {
        None => Ok(y.clone()),
        Some(Value::Node(c)) => {
            let c = context.scale(c, beta)?;
            context.add(y, &c)
        }
        Some(_) => {
            let c = call.constant(2)?.array().mapv(|value| beta * value);
            if c.len() == 1 { context.offset_privately(y, &c) } else { context.offset_by(y, &c) }
        }
    }
}

pub(super) fn mat_mul(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (left, right) = (call.required(0)?.clone(), call.required(1)?.clone());
    let (left_rank, right_rank) = (left.shape().len(), right.shape().len());
    if left_rank == 0 || right_rank == 0 {
        return invalid("a factor is a scalar");
    }
    // A vector is a row on the left and a column on the right.
    let left = if left_rank == 1 { context.reshape_value(&left, &[1, left.shape()[0]])? } else { left };
    let right = if right_rank == 1 { context.reshape_value(&right, &[right.shape()[0], 1])? } else { right };
    let y = product(context, &left, &right)?;
    let mut shape = y.shape.clone();
    if right_rank == 1 {
        shape.pop();
    }
    if left_rank == 1 {
        shape.remove(y.rank() - 2);
    }
    Ok([context.reshape(&y, &shape)?.into()].into())
}

/// The product of matrices in the last two axes.
pub(super) fn product(context: &mut Context, left: &Value, right: &Value) -> Lowered<Tensor> {
    let (Some(&[_, inner]), Some(&[right_inner, _])) = (left.shape().last_chunk(), right.shape().last_chunk()) else {
        return invalid("a factor has fewer than two axes");
    };
    if inner != right_inner {
        return invalid(format!("shapes {:?} and {:?} do not fit", left.shape(), right.shape()));
    }
    match (left, right) {
        (Value::Node(x), Value::Constant(b)) if is_matrix(b.array()) => {
            let weight = arrays::transpose(&as_matrix(b.array())?, &[1, 0]);
            let y = context.linear(x, weight, None)?;
            with_rank(context, y, b.array().ndim())
        }
        (Value::Constant(a), Value::Node(y)) if is_matrix(a.array()) => {
            // A·Y = (Yᵀ·Aᵀ)ᵀ
            let columns = context.transpose_last(y)?;
            let product = context.linear(&columns, as_matrix(a.array())?, None)?;
            let product = context.transpose_last(&product)?;
            with_rank(context, product, a.array().ndim())
        }
        _ => {
            let (x, y) = (context.tensor_of(left)?, context.tensor_of(right)?);
            context.matrix_product(&x, &y)
        }
    }
}

/// Whether all axes but the last two have size 1.
fn is_matrix(array: &ArrayD<f32>) -> bool {
    array.shape().iter().rev().skip(2).all(|&size| size == 1)
}

fn as_matrix(array: &ArrayD<f32>) -> Lowered<ArrayD<f32>> {
    let shape = array.shape();
    arrays::reshape(array, &shape[shape.len() - 2..])
}

/// Axes of size 1 in front, as broadcasting adds them.
fn with_rank(context: &mut Context, y: Tensor, rank: usize) -> Lowered<Tensor> {
    let shape = arrays::aligned(&y.shape, rank);
    context.reshape(&y, &shape)
}

/// Einsum of one operand, which is a sum, or of several, taken two at a time as batched products of matrices.
pub(super) fn einsum(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let equation: Vec<char> = call.string("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let equation: String = equation.into_iter().collect();
    // Without a result, it has the letters that occur once, in alphabetical order.
    let once = |&letter: &char| equation.matches(letter).count() == 1;
    let implied = || ('A'..='Z').chain('a'..='z').filter(once).collect::<String>();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, String::from(result)),
        None => (equation.as_str(), implied()),
    };
    let terms: Vec<Vec<char>> = terms.split(',').map(|term| term.chars().collect()).collect();
    let result: Vec<char> = result.chars().collect();
    let letters = terms.iter().flatten().chain(&result);
    if terms.len() != call.inputs.len() || letters.clone().any(|letter| !letter.is_ascii_alphabetic()) {
        return unsupported("this equation; only letters, one term for each operand, are");
    }
    let repeats = |term: &Vec<char>| (1..term.len()).any(|i| term[..i].contains(&term[i]));
    if terms.iter().any(repeats) || repeats(&result) {
        return unsupported("an axis that occurs twice in a term");
    }
    let mut sizes = BTreeMap::new();
    for (term, index) in terms.iter().zip(0..) {
        let shape = call.required(index)?.shape();
        let differs = |(&letter, &size): (&char, &usize)| *sizes.entry(letter).or_insert(size) != size;
        if term.len() != shape.len() || term.iter().zip(shape).any(differs) {
            return invalid("its operands do not have the shapes of its equation");
        }
    }
    match terms.as_slice() {
        [term] => {
            let x = call.tensor(0)?;
            let axes: Vec<usize> = (0..term.len()).filter(|&axis| !result.contains(&term[axis])).collect();
            let sum = context.sum(x, &axes)?;
            let kept: Vec<char> = term.iter().copied().filter(|letter| result.contains(letter)).collect();
            let shape: Vec<usize> = kept.iter().map(|letter| sizes[letter]).collect();
            let sum = context.reshape(&sum, &shape)?;
            Ok([arranged(context, &sum, &kept, &result)?.into()].into())
        }
        _ => Ok([several(context, call, &terms, &result, &sizes)?].into()),
    }
}

/// The operands from left to right, each product with the axes that are still needed.
fn several(
    context: &mut Context,
    call: &Call<'_>,
    terms: &[Vec<char>],
    result: &[char],
    sizes: &BTreeMap<char, usize>,
) -> Lowered<Value> {
    let Some((mut left, others)) = terms.split_first().map(|(first, others)| (first.clone(), others)) else {
        return invalid("it has no operands");
    };
    let mut value = call.required(0)?.clone();
    for (at, right) in others.iter().enumerate() {
        let later = &others[at + 1..];
        let is_needed = |letter: &char| result.contains(letter) || later.iter().any(|term| term.contains(letter));
        let kept: Vec<char> = if later.is_empty() {
            result.to_vec()
        } else {
            let new = right.iter().filter(|letter| !left.contains(letter));
            left.iter().chain(new).copied().filter(is_needed).collect()
        };
        let (x, left_term) = summed(context, &value, &left, |letter| right.contains(letter) || is_needed(letter))?;
        let (y, right_term) =
            summed(context, call.required(at + 1)?, right, |letter| left.contains(letter) || is_needed(letter))?;
        value = contracted(context, [&x, &y], [&left_term, &right_term], &kept, sizes)?.into();
        left = kept;
    }
    Ok(value)
}

/// The sum of a private operand over the axes that nothing else has.
fn summed(
    context: &mut Context,
    value: &Value,
    term: &[char],
    is_kept: impl Fn(&char) -> bool,
) -> Lowered<(Value, Vec<char>)> {
    let axes: Vec<usize> = (0..term.len()).filter(|&axis| !is_kept(&term[axis])).collect();
    match value {
        Value::Node(x) if !axes.is_empty() => {
            let sum = context.sum(x, &axes)?;
            let rest = (0..term.len()).filter(|axis| !axes.contains(axis));
            let (shape, letters): (Vec<usize>, Vec<char>) = rest.map(|axis| (x.shape[axis], term[axis])).unzip();
            Ok((context.reshape(&sum, &shape)?.into(), letters))
        }
        value => Ok((value.clone(), term.to_vec())),
    }
}

fn arranged(context: &mut Context, x: &Tensor, from: &[char], to: &[char]) -> Lowered<Tensor> {
    let place = |letter: &char| from.iter().position(|other| other == letter);
    match to.iter().map(place).collect::<Option<Vec<_>>>() {
        Some(permutation) => context.transpose(x, &permutation),
        None => unsupported("an axis of the result that no operand has"),
    }
}

fn contracted(
    context: &mut Context,
    values: [&Value; 2],
    [left, right]: [&[char]; 2],
    result: &[char],
    sizes: &BTreeMap<char, usize>,
) -> Lowered<Tensor> {
    let pick = |from: &[char], in_other: bool, in_result: bool, other: &[char]| -> Vec<char> {
        let wanted = |c: &&char| other.contains(c) == in_other && result.contains(c) == in_result;
        from.iter().filter(wanted).copied().collect()
    };
    let (batch, inner) = (pick(left, true, true, right), pick(left, true, false, right));
    let (rows, columns) = (pick(left, false, true, right), pick(right, false, true, left));
    if batch.len() + inner.len() + rows.len() != left.len() || batch.len() + inner.len() + columns.len() != right.len()
    {
        return unsupported("an axis of a constant operand alone that is summed over");
    }
    let size = |letters: &[char]| letters.iter().map(|letter| sizes[letter]).product::<usize>();
    let laid = |context: &mut Context, value: &Value, term: &[char], order: [&[char]; 3]| {
        let wanted = order.concat();
        let permutation: Vec<usize> =
            wanted.iter().filter_map(|letter| term.iter().position(|other| other == letter)).collect();
        let moved = context.transpose_value(value, &permutation)?;
        let shape = order.map(size);
        // Without a batch, a constant operand is the weight of a linear layer.
        context.reshape_value(&moved, if batch.is_empty() { &shape[1..] } else { &shape })
    };
    let x = laid(context, values[0], left, [&batch, &rows, &inner])?;
    let y = laid(context, values[1], right, [&batch, &inner, &columns])?;
    let product = product(context, &x, &y)?;
    let letters = [batch.as_slice(), &rows, &columns].concat();
    let shape: Vec<usize> = letters.iter().map(|letter| sizes[letter]).collect();
    let product = context.reshape(&product, &shape)?;
    arranged(context, &product, &letters, result)
}
