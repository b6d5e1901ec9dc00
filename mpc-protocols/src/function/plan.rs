//! A function planned for a number of elements: its correlations, its price, its run.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use mpc_transport::{Traffic, Transport};
use serde::{Deserialize, Serialize};

use super::octaves::{Octave, Octaves};
use super::route::{Kind, Linear, Rest, Route, unsupported};
use super::{ErrorBound, Function};
use crate::beaver::{self, BeaverTriple};
use crate::lookup::{self, LookupMask, LookupShape, Table, look_up};
use crate::piecewise::{self, Pieces, PiecewiseLinear, PiecewiseMask, PiecewiseShape, Step, compare};
use crate::sign::{SignParameters, SignShape};
use crate::truncation::{self, LiftMask, LiftShape, check_bits, truncate};
use crate::{Bilinear, Correlation, CorrelationSource, Party, ProtocolError, Request};

/// A function with its size and scales: all that a plan follows from, with the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionShape {
    /// The function.
    pub function: Function,
    /// The number of elements.
    pub len: usize,
    /// f: the result's fractional bits, and the argument's after the shift.
    pub fractional_bits: u32,
    /// Bits that are cut off the argument: f for the result of a product, 0 for an argument at scale f.
    pub shift: u32,
    /// k: arguments and results must be below 2^{k−2} units in the last place.
    pub parameters: SignParameters,
}

/// How a function of a shape is computed in a ring.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Settings", into = "Settings")]
pub struct FunctionPlan {
    shape: FunctionShape,
    ring_bits: u32,
    pub(super) route: Route,
}

/// What is serialised of a plan: the rest follows from it.
#[derive(Serialize, Deserialize)]
struct Settings {
    shape: FunctionShape,
    ring_bits: u32,
}

impl TryFrom<Settings> for FunctionPlan {
    type Error = ProtocolError;

    fn try_from(settings: Settings) -> Result<Self, ProtocolError> {
        Self::in_ring(settings.shape, settings.ring_bits)
    }
}

impl From<FunctionPlan> for Settings {
    fn from(plan: FunctionPlan) -> Self {
        Self { shape: plan.shape, ring_bits: plan.ring_bits }
    }
}

impl PartialEq for FunctionPlan {
    fn eq(&self, other: &Self) -> bool {
        (self.shape, self.ring_bits) == (other.shape, other.ring_bits)
    }
}

impl Eq for FunctionPlan {}

/// One party's share of everything that one use of a [`FunctionPlan`] needs: consumed by its use.
#[derive(Debug)]
pub struct FunctionMaterial<R: Ring> {
    pieces: PiecewiseMask<R>,
    later: Later<R>,
}

/// What is used after the pieces are known.
#[derive(Debug)]
struct Later<R: Ring> {
    argument: Option<LiftMask<R>>,
    lookup: Option<LookupMask<R>>,
    triple: Option<BeaverTriple<R>>,
    result: Option<LiftMask<R>>,
}

/// The correlations of a plan, in the order of their use.
struct Steps {
    pieces: PiecewiseShape,
    argument: Option<LiftShape>,
    lookup: Option<LookupShape>,
    product: Option<Bilinear>,
    result: Option<LiftShape>,
}

impl FunctionPlan {
    /// The plan of a function in ring `R`.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`], which names what the function needs and the settings have not got.
    pub fn new<R: Ring>(shape: FunctionShape) -> Result<Self, ProtocolError> {
        Self::in_ring(shape, R::BITS)
    }

    fn in_ring(shape: FunctionShape, ring_bits: u32) -> Result<Self, ProtocolError> {
        let FunctionShape { fractional_bits, shift, parameters, .. } = shape;
        if !(1..=28).contains(&fractional_bits) {
            return Err(unsupported("fractional bits", fractional_bits.into(), "1 to 28"));
        }
        if ![32, 64, 128].contains(&ring_bits) {
            return Err(unsupported("ring bits", ring_bits.into(), "32, 64, 128"));
        }
        if parameters.bits() < 8 || shift >= ring_bits || parameters.bits() > ring_bits - shift {
            let allowed = "8 bits to the ring's bits less the shift";
            return Err(unsupported("k", parameters.bits().into(), allowed));
        }
        Ok(Self { shape, ring_bits, route: Route::new(&shape, ring_bits)? })
    }

    /// What was planned.
    #[must_use]
    pub fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    /// The bits of the ring that was planned for.
    #[must_use]
    pub fn ring_bits(&self) -> u32 {
        self.ring_bits
    }

    /// The correlations, in the order in which they are drawn and used.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let steps = self.steps();
        let lift = |LiftShape { len, bits }: LiftShape| Request::Lift { len, bits };
        let SignShape { len, parameters } = steps.pieces.sign;
        [
            Some(Request::Piecewise { len, thresholds: steps.pieces.thresholds, parameters }),
            steps.argument.map(lift),
            steps.lookup.map(|LookupShape { len, table }| Request::Lookup { len, table }),
            steps.product.map(Request::Beaver),
            steps.result.map(lift),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What each party sends and receives in [`apply`](Self::apply).
    #[must_use]
    pub fn traffic(&self, parties: usize) -> Traffic {
        let steps = self.steps();
        let lift = |shape: Option<LiftShape>| shape.map(|shape| truncation::traffic(shape, parties));
        let looked_up = steps.lookup.and_then(|shape| lookup::traffic(shape, self.ring_bits, parties).ok());
        let product =
            steps.product.map(|map| crate::open::traffic(map.left_len() + map.right_len(), self.ring_bits, parties));
        let optional = [lift(steps.argument), looked_up, product, lift(steps.result)];
        piecewise::traffic(steps.pieces, parties) + optional.into_iter().flatten().sum::<Traffic>()
    }

    fn steps(&self) -> Steps {
        let FunctionShape { len, parameters, .. } = self.shape;
        let sign = SignShape { len, parameters };
        let pieces = PiecewiseShape { sign, thresholds: self.route.thresholds.len() };
        let looked_up = |table: Table| Some(LookupShape { len, table });
        let rest = |rest: &Rest| (rest.fraction > 0).then_some(LiftShape { len, bits: rest.bits });
        let none = Steps { pieces, argument: None, lookup: None, product: None, result: None };
        match &self.route.kind {
            Kind::Linear(result) => Steps { result: rest(result), ..none },
            Kind::Tabulated { table, rest: added, .. } => {
                Steps { lookup: looked_up(*table), result: added.as_ref().and_then(rest), ..none }
            }
            Kind::Octaves(Octaves { table, shift, octave, .. }) => {
                // Up to 2^{t+1} and the rounding of all parties.
                let argument = (*shift > 0).then_some(LiftShape { len, bits: table.input_bits + 4 });
                let steps = Steps { argument, lookup: looked_up(*table), ..none };
                match octave {
                    Octave::Offset(_) => steps,
                    Octave::Factor { .. } => Steps {
                        product: Some(Bilinear::Elementwise { len }),
                        result: Some(LiftShape { len, bits: parameters.bits() }),
                        ..steps
                    },
                }
            }
        }
    }

    /// Draws this party's share of the plan's [`requests`](Self::requests).
    ///
    /// # Errors
    /// As for [`CorrelationSource::next`]; [`ProtocolError::Parameter`] in another ring than planned.
    pub async fn draw<R: Ring, T: Transport>(
        &self,
        source: &mut CorrelationSource<T>,
    ) -> Result<FunctionMaterial<R>, ProtocolError> {
        self.check_ring::<R>()?;
        let steps = self.steps();
        let pieces = source.next(steps.pieces).await?;
        let later = Later {
            argument: draw_optional(source, steps.argument).await?,
            lookup: draw_optional(source, steps.lookup).await?,
            triple: draw_optional(source, steps.product).await?,
            result: draw_optional(source, steps.result).await?,
        };
        Ok(FunctionMaterial { pieces, later })
    }

    fn check_ring<R: Ring>(&self) -> Result<(), ProtocolError> {
        if R::BITS == self.ring_bits {
            return Ok(());
        }
        Err(unsupported("ring bits", R::BITS.into(), "those of the plan"))
    }

    /// Shares of the function of x / 2^`shift`, at scale f, in the full ring and in the shape of x.
    ///
    /// The result is right within [`error_bound`](Self::error_bound) for arguments within [`range`](Self::range).
    ///
    /// # Security
    /// As for its parts: [`compare`], [`look_up`], [`beaver::multiply`], [`truncate`].
    ///
    /// # Rounds and communication
    /// As in the table of [`function`](crate::function); [`traffic`](Self::traffic) has it exactly.
    ///
    /// # Errors
    /// [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`].
    pub async fn apply<R: Ring, T: Transport>(
        &self,
        party: &mut Party<T>,
        x: &ArithmeticShares<R>,
        material: FunctionMaterial<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        self.check_ring::<R>()?;
        check_bits::<R>(self.shape.parameters.bits(), self.shape.shift)?;
        let FunctionMaterial { pieces, later } = material;
        let thresholds: Vec<R> = self.route.thresholds.iter().map(|&t| R::from_i128(t.into())).collect();
        let pieces = compare(party, x, self.shape.shift, &thresholds, pieces).await?;
        match &self.route.kind {
            Kind::Linear(rest) => {
                let value = pieces.linear(&in_ring(&rest.function))?;
                truncate_optional(party, value, rest.fraction, later.result).await
            }
            Kind::Tabulated { argument, rest, .. } => {
                let u = pieces.linear(&in_ring(argument))?;
                let added = rest.as_ref().map(|rest| pieces.linear(&in_ring(&rest.function))).transpose()?;
                drop(pieces);
                let value = look_up(party, &u, expected(later.lookup)?).await?;
                let Some((mut sum, rest)) = added.zip(rest.as_ref()) else { return Ok(value) };
                sum.add(&value.scale(R::ONE << rest.fraction))?;
                truncate_optional(party, sum, rest.fraction, later.result).await
            }
            Kind::Octaves(octaves) => apply_octaves(party, octaves, pieces, later).await,
        }
    }

    /// The arguments, after the shift, for which the result is right: every comparison and the result stay below 2^{k−2}
    /// units. Of functions of positive arguments, and of Exp, only the argument is looked at: results beyond 2^{k−2} units
    /// are meaningless.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let unit = libm::exp2(-f64::from(self.shape.fractional_bits));
        let (largest, slope) = match &self.route.kind {
            Kind::Linear(rest) | Kind::Tabulated { rest: Some(rest), .. } => (self.largest(), rest.slope().max(1.0)),
            Kind::Tabulated { .. } => (self.largest(), 1.0),
            // Of both signs the last octave ends below 2^{k−3}.
            Kind::Octaves(octaves) => ((2 << (octaves.shift + octaves.table.input_bits)) - 16, 1.0),
        };
        let (comparable, thresholds) = (self.largest(), || self.route.thresholds.iter().copied());
        let low = thresholds().map(|t| t - comparable).fold(-largest, i64::max);
        let high = thresholds().map(|t| t + comparable).fold(largest, i64::min);
        (low as f64 * unit / slope, high as f64 * unit / slope)
    }

    /// 2^{k−2} units, less the rounding of eight parties.
    fn largest(&self) -> i64 {
        (1 << (self.shape.parameters.bits() - 2)) - 16
    }

    /// The largest error of a result among `parties` parties, for arguments in [`range`](Self::range).
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] never for a plan that was made.
    pub fn error_bound(&self, parties: usize) -> Result<ErrorBound, ProtocolError> {
        ErrorBound::of(&self.shape, &self.route, self.ring_bits, parties)
    }
}

/// Normalises, looks up, and gives the octave back.
async fn apply_octaves<R: Ring, T: Transport>(
    party: &mut Party<T>,
    octaves: &Octaves,
    pieces: Pieces<R>,
    later: Later<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let Later { argument, lookup, triple, result } = later;
    let u = pieces.linear(&in_ring(&octaves.argument))?;
    let octave = match &octaves.octave {
        Octave::Offset(octave) | Octave::Factor { factor: octave, .. } => pieces.linear(&in_ring(octave))?,
    };
    drop(pieces);
    let mut u = truncate_optional(party, u, octaves.shift, argument).await?;
    let layout = octaves.table.layout(R::BITS)?;
    let low = R::from_i128(layout.low.into());
    if party.is_first() {
        u.elements_mut().iter_mut().for_each(|u| *u = u.wrapping_sub(low));
    }
    let mut value = look_up(party, &u.scale(R::from_u64(layout.multiplier.into())), expected(lookup)?).await?;
    match &octaves.octave {
        Octave::Offset(_) => {
            value.add(&octave)?;
            Ok(value)
        }
        Octave::Factor { shift, .. } => {
            let product = beaver::multiply(party, &value, &octave, expected(triple)?).await?;
            truncate_optional(party, product, *shift, result).await
        }
    }
}

async fn draw_optional<R: Ring, C: Correlation<R>, T: Transport>(
    source: &mut CorrelationSource<T>,
    shape: Option<C::Shape>,
) -> Result<Option<C>, ProtocolError> {
    match shape {
        Some(shape) => source.next(shape).await.map(Some),
        None => Ok(None),
    }
}

/// Cuts `shift` bits off, if any.
async fn truncate_optional<R: Ring, T: Transport>(
    party: &mut Party<T>,
    x: ArithmeticShares<R>,
    shift: u32,
    mask: Option<LiftMask<R>>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    if shift == 0 { Ok(x) } else { truncate(party, &x, shift, expected(mask)?).await }
}

/// A part of the material that the plan has; it is missing only from another plan's.
fn expected<C>(part: Option<C>) -> Result<C, ProtocolError> {
    let wrong = ProtocolError::WrongCorrelation { protocol: "function", unit: "parts", correlation: 0, operand: 1 };
    part.ok_or(wrong)
}

fn in_ring<R: Ring>(function: &Linear) -> PiecewiseLinear<R> {
    let step = |step: &Step<i128>| Step { offset: R::from_i128(step.offset), slope: R::from_i128(step.slope) };
    PiecewiseLinear {
        constant: R::from_i128(function.constant),
        slope: R::from_i128(function.slope),
        steps: function.steps.iter().map(step).collect(),
    }
}
