//! Products of matrices.

use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use ndarray::ArrayD;

use crate::onnx::arrays;
use crate::onnx::call::Call;
use crate::onnx::error::{Lowered, invalid, unsupported};
use crate::onnx::lowering::Lowering;
use crate::onnx::value::{Tensor, Value};

/// α·A·B + β·C
pub(super) fn gemm(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let (left, right) = (call.required(0)?.clone(), call.required(1)?.clone());
    if left.shape().len() != 2 || right.shape().len() != 2 {
        return invalid("its factors are not matrices");
    }
    let turned = |lowering: &mut Lowering, value: Value, name: &str| {
        if call.int(name, 0)? != 0 { lowering.transpose_value(&value, &[1, 0]) } else { Ok(value) }
    };
    let (left, right) = (turned(lowering, left, "transA")?, turned(lowering, right, "transB")?);
    if let (Value::Node(x), Value::Constant(b)) = (&left, &right) {
        let mut weight = arrays::transpose(b.array(), &[1, 0]).mapv(|value| alpha * value);
        let outputs = weight.shape()[0];
        let mut bias = row_bias(call, outputs)?.map(|bias| bias.into_iter().map(|value| beta * value).collect());
        let is_whole = call.input(2).is_none() || bias.is_some();
        if let Some(norm) = call.norm.as_ref().filter(|_| is_whole) {
            bias = Some(norm.fold(&mut weight, bias, |element, shape| element / shape[1])?);
        }
        let has_bias = bias.is_some();
        let y = lowering.linear(x, weight, bias)?;
        let y = if has_bias { y } else { plus(lowering, call, &y, beta)? };
        return Ok([y.into()].into());
    }
    if call.norm.is_some() {
        return unsupported("a batch normalisation behind a product of two private matrices");
    }
    let product = product(lowering, &left, &right)?;
    let product = lowering.scale(&product, alpha)?;
    Ok([plus(lowering, call, &product, beta)?.into()].into())
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

fn plus(lowering: &mut Lowering, call: &Call<'_>, y: &Tensor, beta: f32) -> Lowered<Tensor> {
    match call.input(2) {
        None => Ok(y.clone()),
        Some(Value::Node(c)) => {
            let c = lowering.scale(c, beta)?;
            lowering.add(y, &c)
        }
        Some(_) => {
            let c = call.constant(2)?.array().mapv(|value| beta * value);
            if c.len() == 1 { lowering.offset_privately(y, &c) } else { lowering.offset_by(y, &c) }
        }
    }
}

pub(super) fn mat_mul(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (left, right) = (call.required(0)?.clone(), call.required(1)?.clone());
    let (left_rank, right_rank) = (left.shape().len(), right.shape().len());
    if left_rank == 0 || right_rank == 0 {
        return invalid("a factor is a scalar");
    }
    // A vector is a row on the left and a column on the right.
    let left = if left_rank == 1 { lowering.reshape_value(&left, &[1, left.shape()[0]])? } else { left };
    let right = if right_rank == 1 { lowering.reshape_value(&right, &[right.shape()[0], 1])? } else { right };
    let y = product(lowering, &left, &right)?;
    let mut shape = y.shape.clone();
    if right_rank == 1 {
        shape.pop();
    }
    if left_rank == 1 {
        shape.remove(y.rank() - 2);
    }
    Ok([lowering.reshape(&y, &shape)?.into()].into())
}

/// The product of matrices in the last two axes.
pub(super) fn product(lowering: &mut Lowering, left: &Value, right: &Value) -> Lowered<Tensor> {
    let (Some(&[_, inner]), Some(&[right_inner, _])) = (left.shape().last_chunk(), right.shape().last_chunk()) else {
        return invalid("a factor has fewer than two axes");
    };
    if inner != right_inner {
        return invalid(std::format!("shapes {:?} and {:?} do not fit", left.shape(), right.shape()));
    }
    match (left, right) {
        (Value::Node(x), Value::Constant(b)) if is_matrix(b.array()) => {
            let weight = arrays::transpose(&as_matrix(b.array())?, &[1, 0]);
            let y = lowering.linear(x, weight, None)?;
            with_rank(lowering, y, b.array().ndim())
        }
        (Value::Constant(a), Value::Node(y)) if is_matrix(a.array()) => {
            // A·Y = (Yᵀ·Aᵀ)ᵀ
            let columns = lowering.transpose_last(y)?;
            let product = lowering.linear(&columns, as_matrix(a.array())?, None)?;
            let product = lowering.transpose_last(&product)?;
            with_rank(lowering, product, a.array().ndim())
        }
        _ => {
            let (x, y) = (lowering.tensor_of(left)?, lowering.tensor_of(right)?);
            lowering.matrix_product(&x, &y)
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
fn with_rank(lowering: &mut Lowering, y: Tensor, rank: usize) -> Lowered<Tensor> {
    let shape = arrays::aligned(&y.shape, rank);
    lowering.reshape(&y, &shape)
}

/// Einsum of one operand, which is a sum, or of several, taken two at a time as batched products of matrices.
pub(super) fn einsum(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
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
            let sum = lowering.sum(x, &axes)?;
            let kept: Vec<char> = term.iter().copied().filter(|letter| result.contains(letter)).collect();
            let shape: Vec<usize> = kept.iter().map(|letter| sizes[letter]).collect();
            let sum = lowering.reshape(&sum, &shape)?;
            Ok([arranged(lowering, &sum, &kept, &result)?.into()].into())
        }
        _ => Ok([several(lowering, call, &terms, &result, &sizes)?].into()),
    }
}

/// The operands from left to right, each product with the axes that are still needed.
fn several(
    lowering: &mut Lowering,
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
        let (x, left_term) = summed(lowering, &value, &left, |letter| right.contains(letter) || is_needed(letter))?;
        let (y, right_term) =
            summed(lowering, call.required(at + 1)?, right, |letter| left.contains(letter) || is_needed(letter))?;
        value = contracted(lowering, [&x, &y], [&left_term, &right_term], &kept, sizes)?.into();
        left = kept;
    }
    Ok(value)
}

/// The sum of a private operand over the axes that nothing else has.
fn summed(
    lowering: &mut Lowering,
    value: &Value,
    term: &[char],
    is_kept: impl Fn(&char) -> bool,
) -> Lowered<(Value, Vec<char>)> {
    let axes: Vec<usize> = (0..term.len()).filter(|&axis| !is_kept(&term[axis])).collect();
    match value {
        Value::Node(x) if !axes.is_empty() => {
            let sum = lowering.sum(x, &axes)?;
            let rest = (0..term.len()).filter(|axis| !axes.contains(axis));
            let (shape, letters): (Vec<usize>, Vec<char>) = rest.map(|axis| (x.shape[axis], term[axis])).unzip();
            Ok((lowering.reshape(&sum, &shape)?.into(), letters))
        }
        value => Ok((value.clone(), term.to_vec())),
    }
}

fn arranged(lowering: &mut Lowering, x: &Tensor, from: &[char], to: &[char]) -> Lowered<Tensor> {
    let place = |letter: &char| from.iter().position(|other| other == letter);
    match to.iter().map(place).collect::<Option<Vec<_>>>() {
        Some(permutation) => lowering.transpose(x, &permutation),
        None => unsupported("an axis of the result that no operand has"),
    }
}

fn contracted(
    lowering: &mut Lowering,
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
    let laid = |lowering: &mut Lowering, value: &Value, term: &[char], order: [&[char]; 3]| {
        let wanted = order.concat();
        let permutation: Vec<usize> =
            wanted.iter().filter_map(|letter| term.iter().position(|other| other == letter)).collect();
        let moved = lowering.transpose_value(value, &permutation)?;
        let shape = order.map(size);
        // Without a batch, a constant operand is the weight of a linear layer.
        lowering.reshape_value(&moved, if batch.is_empty() { &shape[1..] } else { &shape })
    };
    let x = laid(lowering, values[0], left, [&batch, &rows, &inner])?;
    let y = laid(lowering, values[1], right, [&batch, &inner, &columns])?;
    let product = product(lowering, &x, &y)?;
    let letters = [batch.as_slice(), &rows, &columns].concat();
    let shape: Vec<usize> = letters.iter().map(|letter| sizes[letter]).collect();
    let product = lowering.reshape(&product, &shape)?;
    arranged(lowering, &product, &letters, result)
}
