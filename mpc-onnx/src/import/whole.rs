//! Which private values are whole numbers, so that a cast to integers or Booleans leaves them as they are.

use super::lookahead::is_passing;
use crate::call::Call;
use crate::context::{Context, Whole};
use crate::error::{Lowered, unsupported};
use crate::rules;
use crate::value::Value;

/// Operators whose results are elements of their first input.
const MOVEMENTS: [&str; 18] = [
    "ArrayFeatureExtractor",
    "Cast",
    "CastLike",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Operators whose results are elements of their operands, or of limits.
const CHOOSING: [&str; 9] = ["Clip", "Concat", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin", "Relu", "Where"];

/// Operators that give integers for integers, but compute real numbers, which files round in ways of their own.
const ROUNDING: [&str; 10] = [
    "Gemm",
    "PRelu",
    "Pow",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMean",
    "Resize",
    "Shrink",
    "Upsample",
];

/// Checks that a result is of whole numbers where the file has integers.
pub(super) fn check(context: &Context, call: &Call<'_>, results: &[Value]) -> Lowered<()> {
    let is_typed = |value: Option<&Value>| match value {
        Some(Value::Node(x)) => context.is_typed(x.id),
        value => matches!(value, Some(Value::Integer(_))),
    };
    let is_real = |value: Option<&Value>| matches!(value, Some(Value::Node(x)) if context.whole(x.id).is_none());
    if ROUNDING.contains(&call.operator()) && is_typed(call.input(0)) && is_real(results.first()) {
        return unsupported("integers as its result, which it rounds; cast its input to floats");
    }
    Ok(())
}

/// Notes which results of a node are whole numbers, which are masks still, and which are beside what was ranked.
pub(super) fn note(context: &mut Context, call: &Call<'_>, results: &[Value]) {
    note_masks(context, call, results);
    note_ranked(context, call, results);
    for (place, result) in results.iter().enumerate() {
        if let (Value::Node(tensor), Some(whole)) = (result, whole(context, call, place)) {
            context.note_whole(tensor.id, whole);
            if is_typed(context, call, place) {
                context.note_typed(tensor.id);
            }
        }
    }
}

/// The larger of a ranked value and another one is that value in places.
fn note_ranked(context: &mut Context, call: &Call<'_>, results: &[Value]) {
    let operands = call.inputs.get(usize::from(call.operator() == "Where")..).unwrap_or_default();
    let is_ranked = |value: &Value| matches!(value, Value::Node(x) if context.is_ranked(x.id));
    if CHOOSING.contains(&call.operator()) && operands.iter().flatten().any(is_ranked) {
        for result in results {
            if let Value::Node(y) = result {
                context.note_ranked(y.id);
            }
        }
    }
}

/// A mask that is moved is one still; of what else is made of masks in another way, the masks are not known.
fn note_masks(context: &mut Context, call: &Call<'_>, results: &[Value]) {
    let is_moved = MOVEMENTS.contains(&call.operator())
        && matches!(call.input(0), Some(Value::Node(x)) if rules::is_alone(context, x));
    for result in results {
        match result {
            Value::Node(moved) if is_moved => rules::note_alone(context, moved),
            // A quantisation notes its own.
            Value::Node(other) if is_passing(call.operator()) && !rules::is_quantiser(call.operator()) => {
                rules::note_unknown(context, call, other);
            }
            _ => {}
        }
    }
}

/// Whether whole results are integers or Booleans in the file, too, and not floats.
fn is_typed(context: &Context, call: &Call<'_>, place: usize) -> bool {
    let of_inputs = |inputs: &[Option<Value>]| {
        inputs.iter().flatten().all(|value| match value {
            Value::Node(tensor) => context.is_typed(tensor.id),
            Value::Integer(_) | Value::Tokens { .. } => true,
            Value::Constant(_) => false,
        })
    };
    match call.operator() {
        "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Equal" | "And" | "Or" | "Xor" | "Not" | "ArgMax"
        | "ArgMin" => true,
        "TopK" if place == 1 => true,
        // A cast to floats has a node of its own.
        "Cast" | "CastLike" => matches!(rules::target(call), Ok(to) if !rules::is_float(to)),
        "Where" => of_inputs(call.inputs.get(1..).unwrap_or_default()),
        "Sign" | "Abs" | "Neg" => of_inputs(&call.inputs),
        _ => of_inputs(call.inputs.get(..call.inputs.len().min(2)).unwrap_or_default()),
    }
}

fn whole(context: &Context, call: &Call<'_>, place: usize) -> Option<Whole> {
    match (call.operator(), place) {
        ("Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Equal" | "And" | "Or" | "Xor" | "Not", _) => {
            Some(Whole::Boolean)
        }
        ("ArgMax" | "ArgMin" | "Sign" | "Floor" | "Ceil" | "Round", _) | ("TopK", 1) => Some(Whole::Integer),
        ("Hardmax", _) => Some(Whole::Boolean),
        ("Cast" | "CastLike", _) if matches!(rules::target(call), Ok(to) if rules::is_boolean(to)) => {
            Some(Whole::Boolean)
        }
        ("Cast" | "CastLike", _) if matches!(rules::target(call), Ok(to) if !rules::is_float(to)) => {
            // What was no whole number is one now.
            let inputs = call.inputs.get(..1)?;
            of_inputs(context, inputs).or(Some(Whole::Integer))
        }
        ("Div" | "Mod", _) if is_typed(context, call, place) => Some(Whole::Integer),
        ("Where", _) => of_inputs(context, call.inputs.get(1..)?),
        ("Concat" | "Max" | "Min", _) => of_inputs(context, &call.inputs),
        ("Add" | "Mod" | "Mul" | "Sub" | "Sum", _) => of_inputs(context, &call.inputs).map(|_| Whole::Integer),
        ("Abs" | "Neg" | "ReduceSum" | "ReduceProd" | "ReduceL1" | "ReduceSumSquare" | "CumSum" | "CumProd", _) => {
            of_inputs(context, call.inputs.get(..1)?).map(|_| Whole::Integer)
        }
        ("MatMul" | "Einsum" | "PRelu", _) => of_inputs(context, &call.inputs).map(|_| Whole::Integer),
        ("Clip", _) if has_whole(call, &["min", "max"]) => of_inputs(context, &call.inputs).map(|_| Whole::Integer),
        ("Conv" | "ConvTranspose" | "Gemm", _) if is_plain(call) => {
            of_inputs(context, &call.inputs).map(|_| Whole::Integer)
        }
        ("Pow", _) if call.input(1).is_some_and(rules::are_chains) => {
            of_inputs(context, call.inputs.get(..1)?).map(|_| Whole::Integer)
        }
        ("Resize" | "Upsample", _) if is_nearest(call) => of_inputs(context, call.inputs.get(..1)?),
        ("Scatter" | "ScatterElements" | "ScatterND" | "Pad", _) if has_whole(call, &["value"]) => {
            let moved = [call.inputs.first().cloned()?, call.inputs.get(2).cloned().flatten()];
            of_inputs(context, &moved).map(|_| Whole::Integer)
        }
        (
            "CenterCropPad" | "Compress" | "GatherElements" | "GatherND" | "GlobalMaxPool" | "MaxPool"
            | "ReverseSequence" | "Relu" | "SpaceToDepth" | "TopK" | "Trilu",
            0,
        ) => of_inputs(context, call.inputs.get(..1)?),
        (operator, _) if MOVEMENTS.contains(&operator) => of_inputs(context, call.inputs.get(..1)?),
        _ => None,
    }
}

/// Whether the numbers that old files have as these attributes are whole, or not there.
fn has_whole(call: &Call<'_>, names: &[&str]) -> bool {
    names.iter().all(|name| call.float(name, 0.0).is_ok_and(|value| value.fract() == 0.0 || value.is_infinite()))
}

/// Whether a linear operator adds products of its operands and nothing else.
fn is_plain(call: &Call<'_>) -> bool {
    let is_one = |name| call.float(name, 1.0).is_ok_and(|factor| factor == 1.0);
    call.norm.is_none() && is_one("alpha") && is_one("beta")
}

/// Whether a resizing takes elements of its input and computes none.
fn is_nearest(call: &Call<'_>) -> bool {
    let is = |name, value| call.string(name, value).is_ok_and(|found| found == value);
    is("mode", "nearest") && call.float("extrapolation_value", 0.0).is_ok_and(|value| value == 0.0)
}

/// The narrowest kind that holds all of these.
fn of_inputs(context: &Context, inputs: &[Option<Value>]) -> Option<Whole> {
    let of_input = |value: &Value| match value {
        Value::Node(tensor) => context.whole(tensor.id),
        Value::Integer(array) if array.iter().all(|&value| value == 0 || value == 1) => Some(Whole::Boolean),
        Value::Integer(_) => Some(Whole::Integer),
        Value::Constant(constant) if constant.array().iter().all(|&value| value == 0.0 || value == 1.0) => {
            Some(Whole::Boolean)
        }
        Value::Constant(constant) => rules::are_whole(constant.array()).then_some(Whole::Integer),
        Value::Tokens { .. } => None,
    };
    inputs.iter().flatten().map(of_input).try_fold(Whole::Boolean, |all, one| Some(all.max(one?)))
}
