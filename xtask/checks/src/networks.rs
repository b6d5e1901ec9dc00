//! Small networks that have every operation and every function.

use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, GraphError, Pool};
use mpc_protocols::function::Function;

/// Every operation with a protocol of its own: products with weights and of secrets, comparisons, pools, ranks.
pub fn operations() -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new();
    let image = b.input("image", &[1, 2, 5, 4])?;
    let grouped = ConvolutionOptions { groups: 2, padding: [1; 4], bias: true, ..ConvolutionOptions::new(4, [3, 3]) };
    let x = b.convolution("grouped", image, grouped)?;
    let x = b.relu("relu", x)?;
    let pointwise = ConvolutionOptions { stride: [2, 1], ..ConvolutionOptions::new(3, [1, 1]) };
    let left = b.convolution("left", x, pointwise)?;
    let right = b.convolution("right", x, pointwise)?;
    let sum = b.add("sum", left, right)?;
    let largest = b.max_pool("largest", sum, Pool { stride: [1, 2], padding: [1, 0, 0, 0], ..Pool::new([2, 2]) })?;
    let average = b.average_pool("average", sum, Pool::new([3, 3]))?;
    let flat = b.flatten("flat", largest)?;
    let narrow = b.linear("narrow", flat, 4, true)?;
    let gates = b.flatten("gates", average)?;
    let gates = b.linear("widened", gates, 4, false)?;
    let product = b.multiply("product", narrow, gates)?;
    let square = b.square("square", narrow)?;
    let scaled = b.scale_channels("scaled", product, 4, 1)?;
    let moved = b.offset_channels("moved", scaled, 4, 1)?;
    let constant = b.parameter("constant", &[1, 4])?;
    let moved = b.add("plus constant", moved, constant)?;
    let column = b.reshape("column", square, &[1, 4, 1])?;
    let row = b.reshape("row", moved, &[1, 1, 4])?;
    let outer = b.matrix_product("outer", column, row)?;
    let means = b.mean("means", outer, &[1])?;
    let means = b.scale("shrunk", means, 0.3)?;
    let positive = b.relu("positive", means)?;
    let [values, places] = b.top_k("top", outer, 2)?;
    let best = b.arg_max("best", moved)?;
    let divisor = b.offset("divisor", positive, 1.0)?;
    let quotient = b.divide("quotient", positive, divisor, false)?;
    b.finish(&[positive, values, places, best, quotient])
}

/// Operations that two parties make correlations for in ways of their own: a layer and a product of secrets that they encrypt,
/// and of one or two elements products, a square, comparisons and a table.
pub fn made_by_two() -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[12, 8])?;
    let [left, right] = ["left", "right"].map(|name| b.linear(name, x, 48, true));
    let left = b.reshape("rows", left?, &[1, 12, 48])?;
    let right = b.reshape("columns", right?, &[1, 48, 12])?;
    let product = b.matrix_product("product", left, right)?;
    let mean = b.mean("mean", product, &[1, 2])?;
    let positive = b.relu("positive", mean)?;
    let square = b.square("square", positive)?;
    let both = b.multiply("both", positive, square)?;
    let leaky = b.function("leaky", both, Function::LeakyRelu { slope: 0.01 })?;
    let table = b.function("table", mean, Function::Sigmoid)?;
    let pair = b.concat("pair", &[leaky, table], 0)?;
    let pair = b.reshape("row", pair, &[1, 2])?;
    let [largest, place] = b.top_k("largest", pair, 1)?;
    b.finish(&[largest, place])
}

/// Functions with every way to an argument's interval, and from there to a result.
pub const ALL: [Function; 26] = [
    Function::Clip { low: -1.0, high: 1.5 },
    Function::Abs,
    Function::Step,
    Function::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Function::LeakyRelu { slope: 0.01 },
    Function::HardSwish,
    Function::Sigmoid,
    Function::Tanh,
    Function::Silu,
    Function::Softplus,
    Function::Elu { alpha: 1.0 },
    Function::Selu { alpha: 1.5, gamma: 1.25 },
    Function::Celu { alpha: 0.5 },
    Function::Gelu,
    Function::GeluTanh,
    Function::Mish,
    Function::Erf,
    Function::CosineOfTurns,
    Function::Stairs { first: 0, last: 3, width: 0.5 },
    Function::Exp,
    Function::ExpNonPositive,
    Function::Log,
    Function::Sqrt,
    Function::Power { exponent: -0.5 },
    Function::Reciprocal,
    Function::PositiveReciprocal,
];

/// Functions that fit the smallest ring, in which few bits are left.
pub const OF_SMALL_RINGS: [Function; 6] = [
    Function::Clip { low: -1.0, high: 1.5 },
    Function::Abs,
    Function::Step,
    Function::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Function::Sigmoid,
    Function::Tanh,
];

/// Functions of the same two positive numbers, each an output.
pub fn functions(functions: &[Function]) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[2])?;
    let x = b.offset("positive", x, 1.25)?;
    let name = |function: &Function| format!("{function:?}");
    let outputs: Result<Vec<_>, _> = functions.iter().map(|f| b.function(&name(f), x, *f)).collect();
    b.finish(&outputs?)
}
