//! The correlations of a step, said once: a plan requests them, and a run draws them, from one value.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use mpc_protocols::beaver::{BeaverTriple, SquarePair};
use mpc_protocols::conversion::DaBits;
use mpc_protocols::fixed_weights::{
    FixedWeightPair, FixedWeightProduct, FixedWeightShape, FixedWeights, PreparedLayer, PreparedProduct,
};
use mpc_protocols::function::{FunctionMaterial, FunctionPlan};
use mpc_protocols::maximum::{Level, LevelMask, Tournament};
use mpc_protocols::relu::ReluMask;
use mpc_protocols::sign::SignShape;
use mpc_protocols::truncation::{LiftMask, LiftShape, carry_width};
use mpc_protocols::{Bilinear, Correlation, CorrelationSource, ProtocolError, Request};
use mpc_ring::Ring;

/// The correlations that a step takes, by their shapes.
pub(crate) enum Needs {
    Nothing,
    /// A layer with weights, and further layers with the same input.
    Layers(FixedWeightShape, Vec<FixedWeightShape>),
    Lift(LiftShape),
    /// Between two parties, for truncated values of a shape.
    Carries(LiftShape),
    Comparison(SignShape),
    /// Comparisons, one after the other.
    Comparisons(Vec<SignShape>),
    /// The levels of a tournament.
    Maximum(Tournament),
    Function(Box<FunctionPlan>),
    Product(Bilinear),
    Squares(usize),
}

/// The correlations of one step, drawn and made ready: consumed by the step.
pub(crate) enum Material<R: Ring> {
    Nothing,
    Layers(PreparedLayer<R>, Vec<PreparedProduct<R>>),
    Lift(LiftMask<R>),
    Carries(DaBits<R>),
    Comparison(Box<ReluMask<R>>),
    Comparisons(Vec<ReluMask<R>>),
    Maximum(Vec<LevelMask<R>>),
    Function(Box<FunctionMaterial<R>>),
    Product(BeaverTriple<R>),
    Squares(SquarePair<R>),
}

impl Needs {
    /// With those of a further layer that has the same input.
    pub(super) fn with_branch(self, branch: Self) -> Self {
        match (self, branch) {
            (Self::Layers(first, mut others), Self::Layers(branch, _)) => {
                others.push(branch);
                Self::Layers(first, others)
            }
            (own, Self::Nothing) => own,
            _ => unreachable!("only layers with weights have branches"),
        }
    }

    /// A plan's requests for them, in order, for results of which `width` bits are read.
    pub(crate) fn requests<R: Ring>(&self, width: u32) -> Vec<Request> {
        let whole = match self {
            Self::Nothing => vec![],
            Self::Layers(first, others) => {
                let others = others.iter().map(FixedWeightProduct::<R>::request);
                [FixedWeightPair::<R>::request(first)].into_iter().chain(others).collect()
            }
            Self::Lift(shape) => vec![LiftMask::<R>::request(shape)],
            Self::Carries(LiftShape { len, bits }) => {
                return vec![DaBits::<R>::request(len).modulo::<R>(carry_width(*bits, width))];
            }
            Self::Comparison(shape) => vec![ReluMask::<R>::request(shape)],
            Self::Comparisons(shapes) => shapes.iter().map(ReluMask::<R>::request).collect(),
            Self::Maximum(tournament) => tournament.levels().iter().map(Level::request::<R>).collect(),
            Self::Function(function) => return function.requests_modulo(width),
            Self::Product(map) => vec![BeaverTriple::<R>::request(map)],
            Self::Squares(len) => vec![SquarePair::<R>::request(len)],
        };
        whole.into_iter().map(|request| request.modulo::<R>(width)).collect()
    }

    /// Draws what was asked for, and does what can be done before the step's input is there.
    pub(crate) async fn draw<R: Ring>(
        self,
        width: u32,
        source: &mut CorrelationSource<'_>,
        weights: &[FixedWeights<R>],
    ) -> Result<Material<R>, ProtocolError> {
        Ok(match self {
            Self::Nothing => Material::Nothing,
            Self::Layers(first, others) => {
                let layer =
                    weights[first.mask].prepare(source.next_modulo::<FixedWeightPair<R>>(width, first).await?)?;
                let mut products = Vec::with_capacity(others.len());
                for shape in others {
                    let weights = &weights[shape.mask];
                    let product: FixedWeightProduct<R> = source.next_modulo(width, shape).await?;
                    products.push(weights.prepare_again(&layer, product)?);
                }
                Material::Layers(layer, products)
            }
            Self::Lift(shape) => Material::Lift(source.next_modulo(width, shape).await?),
            Self::Carries(LiftShape { len, bits }) => {
                Material::Carries(source.next_modulo(carry_width(bits, width), len).await?)
            }
            Self::Comparison(shape) => Material::Comparison(Box::new(source.next_modulo(width, shape).await?)),
            Self::Comparisons(shapes) => {
                let mut masks = Vec::with_capacity(shapes.len());
                for shape in shapes {
                    masks.push(source.next_modulo(width, shape).await?);
                }
                Material::Comparisons(masks)
            }
            Self::Maximum(tournament) => {
                let levels = tournament.levels();
                let mut masks = Vec::with_capacity(levels.len());
                for level in levels {
                    masks.push(level.draw(width, source).await?);
                }
                Material::Maximum(masks)
            }
            Self::Function(function) => Material::Function(Box::new(function.draw_modulo(width, source).await?)),
            Self::Product(map) => Material::Product(source.next_modulo(width, map).await?),
            Self::Squares(len) => Material::Squares(source.next_modulo(width, len).await?),
        })
    }
}
