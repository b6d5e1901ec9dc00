//! Einsum: products of tensors over axes that letters name.

use std::collections::BTreeMap;

use ndarray::Axis;

use crate::call::Call;
use crate::context::{Context, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::linear::product;
use crate::value::{Tensor, Value};

/// The letters of axes that dots stand for: as many as a graph has axes.
const DOTS: [char; 8] = ['0', '1', '2', '3', '4', '5', '6', '7'];

/// Einsum of one operand, which is a sum, or of several, taken two at a time as batched products of matrices.
pub(super) fn einsum(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let equation: String = call.string("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let equation = spelled(call, &equation)?;
    // Without a result, it has the letters that occur once, in alphabetical order.
    let once = |&letter: &char| equation.matches(letter).count() == 1;
    let implied = || ('A'..='Z').chain('a'..='z').filter(once).collect::<String>();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, String::from(result)),
        None => (equation.as_str(), implied()),
    };
    let terms: Vec<Vec<char>> = terms.split(',').map(|term| term.chars().collect()).collect();
    let result: Vec<char> = result.chars().collect();
    if terms.len() != call.inputs.len() || terms.iter().flatten().chain(&result).any(|&letter| !is_letter(letter)) {
        return invalid("its equation has not one term of letters for each operand");
    }
    if (1..result.len()).any(|i| result[..i].contains(&result[i])) {
        return invalid("an axis occurs twice in its result");
    }
    let (terms, values) = diagonals(context, call, terms)?;
    let mut sizes = BTreeMap::new();
    for (index, term) in terms.iter().enumerate() {
        let shape = values[index].shape();
        let differs = |(&letter, &size): (&char, &usize)| *sizes.entry(letter).or_insert(size) != size;
        if term.len() != shape.len() || term.iter().zip(shape).any(differs) {
            return invalid("its operands do not have the shapes of its equation");
        }
    }
    match terms.as_slice() {
        [term] => {
            let x = &context.tensor_of(&values[0])?;
            let axes: Vec<usize> = (0..term.len()).filter(|&axis| !result.contains(&term[axis])).collect();
            let sum = context.sum(x, &axes)?;
            let kept: Vec<char> = term.iter().copied().filter(|letter| result.contains(letter)).collect();
            let shape: Vec<usize> = kept.iter().map(|letter| sizes[letter]).collect();
            let sum = context.reshape(&sum, &shape)?;
            Ok([arranged(context, &sum, &kept, &result)?.into()].into())
        }
        _ => Ok([several(context, &values, &terms, &result, &sizes)?].into()),
    }
}

/// The operands from left to right, each product with the axes that are still needed.
fn several(
    context: &mut Context,
    values: &[Value],
    terms: &[Vec<char>],
    result: &[char],
    sizes: &BTreeMap<char, usize>,
) -> Lowered<Value> {
    let Some((mut left, others)) = terms.split_first().map(|(first, others)| (first.clone(), others)) else {
        return invalid("it has no operands");
    };
    let mut value = values[0].clone();
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
            summed(context, &values[at + 1], right, |letter| left.contains(letter) || is_needed(letter))?;
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
        Value::Constant(_) | Value::Integer(_) if !axes.is_empty() => {
            let constant = real(value)?;
            let sum = axes.iter().rev().fold(constant.array().clone(), |array, &axis| array.sum_axis(Axis(axis)));
            let letters = (0..term.len()).filter(|axis| !axes.contains(axis)).map(|axis| term[axis]).collect();
            Ok((Value::constant(sum), letters))
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

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphabetic() || DOTS.contains(&letter)
}

/// The equation with letters of their own for the axes that dots stand for.
fn spelled(call: &Call<'_>, equation: &str) -> Lowered<String> {
    if !equation.contains("...") {
        return Ok(equation.into());
    }
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation, None),
    };
    let mut most = 0;
    let mut spelled = Vec::new();
    for (index, term) in terms.split(',').enumerate() {
        let letters = term.replacen("...", "", 1).chars().count();
        let rank = call.required(index)?.shape().len();
        let Some(count) = rank.checked_sub(letters).filter(|&count| count <= DOTS.len()) else {
            return invalid("an operand has fewer axes than its term");
        };
        if term.contains("...") {
            most = most.max(count);
        }
        // Dots of several operands are the same axes, counted from the last.
        spelled.push((term, DOTS[DOTS.len() - count..].iter().collect::<String>()));
    }
    let terms: Vec<String> = spelled.iter().map(|(term, dots)| term.replacen("...", dots, 1)).collect();
    let all: String = DOTS[DOTS.len() - most..].iter().collect();
    let result = match result {
        Some(result) => result.replacen("...", &all, 1),
        None => {
            let letters = terms.concat();
            let once = |&letter: &char| letters.matches(letter).count() == 1;
            all + &('A'..='Z').chain('a'..='z').filter(once).collect::<String>()
        }
    };
    Ok(format!("{}->{result}", terms.join(",")))
}

/// Operands without axes that occur twice: their diagonals; and axes of size 1 that dots broadcast, repeated.
fn diagonals(
    context: &mut Context,
    call: &Call<'_>,
    mut terms: Vec<Vec<char>>,
) -> Lowered<(Vec<Vec<char>>, Vec<Value>)> {
    let mut values = Vec::new();
    for (index, term) in terms.iter_mut().enumerate() {
        let mut value = call.required(index)?.clone();
        if value.shape().len() != term.len() {
            return invalid("its operands do not have the shapes of its equation");
        }
        while let Some(second) = (1..term.len()).find(|&i| term[..i].contains(&term[i])) {
            let first = term.iter().position(|letter| *letter == term[second]).unwrap_or(0);
            let size = value.shape()[first];
            if value.shape()[second] != size {
                return invalid("its operands do not have the shapes of its equation");
            }
            // Both axes in front, as one of which every (n + 1)-th entry counts.
            let mut order: Vec<usize> = (0..term.len()).filter(|&axis| axis != first && axis != second).collect();
            let letters: Vec<char> = order.iter().map(|&axis| term[axis]).collect();
            order.splice(0..0, [first, second]);
            let letter = term[first];
            let moved = context.transpose_value(&value, &order)?;
            let rest = moved.shape()[2..].to_vec();
            let flat = context.reshape_value(&moved, &[[size * size].as_slice(), &rest].concat())?;
            context.charge(size)?;
            let places: Vec<usize> = (0..size).map(|i| i * (size + 1)).collect();
            value = context.gather_value(&flat, 0, &places)?;
            *term = [letter].into_iter().chain(letters).collect();
        }
        values.push(value);
    }
    for letter in DOTS {
        let size = |term: &Vec<char>, value: &Value| {
            term.iter().position(|other| *other == letter).map(|axis| value.shape()[axis])
        };
        let most = terms.iter().zip(&values).filter_map(|(term, value)| size(term, value)).max().unwrap_or(1);
        for (term, value) in terms.iter().zip(&mut values).filter(|(term, value)| size(term, value) == Some(1)) {
            if let Some(axis) = term.iter().position(|other| *other == letter).filter(|_| most > 1) {
                context.charge(most)?;
                *value = context.gather_value(value, axis, &vec![0; most])?;
            }
        }
    }
    Ok((terms, values))
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
