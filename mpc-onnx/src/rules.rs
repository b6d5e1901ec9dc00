//! The rule of each operator: one file for each family.

mod activation;
mod attention;
mod choice;
mod contributed;
mod convolution;
mod deformed;
mod eight_bits;
mod einsum;
mod elementwise;
mod geometry;
mod index;
mod integer;
mod learned;
mod linear;
mod loss;
mod normalise;
mod pad;
mod pool;
mod quantise;
mod rank;
mod recurrent;
mod reduce;
mod resize;
mod rotary;
mod rounding;
mod sampling;
mod scatter;
mod shape;
mod signal;
mod softmax;
mod state;
mod transposed;
mod unique;

use crate::call::Call;
use crate::context::Context;
use crate::error::Lowered;
use crate::value::Value;

pub(crate) use attention::flexible_scores;
pub(crate) use choice::{are_whole, elements_at, one_hot_rows};
pub(crate) use eight_bits::of_runtime::real_tables;
pub(crate) use elementwise::{
    DEEP_MASK, MASK, SWALLOWING, are_chains, is_alone, note_alone, note_private_masks, note_unknown,
};
pub(crate) use index::place;
pub(crate) use integer::{is_boolean, is_float, is_narrow, is_wide, target};
pub(crate) use linear::product;
pub(crate) use normalise::norm_of;
pub(crate) use quantise::{dequantised, in_steps};
pub(crate) use scatter::at_rows as scatter_at_rows;
pub(crate) use softmax::of as softmax_of;

/// The most steps that are unrolled.
pub(crate) const MAX_STEPS: usize = 4096;

/// Makes the nodes of an operator for its operands.
pub(crate) type Apply = fn(&mut Context, &Call<'_>) -> Lowered<Vec<Value>>;

/// How an operator becomes nodes.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// Operands of any kind.
    Any(Apply),
    /// At least one private operand; constants alone are evaluated by the same rule.
    Private(Apply),
}

/// The rule of an operator.
pub(crate) fn find(operator: &str, domain: &str) -> Option<Rule> {
    if domain == "ai.onnx.ml" {
        return learned::find(operator);
    }
    if !matches!(domain, "" | "ai.onnx" | "com.microsoft") {
        return None;
    }
    if let Some(rule) = contributed::find(operator).filter(|_| domain == "com.microsoft") {
        return Some(rule);
    }
    let families = [movement, arithmetic, layer, of_integers, activation_of];
    families.into_iter().find_map(|family| family(operator))
}

fn movement(operator: &str) -> Option<Rule> {
    let rule: Apply = match operator {
        "Identity" | "Dropout" => shape::identity,
        "Reshape" => shape::reshape,
        "Flatten" => shape::flatten,
        "Transpose" => shape::transpose,
        "Squeeze" => shape::squeeze,
        "Unsqueeze" => shape::unsqueeze,
        "Expand" => shape::expand,
        "Tile" => shape::tile,
        "DepthToSpace" => shape::depth_to_space,
        "SpaceToDepth" => shape::space_to_depth,
        "Shape" => shape::shape,
        "Size" => shape::size,
        "Concat" => index::concat,
        "Split" => index::split,
        "Slice" => index::slice,
        "Gather" => index::gather,
        "GatherElements" => index::gather_elements,
        "GatherND" => index::gather_nd,
        "CenterCropPad" => sampling::center_crop_pad,
        "ReverseSequence" => sampling::reverse_sequence,
        "HannWindow" | "HammingWindow" | "BlackmanWindow" => signal::window,
        "MelWeightMatrix" => signal::mel_weights,
        "ScatterND" => scatter::scatter_nd,
        "ScatterElements" | "Scatter" => scatter::scatter_elements,
        "Compress" => index::compress,
        "TensorScatter" => index::tensor_scatter,
        "Trilu" => index::trilu,
        "Pad" => pad::pad,
        "Constant" => integer::constant,
        "ConstantOfShape" => integer::constant_of_shape,
        "Range" => integer::range,
        "NonZero" => integer::non_zero,
        "Unique" => unique::unique,
        "EyeLike" => integer::eye_like,
        "OneHot" => integer::one_hot,
        "Cast" | "CastLike" => integer::cast,
        "IsNaN" | "IsInf" => integer::never,
        _ => return None,
    };
    Some(Rule::Any(rule))
}

fn arithmetic(operator: &str) -> Option<Rule> {
    let rule: Apply = match operator {
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "And" | "Or" | "Xor" | "Equal" | "Less" | "Greater" | "LessOrEqual"
        | "GreaterOrEqual" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => elementwise::binary,
        "Pow" => elementwise::power,
        "Sum" | "Mean" | "Max" | "Min" => elementwise::variadic,
        "Neg" | "Not" | "Floor" | "Ceil" | "Round" | "Abs" | "Sqrt" | "Exp" | "Log" | "Reciprocal" | "Sign" | "Erf"
        | "Cos" | "Sin" | "Tan" | "Asin" | "Acos" | "Atan" | "Sinh" | "Cosh" | "Asinh" | "Acosh" | "Atanh" => {
            elementwise::unary
        }
        "Where" => elementwise::choose,
        "Clip" => activation::clip,
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" => reduce::reduce,
        "CumSum" => reduce::cumulative_sum,
        _ => return None,
    };
    Some(Rule::Any(rule))
}

fn layer(operator: &str) -> Option<Rule> {
    let rule: Apply = match operator {
        "Conv" => convolution::convolution,
        "ConvTranspose" => transposed::transposed,
        "Gemm" => linear::gemm,
        "MatMul" => linear::mat_mul,
        "Einsum" => einsum::einsum,
        "BatchNormalization" => normalise::batch,
        "InstanceNormalization" => normalise::instance,
        "GroupNormalization" => normalise::group,
        "LayerNormalization" => normalise::layer,
        "SimplifiedLayerNormalization" | "RMSNormalization" => normalise::root_mean_square,
        "LpNormalization" => normalise::lp,
        "MeanVarianceNormalization" => normalise::mean_variance,
        "MaxPool" => pool::maximum,
        "AveragePool" => pool::average,
        "LRN" => pool::local_response,
        "LpPool" => pool::lp,
        "GlobalAveragePool" => pool::global_average,
        "GlobalMaxPool" => pool::global_maximum,
        "GlobalLpPool" => pool::global_lp,
        "ReduceL1" | "ReduceL2" | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => reduce::norm,
        "CumProd" => reduce::cumulative_product,
        "ArgMax" | "ArgMin" => reduce::arg_max,
        "Hardmax" => choice::hardmax,
        "TopK" => rank::top_k,
        "Resize" | "Upsample" => resize::resize,
        "Softmax" | "LogSoftmax" => softmax::softmax,
        "Attention" => attention::attention,
        "LinearAttention" => state::linear_attention,
        "CausalConvWithState" => state::causal_convolution,
        "RotaryEmbedding" => rotary::rotary,
        "SwiGLU" => rotary::gated,
        "GridSample" => sampling::grid_sample,
        "AffineGrid" => sampling::affine_grid,
        "DeformConv" => deformed::convolution,
        "Col2Im" => sampling::col2im,
        "RoiAlign" => sampling::roi_align,
        "DFT" => signal::dft,
        "STFT" => signal::stft,
        "Det" => signal::determinant,
        "NegativeLogLikelihoodLoss" => loss::negative_log_likelihood,
        "SoftmaxCrossEntropyLoss" => loss::softmax_cross_entropy,
        "LSTM" => recurrent::lstm,
        "GRU" => recurrent::gru,
        "RNN" => recurrent::rnn,
        _ => return None,
    };
    Some(Rule::Private(rule))
}

fn of_integers(operator: &str) -> Option<Rule> {
    let of_all: Apply = match operator {
        "QuantizeLinear" => quantise::quantise,
        "DequantizeLinear" => quantise::dequantise,
        "QLinearAdd" | "QLinearMul" => eight_bits::linear_binary,
        "QLinearConcat" => eight_bits::of_runtime::concat,
        "QLinearWhere" => eight_bits::of_runtime::choice,
        _ => return of_private_integers(operator).map(Rule::Private),
    };
    Some(Rule::Any(of_all))
}

fn of_private_integers(operator: &str) -> Option<Apply> {
    Some(match operator {
        "DynamicQuantizeLinear" => eight_bits::dynamic,
        "MatMulInteger" => eight_bits::matrix_product,
        "ConvInteger" => eight_bits::convolution,
        "QLinearConv" => eight_bits::linear_convolution,
        "QLinearMatMul" => eight_bits::linear_binary,
        "QLinearGlobalAveragePool"
        | "QLinearSigmoid"
        | "QLinearLeakyRelu"
        | "QLinearSoftmax"
        | "QLinearAveragePool" => eight_bits::linear_unary,
        "NhwcMaxPool" => eight_bits::maximum,
        "QGemm" => eight_bits::of_runtime::gemm,
        "MatMulNBits" => eight_bits::few_bits,
        "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" => eight_bits::scaled_product,
        _ => return None,
    })
}

fn activation_of(operator: &str) -> Option<Rule> {
    let rule: Apply = match operator {
        "PRelu" => activation::prelu,
        "Shrink" => activation::shrink,
        operator if activation::is_function(operator) => activation::function,
        _ => return None,
    };
    Some(Rule::Private(rule))
}

/// Whether an operator quantises its result.
pub(crate) fn is_quantiser(operator: &str) -> bool {
    operator == "QuantizeLinear" || operator == "QGemm" || operator.starts_with("QLinear")
}

/// The advice for an operator that there is no rule for.
pub(crate) fn hint(operator: &str, domain: &str) -> String {
    let hint = match operator {
        _ if !matches!(domain, "" | "ai.onnx" | "com.microsoft") => {
            return format!(
                "operators of domain `{domain}` are not known; export with ONNX's own, without optimisation"
            );
        }
        "Loop" | "Scan" => "loops are not unrolled; export the model for a fixed number of steps",
        "NonMaxSuppression" | "Unique" => "its result's shape or places depend on secrets; end the network before it",
        "RandomNormal" | "RandomUniform" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" | "Multinomial" => {
            "it draws random numbers; export the model for inference"
        }
        _ if domain == "com.microsoft" => {
            "onnxruntime made it when it optimised the model; give the model as it was before"
        }
        _ => {
            "no private protocol for it is known here; replace it by supported operators, or end the network before it"
        }
    };
    String::from(hint)
}
