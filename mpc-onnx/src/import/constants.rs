//! Operators whose operands are all constants are evaluated at once, by the graph that they would become.

use std::collections::BTreeMap;

use mpc_nn::{Weights, evaluate};

use super::whole;
use crate::call::Call;
use crate::context::{Context, Whole, graph_shape};
use crate::error::{Lowered, Problem, unsupported};
use crate::rules::{self, Apply, Rule, in_steps};
use crate::value::{Tensor, Value};
use crate::{arrays, context};

/// The most multiplications that the evaluation of one operator on constants may take.
const MAX_WORK: u64 = 1 << 30;

/// Lowers an operator, or evaluates it if nothing about it is private.
pub(super) fn apply(context: &mut Context, rule: Rule, call: &Call<'_>) -> Lowered<Vec<Value>> {
    match rule {
        Rule::Any(apply) => apply(context, call),
        Rule::Private(apply) if call.inputs.iter().flatten().any(Value::is_private) => apply(context, call),
        Rule::Private(apply) => fold(context, apply, call),
    }
}

/// Lowers the operator with its first constant as an input of a graph of its own, which is evaluated.
fn fold(outer: &mut Context, apply: Apply, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let is_array = |input: &Option<Value>| input.as_ref().is_some_and(|value| !value.shape().contains(&0));
    let found = call.inputs.iter().position(is_array);
    let Some(place) = found else { return apply(outer, call) };
    let constant = context::real(call.required(place)?)?;
    let mut inner = Context::new(outer.opset, core::mem::take(&mut outer.budget));
    inner.base = "fold".to_string();
    inner.is_pytorch = outer.is_pytorch;
    inner.is_unnamed = outer.is_unnamed;
    inner.is_public = true;
    let shape = constant.array().shape().to_vec();
    let id = inner.builder.input("constant", &graph_shape(&shape))?;
    if matches!(call.input(place), Some(Value::Integer(_))) {
        inner.note_whole(id, Whole::Integer);
        inner.note_typed(id);
    }
    let mut inputs = call.inputs.clone();
    inputs[place] = Some(Tensor { id, shape }.into());
    let call = Call { operand_type: call.operand_type, ..call.with(inputs) };
    let result = apply(&mut inner, &call)
        .inspect(|values| whole::note(&mut inner, &call, values))
        .and_then(|values| values.into_iter().map(|value| in_integers(&mut inner, &call, value)).collect())
        .and_then(|values| evaluated(&mut inner, values, constant.array()));
    outer.budget = inner.budget;
    result
}

/// A quantised constant is the integers of the file, and not the real numbers that a private value keeps.
fn in_integers(inner: &mut Context, call: &Call<'_>, value: Value) -> Lowered<Value> {
    let Value::Node(x) = &value else { return Ok(value) };
    match inner.quantisation(x.id).cloned().filter(|_| rules::is_quantiser(call.operator())) {
        Some(parameters) => {
            let steps = in_steps(inner, x, parameters)?;
            inner.note_typed(steps.id);
            Ok(steps.into())
        }
        None => Ok(value),
    }
}

fn evaluated(inner: &mut Context, values: Vec<Value>, input: &ndarray::ArrayD<f32>) -> Lowered<Vec<Value>> {
    let mut ids: Vec<_> =
        values.iter().filter_map(|v| if let Value::Node(t) = v { Some(t.id) } else { None }).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(values);
    }
    let graph = core::mem::take(&mut inner.builder).finish(&ids)?;
    inner.charge(graph.nodes().iter().map(mpc_nn::Node::len).fold(0, usize::saturating_add))?;
    if graph.multiplications() > MAX_WORK {
        return Err(Problem::Memory("its evaluation on constants takes too long".to_string()));
    }
    let tensors: BTreeMap<String, _> = core::mem::take(&mut inner.weights.0);
    let used: Vec<String> = graph.parameters().into_iter().map(|parameter| parameter.name).collect();
    let tensors = tensors.into_iter().filter(|(name, _)| used.contains(name)).collect();
    let weights = Weights::for_graph(&graph, tensors).map_err(|_| Problem::Range)?;
    let input = arrays::reshape(input, &graph_shape(input.shape()))?;
    let Ok(outputs) = evaluate(&graph, &weights, &[input]) else {
        return unsupported("its constant operands are too large or its result is not finite");
    };
    let of_value = |value: Value| match value {
        Value::Node(tensor) => {
            let place = ids.binary_search(&tensor.id).expect("the outputs were listed");
            let array = arrays::reshape(&outputs[place], &tensor.shape)?;
            let is_integer = inner.is_typed(tensor.id);
            Ok(if is_integer { Value::integer(array.mapv(|x| x.round() as i64)) } else { Value::constant(array) })
        }
        public => Ok(public),
    };
    values.into_iter().map(of_value).collect()
}
