//! The names of nodes.

use mpc_protocols::function::Function;

/// The name of a function's part of a node.
pub(super) fn function_name(function: &Function) -> &'static str {
    match function {
        Function::Clip { .. } => "clip",
        Function::Abs => "abs",
        Function::Step => "step",
        Function::LeakyRelu { .. } => "leaky_relu",
        Function::HardSigmoid { .. } => "hard_sigmoid",
        Function::HardSwish => "hard_swish",
        Function::Sigmoid => "sigmoid",
        Function::Tanh => "tanh",
        Function::Silu => "silu",
        Function::Softplus => "softplus",
        Function::Elu { .. } => "elu",
        Function::Selu { .. } => "selu",
        Function::Celu { .. } => "celu",
        Function::Gelu | Function::GeluTanh => "gelu",
        Function::Mish => "mish",
        Function::Erf => "erf",
        Function::Exp | Function::ExpNonPositive => "exp",
        Function::Log => "log",
        Function::Sqrt => "sqrt",
        Function::Power { .. } => "power",
        Function::Reciprocal | Function::PositiveReciprocal => "reciprocal",
        _ => "function",
    }
}
