//! A function cut into segments, and a quadratic polynomial for each.

use alloc::vec::Vec;

use crate::ProtocolError;
use crate::function::Smooth;
use crate::lookup::table::Table;

/// Fewer entries than 2^4 save nothing that matters.
const MIN_INDEX_BITS: u32 = 4;
/// More entries than 2^8 would be more than 6 KB per element.
const MAX_INDEX_BITS: u32 = 8;
/// Room for the rounding of eight parties, and for that of the coefficients.
pub(crate) const MARGIN: f64 = 16.0;

/// The sizes of a lookup, which follow from a table and the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// m: there are 2^m entries.
    pub index_bits: u32,
    /// log2 of h: an index stands for h units of the argument.
    pub segment_bits: u32,
    /// The argument is counted in this many units for one unit in its last place.
    pub multiplier: u32,
    /// The lower end of the interval, in units in the last place.
    pub low: i64,
    /// The length of the interval, in units in the last place.
    pub span: u64,
    /// g: a dealt polynomial's value has this many more bits than the result.
    pub guard_bits: u32,
    /// k: the result is below 2^{k−2} units in the last place.
    pub result_bits: u32,
    /// The bits that are dealt of each coefficient.
    pub entry_bits: u32,
}

impl Layout {
    /// w: the bits in which the argument is opened.
    #[must_use]
    pub fn argument_bits(&self) -> u32 {
        self.index_bits + self.segment_bits
    }

    /// The number of entries.
    #[must_use]
    pub fn entries(&self) -> usize {
        1 << self.index_bits
    }

    /// The bits that are dealt for one value.
    pub(crate) fn dealt_bits(&self) -> u64 {
        self.elements() as u64 * u64::from(self.entry_bits)
    }

    /// Ring elements in the table of one value.
    pub(crate) fn elements(&self) -> usize {
        3 * self.entries()
    }
}

/// A layout with its polynomials: for each segment c_0 + c_1·δ + c_2·δ², δ being the distance from the segment's begin.
pub(crate) struct Polynomials {
    pub(crate) layout: Layout,
    pub(crate) coefficients: Vec<[i128; 3]>,
    /// A bound of the error before truncation, in units of the result or relative to it, as [`Smooth::relative`] says.
    pub(crate) fit_error: f64,
    /// A bound of what rounding the coefficients adds, in units.
    pub(crate) rounding_error: f64,
}

fn unsupported(parameter: &'static str, value: u64, allowed: &'static str) -> ProtocolError {
    ProtocolError::Parameter { protocol: "lookup", parameter, value, allowed }
}

impl Table {
    /// The sizes in a ring of `ring_bits` bits.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] if no table of a supported size is good enough, or the ring is too small for one.
    pub fn layout(&self, ring_bits: u32) -> Result<Layout, ProtocolError> {
        Ok(self.polynomials(ring_bits)?.layout)
    }

    /// The bits that a result has more than its argument.
    fn finer(&self) -> u32 {
        self.output_bits.saturating_sub(self.input_bits)
    }

    /// The value that is tabulated at u.
    pub(crate) fn value(&self, u: f64) -> f64 {
        self.function.tabulated(u, self.finer())
    }

    /// The smooth part that is tabulated.
    pub(crate) fn smooth(&self) -> Result<Smooth, ProtocolError> {
        if !(1..=60).contains(&self.input_bits) {
            return Err(unsupported("fractional bits of the argument", self.input_bits.into(), "1 to 60"));
        }
        if !(1..=30).contains(&self.output_bits) {
            return Err(unsupported("fractional bits of the result", self.output_bits.into(), "1 to 30"));
        }
        if self.limit_bits > 62 {
            return Err(unsupported("bits of the result", self.limit_bits.into(), "at most 62"));
        }
        let limit = libm::exp2(f64::from(self.limit_bits) - f64::from(self.output_bits));
        let smooth = self.function.smooth(self.input_bits, self.finer(), limit);
        let smooth = smooth.ok_or(unsupported("the function", 0, "one that is not piecewise linear"))?;
        let finite = [smooth.low, smooth.high, smooth.third, smooth.slope].iter().all(|x| x.is_finite());
        if finite && smooth.low < smooth.high && smooth.high - smooth.low < 1024.0 {
            Ok(smooth)
        } else {
            Err(unsupported("the function's parameter", 0, "finite numbers, of a magnitude that fits the ring"))
        }
    }

    /// The lower end and the length of the interval, in units in the last place.
    pub(crate) fn interval(&self, smooth: &Smooth) -> (i64, u64) {
        let unit = libm::exp2(self.input_bits.into());
        let (low, high) = (libm::floor(smooth.low * unit), libm::ceil(smooth.high * unit));
        (low as i64, (high - low) as u64)
    }

    /// The smallest table that is good enough.
    pub(crate) fn polynomials(&self, ring_bits: u32) -> Result<Polynomials, ProtocolError> {
        let smooth = self.smooth()?;
        let unit = libm::exp2(self.input_bits.into());
        let (low, span) = self.interval(&smooth);
        for index_bits in MIN_INDEX_BITS..=MAX_INDEX_BITS {
            let Some((argument_bits, multiplier)) = interval(span, index_bits, ring_bits) else { continue };
            let segment_bits = argument_bits - index_bits;
            let width = libm::exp2(segment_bits.into()) / f64::from(multiplier) / unit;
            // Interpolation at Chebyshev's nodes on an interval of 2·width: |f'''|·width³/24.
            let fit_error = smooth.third * width * width * width / 24.0;
            if fit_error <= smooth.target {
                let layout = Layout {
                    index_bits,
                    segment_bits,
                    multiplier,
                    low,
                    span,
                    guard_bits: 0,
                    result_bits: 0,
                    entry_bits: 0,
                };
                return self.fit(layout, fit_error, ring_bits);
            }
        }
        Err(unsupported("index bits", u64::from(MAX_INDEX_BITS) + 1, "at most 8: the function bends too much"))
    }

    /// Fits every segment, and fixes the sizes of the result.
    fn fit(&self, mut layout: Layout, fit_error: f64, ring_bits: u32) -> Result<Polynomials, ProtocolError> {
        let segments: Vec<_> = (0..layout.entries()).map(|index| self.fit_segment(&layout, index)).collect();
        let width = libm::exp2(layout.segment_bits.into());
        // At an end or the vertex of a parabola, which may have none.
        let size = |&([c0, c1, c2], [from, to]): &([f64; 3], [f64; 2])| {
            let vertex = (-c1 / (2.0 * c2)).clamp(from, to);
            [from, to, vertex].map(|x| libm::fabs(c0 + x * (c1 + x * c2))).into_iter().fold(0.0, f64::max)
        };
        let scale = libm::exp2(self.output_bits.into());
        let largest = segments.iter().map(size).fold(0.0, f64::max) * scale + MARGIN;
        // The result is below 2^{k−2}.
        layout.result_bits = libm::ceil(libm::log2(largest)) as u32 + 2;
        layout.guard_bits = (2 * layout.segment_bits).min(ring_bits.saturating_sub(layout.result_bits));
        // One bit more would cost a byte of every coefficient, and is worth a quarter of a unit.
        if layout.guard_bits > 0 && (layout.guard_bits + layout.result_bits) % 8 == 1 {
            layout.guard_bits -= 1;
        }
        layout.entry_bits = (layout.guard_bits + layout.result_bits).next_multiple_of(8).min(ring_bits);
        // A quarter of h² for c_2, half of h for c_1, and half for c_0, in 2^−g units.
        let rounding_error = (width * width / 4.0 + width / 2.0 + 0.5) / libm::exp2(layout.guard_bits.into());
        // With many fractional bits more units than that are as little.
        let tolerated = (scale * libm::exp2(-16.0)).max(4.0);
        if layout.result_bits > ring_bits || rounding_error > tolerated {
            let needed = u64::from(layout.result_bits + 2 * layout.segment_bits);
            let allowed =
                "about the ring's bits: fewer fractional bits and a smaller k need fewer, and a larger ring has more";
            return Err(unsupported("bits of a coefficient", needed, allowed));
        }
        let scale = libm::exp2(f64::from(self.output_bits + layout.guard_bits));
        let coefficients = segments.iter().map(|(c, ends)| round_coefficients(*c, *ends, scale)).collect();
        Ok(Polynomials { layout, coefficients, fit_error, rounding_error })
    }

    /// The polynomial of an entry in units of the argument, and the ends of the two segments that it covers; both are
    /// relative to h·`index`.
    fn fit_segment(&self, layout: &Layout, index: usize) -> ([f64; 3], [f64; 2]) {
        let width = libm::exp2(layout.segment_bits.into());
        let begin = width * index as f64;
        let last = f64::from(layout.multiplier) * layout.span as f64;
        let (from, to) = ((begin - width).max(0.0), (begin + width).min(last));
        if from >= to {
            return ([0.0; 3], [0.0; 2]);
        }
        let (middle, radius) = ((from + to) / 2.0, (to - from) / 2.0);
        let unit = libm::exp2(self.input_bits.into());
        // Chebyshev's nodes: the zeros of 4z³ − 3z.
        let node = libm::sqrt(3.0) / 2.0;
        let value = |z: f64| {
            let argument = layout.low as f64 + (middle + radius * z) / f64::from(layout.multiplier);
            self.value(argument / unit)
        };
        let [below, centre, above] = [value(-node), value(0.0), value(node)];
        let (linear, square) = (
            (above - below) / (2.0 * node * radius),
            (above + below - 2.0 * centre) / (2.0 * node * node * radius * radius),
        );
        // From the middle to the segment's begin.
        let shift = begin - middle;
        let coefficients = [centre + linear * shift + square * shift * shift, linear + 2.0 * square * shift, square];
        (coefficients, [from - begin, to - begin])
    }
}

/// (w, multiplier) such that 2^w units hold the interval with one segment to spare, the interval being used best.
fn interval(span: u64, index_bits: u32, ring_bits: u32) -> Option<(u32, u32)> {
    let candidate = |multiplier: u32| {
        let needed = span.checked_mul(multiplier.into())? + 1;
        let fits = |bits: u32| (1u64 << bits) - (1 << (bits - index_bits)) >= needed;
        let bits = (index_bits + 1..ring_bits.min(40)).find(|&bits| fits(bits))?;
        Some((bits, multiplier))
    };
    let length = |&(bits, multiplier): &(u32, u32)| libm::exp2(bits.into()) / f64::from(multiplier);
    [1, 3, 5, 7].into_iter().filter_map(candidate).min_by(|x, y| length(x).total_cmp(&length(y)))
}

/// Rounds c_2, then c_1, then c_0, each time moving what was lost to those that are still to be rounded.
fn round_coefficients([c0, c1, c2]: [f64; 3], [from, to]: [f64; 2], scale: f64) -> [i128; 3] {
    let square = libm::round(c2 * scale);
    let lost = c2 * scale - square;
    // On [from, to] the line nearest to δ² is (from + to)·δ − from·to − (to − from)²/8.
    let c1 = c1 * scale + lost * (from + to);
    let c0 = c0 * scale - lost * (from * to + (to - from) * (to - from) / 8.0);
    let linear = libm::round(c1);
    let constant = libm::round(c0 + (c1 - linear) * (from + to) / 2.0);
    [constant as i128, linear as i128, square as i128]
}
