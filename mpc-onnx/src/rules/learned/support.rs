//! Support vector machines: products with the vectors, which are the model owner's, a kernel, and a linear layer.

use mpc_protocols::function::Function;
use ndarray::{ArrayD, Axis};

use super::{above, affine, chosen_label, label_of, labels, rows, shifted_label, transformed, with_opposite};
use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::{choice, elementwise, signal};
use crate::value::{Tensor, Value, vector};

/// The most classes with probabilities: a determinant has the factorial of products.
const MAX_PROBABLE: usize = 4;

/// The kernel of x and each support vector: [samples, vectors].
fn kernel(context: &mut Context, call: &Call<'_>, x: &Tensor, vectors: Vec<f32>) -> Lowered<Tensor> {
    let features = x.shape[1];
    let parameters = call.floats("kernel_params")?.unwrap_or_default();
    let parameter = |place: usize| parameters.get(place).copied().unwrap_or(0.0);
    let (gamma, offset, degree) = (parameter(0), parameter(1), parameter(2));
    if features == 0 || vectors.is_empty() || !vectors.len().is_multiple_of(features) {
        return invalid("its vectors do not fit its features");
    }
    let kind = call.string("kernel_type", "LINEAR")?;
    if kind != "RBF" {
        let products = affine(context, x, vectors, None)?;
        let argument = context.scale(&products, if kind == "LINEAR" { 1.0 } else { gamma })?;
        let argument = if kind == "LINEAR" { argument } else { context.offset(&argument, offset)? };
        return match kind.as_str() {
            "LINEAR" => Ok(argument),
            "POLY" => elementwise::to_power(context, &argument, degree),
            "SIGMOID" => context.function(&argument, Function::Tanh),
            other => invalid(format!("kernel `{other}` is not known")),
        };
    }
    // −γ·|x − v|² = −γ·|x|² + 2γ·x·v − γ·|v|²
    let matrix = arrays::from_elements(&[vectors.len() / features, features], vectors)?;
    let norms = matrix.map_axis(Axis(1), |row| -gamma * row.iter().map(|v| v * v).sum::<f32>());
    let products = context.linear(x, matrix.mapv(|v| 2.0 * gamma * v), Some(norms.iter().copied().collect()))?;
    let squares = context.square(x)?;
    let sum = context.sum(&squares, &[1])?;
    let own = context.scale(&sum, -gamma)?;
    let argument = context.add(&products, &own)?;
    context.function(&argument, Function::ExpNonPositive)
}

pub(super) fn regressor(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = rows(context, call)?;
    let coefficients = call.floats("coefficients")?.unwrap_or_default();
    let rho = call.floats("rho")?.unwrap_or_default();
    let &[rho] = rho.as_slice() else { return invalid("it has not one rho") };
    let count = arrays::size(call.int("n_supports", 0)?)?;
    let values =
        if count > 0 { kernel(context, call, &x, call.floats("support_vectors")?.unwrap_or_default())? } else { x };
    let y = affine(context, &values, coefficients, Some(vec![rho]))?;
    if call.int("one_class", 0)? != 0 {
        let inside = above(context, &y, 0.0)?;
        let double = context.scale(&inside, 2.0)?;
        return Ok([context.offset(&double, -1.0)?.into()].into());
    }
    Ok([transformed(context, call, &y)?.into()].into())
}

pub(super) fn classifier(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = rows(context, call)?;
    let labels = labels(call)?;
    let coefficients = call.floats("coefficients")?.unwrap_or_default();
    let rho = call.floats("rho")?.unwrap_or_default();
    let counts = call.sizes("vectors_per_class")?.unwrap_or_default();
    if counts.is_empty() {
        // One linear model for each class.
        let scores = affine(context, &x, coefficients, None)?;
        let scores = context.offset(&scores, rho.first().copied().unwrap_or(0.0))?;
        let label = label_of(context, call, &scores, &labels)?;
        return Ok([label, transformed(context, call, &scores)?.into()].into());
    }
    let classes = counts.len();
    let total: usize = counts.iter().sum();
    let pairs = classes * classes.saturating_sub(1) / 2;
    if classes < 2 || labels.len() != classes || coefficients.len() != (classes - 1) * total || rho.len() != pairs {
        return invalid("its coefficients do not fit its classes");
    }
    let values = kernel(context, call, &x, call.floats("support_vectors")?.unwrap_or_default())?;
    if values.shape[1] != total {
        return invalid("it has another number of vectors than its classes");
    }
    context.charge(pairs.saturating_mul(total))?;
    let start = |class: usize| counts[..class].iter().sum::<usize>();
    let mut matrix = ArrayD::zeros([pairs, total].as_slice());
    let mut pair = 0;
    let mut order = Vec::new();
    for i in 0..classes {
        for j in i + 1..classes {
            for (own, other) in [(i, j - 1), (j, i)] {
                for vector in start(own)..start(own) + counts[own] {
                    matrix[[pair, vector]] = coefficients[other * total + vector];
                }
            }
            order.push((i, j));
            pair += 1;
        }
    }
    let decisions = context.linear(&values, matrix, Some(rho))?;
    scored(context, call, &decisions, &order, &labels)
}

/// The class, and the decisions or the probabilities.
fn scored(
    context: &mut Context,
    call: &Call<'_>,
    decisions: &Tensor,
    order: &[(usize, usize)],
    labels: &[i64],
) -> Lowered<Vec<Value>> {
    let (classes, pairs) = (labels.len(), order.len());
    let [a, b] = [call.floats("prob_a")?.unwrap_or_default(), call.floats("prob_b")?.unwrap_or_default()];
    match (a.as_slice(), b.as_slice()) {
        ([], _) => voted(context, call, decisions, order, labels),
        (&[a], &[b]) if classes == 2 => with_probability(context, decisions, [a, b], labels),
        _ if a.len() != pairs || b.len() != pairs => invalid("it has not two numbers for each pair of classes"),
        _ if classes > MAX_PROBABLE => {
            unsupported(format!("probabilities of more than {MAX_PROBABLE} classes; train with probability=False"))
        }
        _ => {
            let [negative_a, negative_b] = [a, b].map(|list| vector(list.iter().map(|value| -value).collect()));
            let argument = context.scale_privately(decisions, &negative_a)?;
            let argument = context.offset_privately(&argument, &negative_b)?;
            let chances = context.function(&argument, Function::Sigmoid)?;
            let probabilities = coupled(context, &chances, order, classes)?;
            let mut results = voted(context, call, decisions, order, labels)?;
            results.truncate(1);
            results.push(probabilities.into());
            Ok(results)
        }
    }
}

/// Two classes with Platt's probability. The label is that of the decision, which is another one where both are next to even.
fn with_probability(
    context: &mut Context,
    decisions: &Tensor,
    [a, b]: [f32; 2],
    labels: &[i64],
) -> Lowered<Vec<Value>> {
    // P(first class) = 1 / (1 + e^(a·d + b))
    let scaled = context.scale(decisions, a)?;
    let argument = context.offset(&scaled, b)?;
    let second = context.function(&argument, Function::Sigmoid)?;
    let label = decided(context, decisions, labels)?;
    Ok([label, with_opposite(context, &second)?.into()].into())
}

/// The probabilities of classes whose chances in pairs are nearest to those given (Wu, Lin and Weng, Probability estimates for
/// multi-class classification by pairwise coupling, section 4): with r the chance of class i against class j, Q has Σ r(j,i)² at (i,i)
/// and −r(j,i)·r(i,j) at (i,j), and p is proportional to the solution of Q·p = 1. By Cramer's rule there is no quotient but the last.
fn coupled(context: &mut Context, chances: &Tensor, order: &[(usize, usize)], classes: usize) -> Lowered<Tensor> {
    let (samples, pairs) = (chances.shape[0], order.len());
    let squares = context.square(chances)?;
    let both = context.join(&[chances.clone(), squares], 1)?;
    // Q, and those that have ones in place of one of its columns.
    let (mut rows, mut constants) = (Vec::new(), Vec::new());
    for (replaced, i, j) in (0..classes.pow(3)).map(|at| (at / classes.pow(2), at / classes % classes, at % classes)) {
        let mut row: Vec<(usize, f32)> = Vec::new();
        let mut constant = f32::from(u8::from(j == replaced));
        for (pair, &(first, second)) in order.iter().enumerate().filter(|_| j != replaced) {
            let (chance, square) = (pair, pairs + pair);
            if i == j && i == second {
                row.push((square, 1.0));
            } else if i == j && i == first {
                // (1 − r)²
                row.extend([(chance, -2.0), (square, 1.0)]);
                constant += 1.0;
            } else if (i, j) == (first, second) || (j, i) == (first, second) {
                row.extend([(chance, -1.0), (square, 1.0)]);
            }
        }
        rows.push(if row.is_empty() { vec![(0, 0.0)] } else { row });
        constants.push(constant);
    }
    let entries = context.combine(&both, 1, &rows)?;
    let entries = context.offset_by(&entries, &vector(constants))?;
    let matrices = context.reshape(&entries, &[samples * classes, classes, classes])?;
    let solution = signal::minor(context, &matrices)?;
    let solution = context.reshape(&solution, &[samples, classes])?;
    let sum = context.sum(&solution, &[1])?;
    context.quotient(&solution, &sum, true)
}

/// The first of two classes where a decision is above 0, else the second one.
fn decided(context: &mut Context, decisions: &Tensor, labels: &[i64]) -> Lowered<Value> {
    let is_first = above(context, decisions, 0.0)?;
    let label = chosen_label(context, &is_first, &[labels[0] - labels[1]])?;
    shifted_label(context, label, labels[1])
}

/// The class with the most votes, and the decisions.
fn voted(
    context: &mut Context,
    call: &Call<'_>,
    decisions: &Tensor,
    order: &[(usize, usize)],
    labels: &[i64],
) -> Lowered<Vec<Value>> {
    if call.string("post_transform", "NONE")? != "NONE" {
        return unsupported("a post-transform of decisions");
    }
    if labels.len() == 2 {
        // The decision is the second score.
        let label = decided(context, decisions, labels)?;
        let negative = context.scale(decisions, -1.0)?;
        return Ok([label, context.join(&[negative, decisions.clone()], 1)?.into()].into());
    }
    let is_first = above(context, decisions, 0.0)?;
    let mut rows = Vec::new();
    let mut constants = vec![0.0; labels.len()];
    for (class, constant) in constants.iter_mut().enumerate() {
        let mut row = Vec::new();
        for (pair, &(i, j)) in order.iter().enumerate() {
            if i == class {
                row.push((pair, 1.0));
            } else if j == class {
                row.push((pair, -1.0));
                *constant += 1.0;
            }
        }
        rows.push(row);
    }
    let votes = context.combine(&is_first, 1, &rows)?;
    let votes = context.offset_by(&votes, &vector(constants))?;
    let label = if call.is_used(0) {
        let best = choice::largest(context, &votes)?;
        chosen_label(context, &best, labels)?
    } else {
        Value::scalar(0)
    };
    Ok([label, decisions.clone().into()].into())
}
