//! A function planned for a number of elements: its correlations, its price, its errors.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_transport::Traffic;
use serde::{Deserialize, Serialize};

use super::evaluation::{Evaluation, Means};
use super::octaves::{Octave, Octaves};
use super::route::{Kind, Rest, Route, unsupported};
use super::{ErrorBound, Function};
use crate::piecewise::{self, PiecewiseShape};
use crate::sign::{SignParameters, SignShape};
use crate::truncation::{self, LiftShape};
use crate::{Bilinear, ProtocolError, Request, beaver};

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
    /// The fixed point of the argument, where it is not the result's: for roots, powers and e^x of x ≤ 0 alone.
    pub argument: Option<ArgumentShape>,
    /// For reciprocals alone, dividends at scale f: then the results are quotients, as many, and argument j is the divisor of the
    /// j-th of equal blocks of dividends.
    pub dividends: Option<Dividends>,
}

/// The dividends of a plan for quotients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dividends {
    /// The number of dividends, and of quotients.
    pub len: usize,
    /// The k of dividends and quotients; the divisors have that of the shape, and need one bit more to be as large if they
    /// have both signs.
    pub bits: u32,
}

/// An argument with a fixed point of its own, such as a sum of squares that no rounding has touched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArgumentShape {
    /// The value of a unit in its last place, after the shift.
    pub unit: f64,
    /// The k of the result alone; the argument has that of the shape.
    pub result_bits: u32,
}

/// As equal as the bits of a plan; a unit that is no number is refused when a function is planned.
impl Eq for ArgumentShape {}

impl FunctionShape {
    /// The value of a unit in the argument's last place, after the shift.
    #[must_use]
    pub fn unit(&self) -> f64 {
        self.argument.map_or_else(|| libm::exp2(-f64::from(self.fractional_bits)), |argument| argument.unit)
    }

    /// The fractional bits of an argument whose unit is a power of two.
    pub(super) fn argument_bits(&self) -> u32 {
        self.argument.map_or(self.fractional_bits, |argument| -libm::log2(argument.unit) as u32)
    }

    /// The k of the result.
    pub(super) fn result_bits(&self) -> u32 {
        let own = self.argument.map(|argument| argument.result_bits);
        own.or(self.dividends.map(|dividends| dividends.bits)).unwrap_or(self.parameters.bits())
    }

    /// Refuses dividends that cannot be.
    fn check_dividends(&self, ring_bits: u32) -> Result<(), ProtocolError> {
        let Some(Dividends { len, bits }) = self.dividends else { return Ok(()) };
        if !matches!(self.function, Function::Reciprocal | Function::PositiveReciprocal) || self.argument.is_some() {
            return Err(unsupported("dividends", len as u64, "those of reciprocals alone"));
        }
        if len < self.len || len.checked_rem(self.len).unwrap_or(len) != 0 {
            return Err(unsupported("dividends", len as u64, "a multiple of the divisors"));
        }
        if !(self.fractional_bits + 3..=ring_bits).contains(&bits) {
            return Err(unsupported("k of dividends", bits.into(), "3 more than their fractional bits"));
        }
        Ok(())
    }

    /// Refuses an argument's fixed point that cannot be.
    fn check_argument(&self, ring_bits: u32) -> Result<(), ProtocolError> {
        let Some(ArgumentShape { unit, result_bits }) = self.argument else { return Ok(()) };
        // A series or a table has both fixed points, which are powers of two.
        let is_exponential = self.function == Function::ExpNonPositive;
        if !is_exponential && !matches!(self.function, Function::Sqrt | Function::Power { .. }) {
            return Err(unsupported("an argument's fixed point", 0, "roots, powers and e^x of x ≤ 0 alone"));
        }
        if is_exponential && (1..=self.fractional_bits).all(|bits| unit != libm::exp2(-f64::from(bits))) {
            return Err(unsupported("an argument's unit", 0, "a power of two, as fine as a result's at most"));
        }
        // A comparison with NaN is false.
        if !(unit >= libm::exp2(-128.0) && unit <= libm::exp2(128.0)) {
            return Err(unsupported("an argument's unit", 0, "2^-128 to 2^128"));
        }
        if !(self.fractional_bits + 3..=ring_bits).contains(&result_bits) {
            return Err(unsupported("k of the result", result_bits.into(), "3 more than its fractional bits"));
        }
        Ok(())
    }
}

/// How a function of a shape is computed in a ring.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Settings", into = "Settings")]
pub struct FunctionPlan {
    pub(super) shape: FunctionShape,
    pub(super) ring_bits: u32,
    pub(super) means: Means,
    pub(super) route: Route,
}

/// The serialised part of a plan: the rest follows from it.
#[derive(Serialize, Deserialize)]
struct Settings {
    shape: FunctionShape,
    ring_bits: u32,
    means: Means,
}

impl TryFrom<Settings> for FunctionPlan {
    type Error = ProtocolError;

    fn try_from(settings: Settings) -> Result<Self, ProtocolError> {
        Self::in_ring(settings.shape, settings.ring_bits, settings.means)
    }
}

impl From<FunctionPlan> for Settings {
    fn from(plan: FunctionPlan) -> Self {
        Self { shape: plan.shape, ring_bits: plan.ring_bits, means: plan.means }
    }
}

impl PartialEq for FunctionPlan {
    fn eq(&self, other: &Self) -> bool {
        (self.shape, self.ring_bits, self.means) == (other.shape, other.ring_bits, other.means)
    }
}

impl Eq for FunctionPlan {}

/// The correlations of a plan, in the order of their use.
pub(super) struct Steps {
    pub(super) pieces: PiecewiseShape,
    pub(super) argument: Option<LiftShape>,
    pub(super) smooth: Option<Evaluation>,
    pub(super) dividend: Option<Bilinear>,
    pub(super) middle: Option<LiftShape>,
    pub(super) product: Option<Bilinear>,
    pub(super) result: Option<LiftShape>,
}

/// The bits that are read of what each step leaves.
pub(super) struct Widths {
    pub(super) pieces: u32,
    pub(super) argument: u32,
    pub(super) smooth: u32,
    pub(super) dividend: u32,
    pub(super) middle: u32,
    pub(super) product: u32,
    pub(super) result: u32,
}

impl FunctionPlan {
    /// The plan of a function in ring `R`, for correlations of a dealer.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`], which names what the function needs and the settings have not got.
    pub fn new<R: Ring>(shape: FunctionShape) -> Result<Self, ProtocolError> {
        Self::in_ring(shape, R::BITS, Means::Any)
    }

    /// As [`new`](Self::new), with tables alone, for correlations that two parties make.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn tabulated<R: Ring>(shape: FunctionShape) -> Result<Self, ProtocolError> {
        Self::in_ring(shape, R::BITS, Means::Tables)
    }

    fn in_ring(shape: FunctionShape, ring_bits: u32, means: Means) -> Result<Self, ProtocolError> {
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
        shape.check_argument(ring_bits)?;
        shape.check_dividends(ring_bits)?;
        Ok(Self { shape, ring_bits, means, route: Route::new(&shape, ring_bits, means)? })
    }

    /// The same function of another number of elements, for which nothing is fitted again; of quotients also another number of
    /// dividends.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for numbers of dividends and divisors that do not fit together, or dividends of another function.
    pub fn resized(&self, len: usize, dividends: Option<usize>) -> Result<Self, ProtocolError> {
        let mut shape = FunctionShape { len, ..self.shape };
        match (&mut shape.dividends, dividends) {
            (Some(own), Some(dividends)) => own.len = dividends,
            (None, None) => (),
            (_, other) => {
                return Err(unsupported("dividends", other.unwrap_or(0) as u64, "those of quotients alone"));
            }
        }
        shape.check_dividends(self.ring_bits)?;
        let mut plan = Self { shape, ..self.clone() };
        if let Kind::Octaves(octaves) = &mut plan.route.kind {
            octaves.octave.resize(&shape);
        }
        Ok(plan)
    }

    /// The shape that was planned for.
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
        self.requests_modulo(self.ring_bits)
    }

    /// As [`requests`](Self::requests), where the result is read modulo 2^`width` only.
    #[must_use]
    pub fn requests_modulo(&self, width: u32) -> Vec<Request> {
        let (steps, widths) = (self.steps(), self.widths(width));
        let lift = |LiftShape { len, bits }: LiftShape| Request::Lift { len, bits };
        let SignShape { len, parameters } = steps.pieces.sign;
        let pieces = Request::Piecewise { len, thresholds: steps.pieces.thresholds, parameters };
        let requests = [
            (Some(pieces), widths.pieces),
            (steps.argument.map(lift), widths.argument),
            (steps.smooth.map(|evaluation| evaluation.request(self.shape.len)), widths.smooth),
            (steps.dividend.map(Request::Beaver), widths.dividend),
            (steps.middle.map(lift), widths.middle),
            (steps.product.map(Request::Beaver), widths.product),
            (steps.result.map(lift), widths.result),
        ];
        let in_bits = |(request, bits): (Option<Request>, u32)| {
            request.map(|request| if bits == self.ring_bits { request } else { request.in_bits(bits) })
        };
        requests.into_iter().filter_map(in_bits).collect()
    }

    /// The traffic of each party in [`apply`](Self::apply).
    #[must_use]
    pub fn traffic(&self, parties: usize) -> Traffic {
        let steps = self.steps();
        let lift = |shape: Option<LiftShape>| shape.map(|shape| truncation::traffic(shape, parties));
        let smooth = steps.smooth.map(|evaluation| evaluation.traffic(self.shape.len, self.ring_bits, parties));
        let widths = self.widths(self.ring_bits);
        let product = |map: Option<Bilinear>, width| map.map(|map| beaver::traffic(&map, width, parties));
        let (dividend, product) = (product(steps.dividend, widths.dividend), product(steps.product, widths.product));
        let lifts = [steps.argument, steps.middle, steps.result].map(lift);
        let optional = [smooth, dividend, product].into_iter().chain(lifts);
        piecewise::traffic(steps.pieces, parties) + optional.flatten().sum::<Traffic>()
    }

    pub(super) fn steps(&self) -> Steps {
        let FunctionShape { len, parameters, .. } = self.shape;
        let sign = SignShape { len, parameters };
        let pieces = PiecewiseShape { sign, thresholds: self.route.thresholds.len() };
        let rest = |rest: &Rest| (rest.fraction > 0).then_some(LiftShape { len, bits: rest.bits });
        let none =
            Steps { pieces, argument: None, smooth: None, dividend: None, middle: None, product: None, result: None };
        match &self.route.kind {
            Kind::Linear(result) => Steps { result: rest(result), ..none },
            Kind::Smooth { evaluation, rest: added, .. } => {
                Steps { smooth: Some(*evaluation), result: added.as_ref().and_then(rest), ..none }
            }
            Kind::Octaves(Octaves { evaluation, shift, octave, .. }) => {
                let table = evaluation.table();
                // Up to 2^{t+1} and the rounding of all parties.
                let argument = (*shift > 0).then_some(LiftShape { len, bits: table.input_bits + 4 });
                let steps = Steps { argument, smooth: Some(*evaluation), ..none };
                match octave {
                    Octave::Offset(_) => steps,
                    Octave::Quotient { map, first, .. } => {
                        let (len, bits) = (map.left_len(), self.shape.result_bits());
                        let middle = LiftShape { len, bits: bits + table.output_bits - first };
                        Steps {
                            dividend: Some(*map),
                            middle: (*first > 0).then_some(middle),
                            product: Some(*map),
                            result: Some(LiftShape { len, bits }),
                            ..steps
                        }
                    }
                    Octave::Factor { .. } => Steps {
                        product: Some(Bilinear::Elementwise { len }),
                        result: Some(LiftShape { len, bits: self.shape.result_bits() }),
                        ..steps
                    },
                }
            }
        }
    }

    /// The bits of each step that later ones read, from the result on, of which `width` bits are read.
    pub(super) fn widths(&self, width: u32) -> Widths {
        let truncated = |bits: u32, shift: u32| (bits + shift).min(self.ring_bits);
        // Of the pieces in front of a truncation, if there is one.
        let of_rest = |rest: &Rest| if rest.fraction > 0 { truncated(rest.bits, rest.fraction) } else { width };
        let all = Widths {
            pieces: width,
            argument: width,
            smooth: width,
            dividend: width,
            middle: width,
            product: width,
            result: width,
        };
        match &self.route.kind {
            Kind::Linear(rest) => Widths { pieces: of_rest(rest), ..all },
            Kind::Smooth { evaluation, rest: None, .. } => Widths { pieces: evaluation.argument_bits(), ..all },
            Kind::Smooth { evaluation, rest: Some(rest), .. } => {
                let sum = of_rest(rest);
                Widths { pieces: evaluation.argument_bits().max(sum), smooth: sum - rest.fraction, ..all }
            }
            Kind::Octaves(Octaves { evaluation, shift, octave, .. }) => {
                let (table, argument) = (evaluation.table(), evaluation.argument_bits());
                let normalised = if *shift > 0 { truncated(table.input_bits + 4, *shift) } else { argument };
                let product = match octave {
                    Octave::Offset(_) => width,
                    Octave::Factor { shift, .. } | Octave::Quotient { second: shift, .. } => {
                        truncated(self.shape.result_bits(), *shift)
                    }
                };
                let smooth = match octave {
                    Octave::Quotient { first, .. } if *first > 0 => {
                        truncated(self.shape.result_bits(), table.output_bits)
                    }
                    _ => product,
                };
                let (pieces, dividend) = (normalised.max(product), smooth);
                Widths { pieces, argument, smooth, dividend, middle: product, product, result: width }
            }
        }
    }

    /// The low bits of a dividend that are read.
    #[must_use]
    pub fn dividend_bits(&self) -> u32 {
        self.widths(self.ring_bits).dividend
    }

    /// The arguments, after the shift, for which the result is right: every comparison and the result stay below 2^{k−2}
    /// units. Of functions of positive arguments, and of Exp, only the argument is looked at: results beyond 2^{k−2} units
    /// are meaningless.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let slope = match &self.route.kind {
            Kind::Linear(rest) | Kind::Smooth { rest: Some(rest), .. } => rest.slope().max(1.0),
            Kind::Smooth { rest: None, .. } | Kind::Octaves(_) => 1.0,
        };
        let (low, high) = self.comparable();
        (low / slope, high / slope)
    }

    /// The arguments, after the shift, that differ from every threshold by less than 2^{k−2} units: beyond them a comparison is
    /// wrong, and with it the result, however small it is.
    #[must_use]
    pub fn comparable(&self) -> (f64, f64) {
        let largest = match &self.route.kind {
            Kind::Linear(_) | Kind::Smooth { .. } => self.largest(),
            // Of both signs the last octave ends below 2^{k−3}.
            Kind::Octaves(octaves) => (2i64 << (octaves.shift + octaves.evaluation.table().input_bits)) - 16,
        };
        let (comparable, thresholds) = (self.largest(), || self.route.thresholds.iter().copied());
        let low = thresholds().map(|t| t - comparable).fold(-largest, i64::max);
        let high = thresholds().map(|t| t + comparable).fold(largest, i64::min);
        (low as f64 * self.shape.unit(), high as f64 * self.shape.unit())
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
