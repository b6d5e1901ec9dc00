//! Losses at classes, which are public or private.

use ndarray::ArrayD;

use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::{choice, softmax};
use crate::value::{Tensor, Value};

/// The weights of the elements, and their sum.
enum Weights {
    Public(ArrayD<f32>),
    Private(Tensor),
}

/// −w\[t\]·x\[t\] at each place.
pub(super) fn negative_log_likelihood(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    Ok([loss(context, call, x)?.into()].into())
}

/// The same of a LogSoftmax.
pub(super) fn softmax_cross_entropy(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    if x.rank() < 2 {
        return invalid("its scores have no classes");
    }
    let logarithms = softmax::along(context, x, 1, true)?;
    Ok([loss(context, call, &logarithms)?.into(), logarithms.into()].into())
}

fn loss(context: &mut Context, call: &Call<'_>, x: &Tensor) -> Lowered<Tensor> {
    let Some(&[batch, classes]) = x.shape.first_chunk() else { return invalid("its scores have no classes") };
    let inner: usize = x.shape[2..].iter().product();
    let shape: Vec<usize> = [batch].into_iter().chain(x.shape[2..].iter().copied()).collect();
    if call.required(1)?.shape() != shape {
        return invalid("its classes have another shape");
    }
    let rows = context.reshape(x, &[batch, classes, inner])?;
    let rows = context.transpose(&rows, &[0, 2, 1])?;
    let ignored = call.optional_int("ignore_index")?;
    let (picked, weights) = match call.required(1)? {
        Value::Integer(target) => public(context, call, &rows, target, ignored)?,
        Value::Node(target) => {
            if ignored.is_some() {
                return unsupported("a class to ignore among private classes");
            }
            private(context, call, &rows, target)?
        }
        _ => return invalid("its classes are not integers"),
    };
    let negative = context.scale(&picked, -1.0)?;
    let weighted = match &weights {
        Weights::Public(weights) => context.scale_by(&negative, weights)?,
        Weights::Private(weights) => context.multiply(&negative, weights)?,
    };
    match call.string("reduction", "mean")?.as_str() {
        "none" => context.reshape(&weighted, &shape),
        "sum" => {
            let sum = context.sum(&weighted, &[0])?;
            context.reshape(&sum, &[])
        }
        "mean" => {
            // A quotient of means: sums of many might be beyond what a private value can be.
            let mean = context.mean(&weighted, &[0])?;
            let mean = match weights {
                Weights::Public(weights) => {
                    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
                    if total == 0.0 {
                        return unsupported("the mean of no classes, which is not a number");
                    }
                    context.scale(&mean, (weights.len() as f64 / total) as f32)?
                }
                Weights::Private(weights) => {
                    let total = context.mean(&weights, &[0])?;
                    context.quotient(&mean, &total, true)?
                }
            };
            context.reshape(&mean, &[])
        }
        other => invalid(format!("reduction `{other}` is not known")),
    }
}

/// The scores at public classes, as one axis, and their weights.
fn public(
    context: &mut Context,
    call: &Call<'_>,
    rows: &Tensor,
    target: &ArrayD<i64>,
    ignored: Option<i64>,
) -> Lowered<(Tensor, Weights)> {
    let classes = rows.shape[2];
    context.charge(target.len().saturating_mul(3))?;
    let mut chosen = Vec::new();
    for &class in target {
        chosen.push(if Some(class) == ignored { None } else { Some(super::place(class, classes)?) });
    }
    let places = chosen.iter().enumerate().map(|(row, class)| row * classes + class.unwrap_or(0));
    let flat = context.reshape(rows, &[rows.len()])?;
    let picked = context.gather(&flat, 0, &places.collect::<Vec<_>>())?;
    let is_seen: Vec<f32> = chosen.iter().map(|class| f32::from(u8::from(class.is_some()))).collect();
    let weights = match call.input(2) {
        None => Weights::Public(crate::value::vector(is_seen)),
        Some(Value::Node(weights)) => {
            let classes: Vec<usize> = chosen.iter().map(|class| class.unwrap_or(0)).collect();
            let own = context.gather(weights, 0, &classes)?;
            Weights::Private(context.scale_by(&own, &crate::value::vector(is_seen))?)
        }
        Some(_) => {
            let weights = call.constant(2)?;
            let own = chosen.iter().map(|class| match class {
                Some(class) => weights.array().get([*class].as_slice()).copied(),
                None => Some(0.0),
            });
            match own.collect::<Option<Vec<_>>>() {
                Some(own) => Weights::Public(crate::value::vector(own)),
                None => return invalid("it has not one weight for each class"),
            }
        }
    };
    Ok((picked, weights))
}

/// The scores at private classes, as one axis, and their weights.
fn private(context: &mut Context, call: &Call<'_>, rows: &Tensor, target: &Tensor) -> Lowered<(Tensor, Weights)> {
    let classes = rows.shape[2];
    let places = choice::one_hot_rows(context, target, classes)?;
    let places = context.reshape(&places, &[target.len(), classes])?;
    let scores = context.reshape(rows, &[target.len(), classes])?;
    let product = context.multiply(&scores, &places)?;
    let picked = context.sum(&product, &[1])?;
    let picked = context.reshape(&picked, &[target.len()])?;
    let weights = match call.input(2) {
        None => Weights::Public(ArrayD::from_elem([target.len()].as_slice(), 1.0)),
        Some(weights) => {
            let weights = context.tensor_of(weights)?;
            let column = context.reshape(&weights, &[1, classes])?;
            let product = context.multiply(&places, &column)?;
            let own = context.sum(&product, &[1])?;
            Weights::Private(context.reshape(&own, &[target.len()])?)
        }
    };
    Ok((picked, weights))
}
