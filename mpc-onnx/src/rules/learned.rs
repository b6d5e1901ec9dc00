//! `ai.onnx.ml`: linear models, scalers and encoders, as converters of scikit-learn and others write them.

mod support;
mod trees;

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use super::{Apply, Rule};
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::{choice, reduce, softmax};
use crate::tensor;
use crate::value::{Tensor, Value, vector};

pub(super) fn find(operator: &str) -> Option<Rule> {
    let private: Apply = match operator {
        "LinearClassifier" => linear_classifier,
        "LinearRegressor" => linear_regressor,
        "Scaler" => scaler,
        "Normalizer" => normalizer,
        "Imputer" => imputer,
        "Binarizer" => binarizer,
        "OneHotEncoder" => one_hot_encoder,
        "LabelEncoder" => label_encoder,
        "TreeEnsembleClassifier" => trees::classifier,
        "TreeEnsembleRegressor" => trees::regressor,
        "TreeEnsemble" => trees::ensemble,
        "SVMClassifier" => support::classifier,
        "SVMRegressor" => support::regressor,
        "ArrayFeatureExtractor" => return Some(Rule::Any(extractor)),
        "FeatureVectorizer" => return Some(Rule::Any(vectorizer)),
        "ZipMap" => return Some(Rule::Any(zip_map)),
        _ => return None,
    };
    Some(Rule::Private(private))
}

/// The input as rows of features.
fn rows(context: &mut Context, call: &Call<'_>) -> Lowered<Tensor> {
    let x = call.tensor(0)?.clone();
    match x.rank() {
        0 => context.reshape(&x, &[1, 1]),
        1 => context.reshape(&x, &[1, x.shape[0]]),
        2 => Ok(x),
        _ => invalid("its input is not a matrix of samples and features"),
    }
}

/// A list of real numbers under one of two names, as later versions have a list of doubles in a tensor.
fn reals(call: &Call<'_>, name: &str) -> Lowered<Vec<f32>> {
    if let Some(values) = call.floats(name)? {
        return Ok(values);
    }
    numbers_of(call, &format!("{name}_as_tensor"), false)
}

/// The numbers of a tensor that is an attribute, none if it is absent; NaN may delimit them.
fn numbers_of(call: &Call<'_>, name: &str, has_nan: bool) -> Lowered<Vec<f32>> {
    let Some(attribute) = call.tensor_attribute(name)? else { return Ok(Vec::new()) };
    let decode = if has_nan { tensor::decode_with_nan } else { tensor::decode };
    match decode(attribute, None) {
        Ok(value) => Ok(real(&value)?.array().iter().copied().collect()),
        Err(reason) => invalid(format!("attribute `{name}`: {reason}")),
    }
}

/// x·Wᵀ + b with a weight of [outputs, features] in one list.
fn affine(context: &mut Context, x: &Tensor, weights: Vec<f32>, bias: Option<Vec<f32>>) -> Lowered<Tensor> {
    let features = x.shape[1];
    if features == 0 || weights.is_empty() || !weights.len().is_multiple_of(features) {
        return invalid("its coefficients do not fit its features");
    }
    let outputs = weights.len() / features;
    if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
        return invalid("its intercepts do not fit its coefficients");
    }
    context.linear(x, arrays::from_elements(&[outputs, features], weights)?, bias)
}

/// The scores, transformed as `post_transform` says.
fn transformed(context: &mut Context, call: &Call<'_>, scores: &Tensor) -> Lowered<Tensor> {
    match call.string("post_transform", "NONE")?.as_str() {
        "NONE" => Ok(scores.clone()),
        "LOGISTIC" => context.function(scores, Function::Sigmoid),
        "SOFTMAX" => softmax::along(context, scores, 1, false),
        other => unsupported(format!("the post-transform {other}; NONE, LOGISTIC and SOFTMAX are")),
    }
}

/// The classes of a model, by number. Text has no numbers but its places in the list.
fn labels(call: &Call<'_>) -> Lowered<Vec<i64>> {
    for name in ["classlabels_ints", "classlabels_int64s"] {
        if let Some(labels) = call.ints(name)? {
            return Ok(labels);
        }
    }
    let texts = call.strings("classlabels_strings")?.unwrap_or_default();
    Ok((0..texts.len() as i64).collect())
}

/// The class of the largest score of each row.
fn label_of(context: &mut Context, call: &Call<'_>, scores: &Tensor, labels: &[i64]) -> Lowered<Value> {
    let count = scores.shape[1];
    if labels.len() != count {
        return invalid("it has another number of classes than scores");
    }
    if call.is_revealed && labels.iter().copied().eq(0..count as i64) {
        let shape = [scores.shape[0], 1];
        let y = context.emit("label", &shape, |builder, name| builder.arg_max(name, scores.id))?;
        let y = context.reshape(&y, &shape[..1])?;
        context.note_whole(y.id, Whole::Integer);
        context.note_typed(y.id);
        return Ok(y.into());
    }
    let rows = choice::largest(context, scores)?;
    chosen_label(context, &rows, labels)
}

/// The classes at rows with a single 1.
fn chosen_label(context: &mut Context, rows: &Tensor, labels: &[i64]) -> Lowered<Value> {
    let map = labels.iter().enumerate().map(|(place, &label)| (place, label as f32)).filter(|&(_, label)| label != 0.0);
    let mut map: Vec<(usize, f32)> = map.collect();
    if map.is_empty() {
        map.push((0, 0.0));
    }
    let y = context.combine(rows, 1, &[map])?;
    let y = context.reshape(&y, &rows.shape[..1])?;
    context.note_whole(y.id, Whole::Integer);
    context.note_typed(y.id);
    Ok(y.into())
}

/// 1 − p and p as two columns.
fn with_opposite(context: &mut Context, p: &Tensor) -> Lowered<Tensor> {
    let negative = context.scale(p, -1.0)?;
    let other = context.offset(&negative, 1.0)?;
    context.join(&[other, p.clone()], 1)
}

fn linear_classifier(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = rows(context, call)?;
    let bias = call.floats("intercepts")?.filter(|bias| !bias.is_empty());
    let scores = affine(context, &x, reals(call, "coefficients")?, bias)?;
    let labels = labels(call)?;
    if scores.shape[1] == 1 && labels.len() == 2 {
        return binary(context, call, &scores, &labels);
    }
    let label = if call.is_used(0) { label_of(context, call, &scores, &labels)? } else { Value::scalar(0) };
    Ok([label, transformed(context, call, &scores)?.into()].into())
}

/// One score for two classes: the second one above 0.
fn binary(context: &mut Context, call: &Call<'_>, score: &Tensor, labels: &[i64]) -> Lowered<Vec<Value>> {
    if call.string("post_transform", "NONE")? == "SOFTMAX" {
        return unsupported(
            "the softmax of one score, which is not defined; export it with one for each class, or LOGISTIC",
        );
    }
    let is_second = above(context, score, 0.0)?;
    let label = chosen_label(context, &is_second, &[labels[1] - labels[0]])?;
    let label = shifted_label(context, label, labels[0])?;
    let probability = transformed(context, call, score)?;
    Ok([label, with_opposite(context, &probability)?.into()].into())
}

fn shifted_label(context: &mut Context, label: Value, first: i64) -> Lowered<Value> {
    let Value::Node(label) = label else { return Ok(label) };
    let y = context.offset(&label, first as f32)?;
    context.note_whole(y.id, Whole::Integer);
    context.note_typed(y.id);
    Ok(y.into())
}

/// 1 where x is above a public limit, else 0.
fn above(context: &mut Context, x: &Tensor, limit: f32) -> Lowered<Tensor> {
    let difference = context.offset(x, -limit)?;
    let opposite = context.scale(&difference, -1.0)?;
    let not_above = context.function(&opposite, Function::Step)?;
    let negative = context.scale(&not_above, -1.0)?;
    let y = context.offset(&negative, 1.0)?;
    context.note_whole(y.id, Whole::Boolean);
    Ok(y)
}

fn linear_regressor(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = rows(context, call)?;
    let bias = call.floats("intercepts")?.filter(|bias| !bias.is_empty());
    let scores = affine(context, &x, reals(call, "coefficients")?, bias)?;
    Ok([transformed(context, call, &scores)?.into()].into())
}

/// One number for each feature, or one for all.
fn per_feature(call: &Call<'_>, name: &str, features: usize, default: f32) -> Lowered<ArrayD<f32>> {
    let values = call.floats(name)?.filter(|values| !values.is_empty()).unwrap_or_else(|| vec![default]);
    if values.len() != 1 && values.len() != features {
        return invalid(format!("attribute `{name}` has not one number for each feature"));
    }
    Ok(vector(values))
}

fn scaler(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let features = x.shape.last().copied().unwrap_or(1);
    let offset = per_feature(call, "offset", features, 0.0)?;
    let scale = per_feature(call, "scale", features, 1.0)?;
    // Many features are private parameters like those of a batch normalisation.
    let centred = context.offset_by(x, &offset.mapv(|value| -value))?;
    Ok([context.scale_by(&centred, &scale)?.into()].into())
}

fn normalizer(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = rows(context, call)?;
    let y = match call.string("norm", "MAX")?.as_str() {
        "MAX" => {
            let largest = reduce::maximum(context, &x, &[1])?;
            context.quotient(&x, &largest, false)?
        }
        "L1" => {
            let magnitudes = context.function(&x, Function::Abs)?;
            let sum = context.sum(&magnitudes, &[1])?;
            context.quotient(&x, &sum, true)?
        }
        "L2" => {
            let squares = context.square(&x)?;
            let sum = context.sum(&squares, &[1])?;
            let root = context.function(&sum, Function::Power { exponent: -0.5 })?;
            context.multiply(&x, &root)?
        }
        other => return invalid(format!("norm `{other}` is not known")),
    };
    Ok([y.into()].into())
}

/// A private value is a number: what stands for a missing one can only be another number.
fn imputer(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = rows(context, call)?;
    let missing = match call.ints("imputed_value_int64s")?.filter(|values| !values.is_empty()) {
        Some(_) => call.optional_int("replaced_value_int64")?.map(|value| value as f32),
        None => call.float_or_nan("replaced_value_float")?,
    };
    // No private value is not a number, infinite or as large as that.
    let Some(missing) = missing.filter(|value| value.abs() < mpc_nn::weights::MAX_WEIGHT) else {
        return Ok([x.into()].into());
    };
    let values = match call.ints("imputed_value_int64s")?.filter(|values| !values.is_empty()) {
        Some(values) => vector(values.into_iter().map(|value| value as f32).collect()),
        None => per_feature(call, "imputed_value_floats", x.shape[1], 0.0)?,
    };
    let difference = context.offset(&x, -missing)?;
    let is_missing = choice::is_zero(context, &difference, false)?;
    // x + m·(v − missing): where it is missing, x is just that.
    let change = values.mapv(|value| value - missing);
    let change = context.scale_by(&is_missing, &change)?;
    Ok([context.add(&x, &change)?.into()].into())
}

fn binarizer(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let threshold = call.float("threshold", 0.0)?;
    Ok([above(context, call.tensor(0)?, threshold)?.into()].into())
}

/// 1 where x is one of the categories, in a last axis of their number.
fn one_hot_encoder(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?.clone();
    let Some(categories) = call.ints("cats_int64s")?.filter(|categories| !categories.is_empty()) else {
        return unsupported("categories of text");
    };
    let equal = equalities(context, &x, &categories.iter().map(|&key| key as f32).collect::<Vec<_>>())?;
    Ok([equal.into()].into())
}

/// 1 where x equals a key, in a last axis of as many entries as there are keys.
fn equalities(context: &mut Context, x: &Tensor, keys: &[f32]) -> Lowered<Tensor> {
    let column = context.reshape(x, &[x.shape.as_slice(), &[1]].concat())?;
    context.charge(keys.len())?;
    let difference = context.offset_by(&column, &vector(keys.iter().map(|&key| -key).collect()))?;
    let is_whole = context.whole(x.id).is_some() && keys.iter().all(|key| key.fract() == 0.0);
    choice::is_zero(context, &difference, is_whole)
}

fn label_encoder(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?.clone();
    let list = |ints: &str, floats: &str| -> Lowered<Option<(Vec<f32>, bool)>> {
        if let Some(values) = call.ints(ints)?.filter(|values| !values.is_empty()) {
            return Ok(Some((values.into_iter().map(|value| value as f32).collect(), true)));
        }
        Ok(call.floats(floats)?.filter(|values| !values.is_empty()).map(|values| (values, false)))
    };
    let keys = list("keys_int64s", "keys_floats")?;
    let values = list("values_int64s", "values_floats")?;
    let (Some((keys, _)), Some((values, is_whole))) = (keys, values) else {
        return unsupported("keys or values of text, or in tensors");
    };
    if keys.len() != values.len() {
        return invalid("it has not one value for each key");
    }
    let default = if is_whole { call.int("default_int64", -1)? as f32 } else { call.float("default_float", -0.0)? };
    let equal = equalities(context, &x, &keys)?;
    let map: Vec<(usize, f32)> = values.iter().enumerate().map(|(i, &value)| (i, value - default)).collect();
    let y = context.combine(&equal, x.rank(), &[map])?;
    let y = context.offset(&y, default)?;
    let y = context.reshape(&y, &x.shape)?;
    if is_whole {
        context.note_whole(y.id, Whole::Integer);
        context.note_typed(y.id);
    }
    Ok([y.into()].into())
}

/// Entries of the last axis.
fn extractor(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let table = call.required(0)?.clone();
    let table = if table.shape().len() == 1 { context.reshape_value(&table, &[1, table.shape()[0]])? } else { table };
    let Some((&size, outer)) = table.shape().split_last() else { return invalid("its input is a scalar") };
    let outer = outer.to_vec();
    if let Value::Integer(places) = call.required(1)? {
        let places = places.iter().map(|&place| super::place(place, size)).collect::<Lowered<Vec<_>>>()?;
        return Ok([context.gather_value(&table, outer.len(), &places)?].into());
    }
    let Value::Node(index) = call.required(1)? else { return invalid("its places are not integers") };
    let rows = choice::one_hot_rows(context, index, size)?;
    let rows = context.reshape(&rows, &[index.len(), size])?;
    let is_whole = matches!(table, Value::Integer(_)) || matches!(&table, Value::Node(x) if context.is_typed(x.id));
    let turned = context.reshape_value(&table, &[outer.iter().product(), size])?;
    let turned = context.transpose_value(&turned, &[1, 0])?;
    let turned = if turned.is_private() { turned } else { Value::Constant(real(&turned)?) };
    let y = super::product(context, &rows.into(), &turned)?;
    let y = context.transpose(&y, &[1, 0])?;
    let y = context.reshape(&y, &[outer.as_slice(), &[index.len()]].concat())?;
    if is_whole {
        context.note_whole(y.id, Whole::Integer);
        context.note_typed(y.id);
    }
    Ok([y.into()].into())
}

/// Features side by side.
fn vectorizer(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let mut parts = Vec::new();
    for value in call.inputs.iter().flatten() {
        let shape = match value.shape() {
            [features] => vec![1, *features],
            shape => shape.to_vec(),
        };
        parts.push(context.reshape_value(value, &shape)?);
    }
    Ok([context.concat_values(&parts, 1)?].into())
}

/// A table of classes and scores: the scores, in the order of the classes.
fn zip_map(_: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    Ok([call.required(0)?.clone()].into())
}
