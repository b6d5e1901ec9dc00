//! Operations, one a file, and the one dispatch to them.
//!
//! A file says, in this order: the builder's method, which infers and checks the shape; the operation in floating point and
//! its plan ([`Operation`]); the steps that the plan makes of it, with their correlations, bytes, rounds and memory, their run
//! and their ideal ([`Protocol`], or [`Local`](operation::Local) for what needs no message). Where two operations make the
//! same step, one of the files has it.

mod add;
mod arg_max;
mod average_pool;
mod channels;
mod combine;
mod concat;
mod convolution;
mod cumulative_sum;
mod divide;
mod floor;
mod function;
mod gather;
mod indexed;
mod input;
mod linear;
mod matrix_product;
mod max_pool;
mod mean;
mod multiply;
pub(crate) mod needs;
mod offset;
mod offset_channels;
pub(crate) mod operation;
mod pad;
mod parameter;
mod prelude;
mod rank;
mod relu;
mod reshape;
mod reveal;
mod rounded;
mod scale;
mod scale_channels;
mod slice;
mod square;
mod sum;
mod tensors;
mod transpose;
mod truncate;
pub(crate) mod values;
mod weighted;
mod windows;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use mpc_transport::Traffic;
use ndarray::ArrayD;

pub(crate) use floor::DIGITS;

use crate::clear::node::Clear;
use crate::graph::{GraphBuilder, GraphError, Node, NodeId, Op, Parameter, ParameterKind};
use crate::plan::format::Format;
use crate::plan::settings::{PlanError, Settings};
use crate::plan::step::{Action, Step};
use crate::plan::walk::Walk;
use crate::run::context::{Ideal, Run};
use needs::{Material, Needs};
use operation::{Operation, Protocol, Work};
use values::Failure;

/// `$body` with `$operation`, the [`Operation`] that an [`Op`] is. Every operation is here.
macro_rules! operation {
    ($op:expr, $operation:ident => $body:expr) => {
        operation!($op, $operation => $body;
            Op::Input => input::Input { whole: false },
            Op::WholeInput => input::Input { whole: true },
            Op::Parameter => parameter::Parameter,
            Op::Convolution { shape, bias } => convolution::Convolve { shape, bias: *bias },
            Op::Linear { input_features, output_features, bias, tied } => linear::Linear {
                input_features: *input_features,
                output_features: *output_features,
                bias: *bias,
                tied: tied.as_deref(),
            },
            Op::ScaleChannels(map) => scale_channels::ScaleChannels(*map),
            Op::OffsetChannels(map) => offset_channels::OffsetChannels(*map),
            Op::Relu => relu::Relu,
            Op::Function(function) => function::Elementwise(*function),
            Op::MaxPool(pool) => max_pool::MaxPool(pool),
            Op::AveragePool(pool) => average_pool::AveragePool(pool),
            Op::Sum { axes } => sum::Sum(axes),
            Op::Mean { axes } => mean::Mean(axes),
            Op::ArgMax => arg_max::ArgMax,
            Op::Rank { count } => rank::Rank { count: *count },
            Op::RankedValue => rank::RankedValue,
            Op::RankedIndex => rank::RankedIndex,
            Op::Add => add::Add,
            Op::Multiply => multiply::Multiply,
            Op::Square => square::Square,
            Op::MatrixProduct => matrix_product::MatrixProduct,
            Op::Scale { factor } => scale::Scale(*factor),
            Op::Offset { value } => offset::Offset(*value),
            Op::Combine { axis, rows } => combine::Combine { axis: *axis, rows },
            Op::Concat { axis } => concat::Concat { axis: *axis },
            Op::Reshape => reshape::Reshape,
            Op::Transpose { permutation } => transpose::Transpose(permutation),
            Op::Gather { axis, indices } => gather::Gather { axis: *axis, indices },
            Op::Pad { before, after } => pad::Pad { before, after },
            Op::Slice { start, stop, step } => slice::Slice { start, stop, step },
            Op::CumulativeSum { axis, exclusive, reverse } => {
                cumulative_sum::CumulativeSum { axis: *axis, exclusive: *exclusive, reverse: *reverse }
            },
            Op::Digit { level } => floor::Digit { level: *level },
            Op::Rounded { finer } => rounded::Rounded { finer: *finer },
            Op::Divide { positive } => divide::Divide { positive: *positive },
        )
    };
    ($op:expr, $operation:ident => $body:expr; $($pattern:pat => $value:expr,)*) => {
        match $op {
            $($pattern => {
                let $operation = $value;
                $body
            })*
        }
    };
}

/// `$body` with `$protocol`, the [`Protocol`] that an [`Action`] is. Every step is here.
macro_rules! protocol {
    ($action:expr, $protocol:ident => $body:expr) => {
        operation!($action, $protocol => $body;
            Action::Share { input } => input::ShareStep { input: *input },
            Action::Constant { constant } => parameter::ConstantStep { constant: *constant },
            Action::Linear { weight, bias, map } => weighted::LinearStep { weight: *weight, bias: *bias, map },
            Action::AddConstant { constant, map } => {
                offset_channels::AddConstantStep { constant: *constant, map: *map }
            },
            Action::Truncate { shift, bits, lifting } => {
                truncate::TruncateStep { shift: *shift, bits: *bits, lifting: *lifting }
            },
            Action::Relu { shift, parameters } => relu::ReluStep { shift: *shift, parameters: *parameters },
            Action::Function(plan) => function::FunctionStep(plan),
            Action::MaxPool { pool, parameters, grouping } => {
                max_pool::MaxPoolStep { pool, parameters: *parameters, grouping: *grouping }
            },
            Action::ArgMax { count, index_bits, parameters, grouping } => arg_max::ArgMaxStep {
                count: *count,
                index_bits: *index_bits,
                parameters: *parameters,
                grouping: *grouping,
            },
            Action::Rank { count, rows, index_bits, parameters } => {
                rank::RankStep { count: *count, rows: *rows, index_bits: *index_bits, parameters: *parameters }
            },
            Action::WithoutIndex { shift, bits } => rank::WithoutIndexStep { shift: *shift, bits: *bits },
            Action::Multiply { map } => multiply::MultiplyStep(map),
            Action::Square => square::SquareStep,
            Action::SumPool(pool) => average_pool::SumPoolStep(pool),
            Action::MeanPool { pool, bits } => average_pool::MeanPoolStep { pool, bits: *bits },
            Action::Sum { axes } => sum::SumStep(axes),
            Action::Scale { factor } => scale::ScaleStep(*factor),
            Action::Rescale { factor } => scale::RescaleStep(*factor),
            Action::Offset { value } => offset::OffsetStep(*value),
            Action::Combine { axis, rows } => combine::CombineStep { axis: *axis, rows },
            Action::Add { shifts } => add::AddStep { shifts: *shifts },
            Action::Concat { axis, shifts } => concat::ConcatStep { axis: *axis, shifts },
            Action::Reshape => reshape::ReshapeStep,
            Action::Transpose { permutation } => transpose::TransposeStep(permutation),
            Action::Gather { axis, indices } => gather::GatherStep { axis: *axis, indices },
            Action::Pad { before } => pad::PadStep { before },
            Action::Slice { start, stop, step } => slice::Slice { start, stop, step },
            Action::Reveal { drop, .. } => reveal::RevealStep { drop: *drop },
            Action::CumulativeSum { axis, exclusive, reverse } => {
                cumulative_sum::CumulativeSum { axis: *axis, exclusive: *exclusive, reverse: *reverse }
            },
            Action::Divide(plan) => divide::DivideStep(plan),
        )
    };
}

/// The value of a node in floating point.
pub(crate) fn clear(op: &Op, x: &Clear<'_>) -> ArrayD<f32> {
    operation!(op, operation => operation.clear(x))
}

/// A plan's action for a node, and the format of the node's value.
pub(crate) fn plan<R: Ring>(walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
    operation!(node.op(), operation => {
        if !operation.takes_whole() {
            node.inputs().iter().for_each(|&input| walk.lift(input));
        }
        operation.plan(walk, node)
    })
}

/// Adds a node of somebody else's graph again, checked.
pub(crate) fn rebuild(builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
    operation!(node.op(), operation => operation.rebuild(builder, node))
}

/// How much a node computes; `input` is the shape of its first input.
pub(crate) fn work(node: &Node, input: &[usize]) -> Work {
    operation!(node.op(), operation => operation.work(node, input))
}

impl Node {
    /// The name of its weight, where it has one.
    #[must_use]
    pub fn weight_name(&self) -> Option<String> {
        self.parameter_name(ParameterKind::Weight)
    }

    /// The name of its bias, where it has one.
    #[must_use]
    pub fn bias_name(&self) -> Option<String> {
        self.parameter_name(ParameterKind::Bias)
    }

    /// The name of its value, for a [`Op::Parameter`].
    #[must_use]
    pub fn value_name(&self) -> Option<String> {
        self.parameter_name(ParameterKind::Value)
    }

    /// The number of ring multiplications by a weight that it takes.
    #[must_use]
    pub fn multiplications(&self) -> u64 {
        work(self, &[]).multiplications
    }

    /// Whether it compares elements of its first input with each other: then their differences, too, must stay below
    /// [`Settings::bound`].
    #[must_use]
    pub fn compares_elements(&self) -> bool {
        operation!(self.op(), operation => operation.compares_elements())
    }

    /// The tensors that the model owner provides for it, a weight before a bias.
    pub(crate) fn parameters(&self, node: NodeId) -> Vec<Parameter> {
        operation!(self.op(), operation => {
            let prefix = operation.tied().unwrap_or(self.name());
            let parameter = |(kind, shape)| Parameter { name: format!("{prefix}.{kind}"), node, kind, shape };
            operation.parameters(self).into_iter().map(parameter).collect()
        })
    }

    fn parameter_name(&self, kind: ParameterKind) -> Option<String> {
        let mut all = self.parameters(NodeId::NOWHERE).into_iter();
        all.find(|parameter| parameter.kind == kind).map(|parameter| parameter.name)
    }
}

impl Action {
    /// The kind of layer, for tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        protocol!(self, protocol => protocol.kind())
    }

    fn needs(&self, elements: usize) -> Needs {
        protocol!(self, protocol => protocol.needs(elements))
    }

    /// Whether it takes its node's own value, and no other.
    pub(crate) fn in_place(&self) -> bool {
        protocol!(self, protocol => protocol.in_place())
    }

    /// The elements that it works with besides its operands, its result and its correlations.
    pub(crate) fn workspace(&self, operands: usize, elements: usize) -> usize {
        protocol!(self, protocol => protocol.workspace(operands, elements))
    }
}

impl Step {
    /// The low bits of an operand that it reads, or of its node's own value for a step that changes it in place.
    pub(crate) fn reads<R: Ring>(&self, operand: usize) -> u32 {
        protocol!(&self.action, protocol => protocol.reads::<R>(self, operand)).min(R::BITS)
    }

    /// The bits that its correlations have.
    pub(crate) fn correlation_width(&self) -> u32 {
        protocol!(&self.action, protocol => protocol.width(self.width))
    }

    /// The traffic of party `party`.
    pub(crate) fn traffic<R: Ring>(&self, settings: &Settings, party: usize) -> Traffic {
        let elements = self.shape.iter().product();
        protocol!(&self.action, protocol => protocol.online::<R>(elements, self.width, settings, party))
    }

    /// The correlations that the step takes among `steps`, those of its branches included.
    pub(crate) fn needs(&self, steps: &[Self]) -> Needs {
        if self.is_branch {
            return Needs::Nothing;
        }
        let own = self.action.needs(self.shape.iter().product());
        let branches = self.branches.iter().map(|&branch| &steps[branch].action);
        branches.fold(own, |needs, branch| needs.with_branch(branch.needs(0)))
    }

    /// One party's run of it.
    pub(crate) async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        protocol!(&self.action, protocol => protocol.run(run, self, material).await)
    }

    /// Its value in the clear.
    pub(crate) fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>) -> Result<ArithmeticShares<R>, Failure> {
        let elements = protocol!(&self.action, protocol => protocol.ideal(ideal, self))?;
        Ok(ArithmeticShares::new(&self.shape, elements)?)
    }
}
