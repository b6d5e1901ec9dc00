//! How a layer is cut into polynomials, what each layout costs, and the search for the cheapest.
//!
//! The encoding is Cheetah's (Huang, Lu, Hong, Ding, "Cheetah: Lean and Fast Secure Two-Party Deep Neural Network Inference",
//! USENIX Security 2022, section 3.2): with W columns and R rows of the grid in a tile of C channels, input (c, y, x) is the
//! coefficient of X^((c·R + y)·W + x), weight (c, ky, kx) that of X^(last − (c·R + ky·d)·W − kx·d'), and the product has
//! output (y, x) at X^(last + y·s·W + x·s').

use alloc::vec;
use alloc::vec::Vec;
use mpc_ring::packing::packed_len;
use mpc_ring::threads;

use crate::layer::{Axis, Linear};
use crate::modulus::CHOSEN_BITS;
use crate::ring::{COEFFICIENTS, POLYNOMIAL_BYTES, RESIDUE_BITS};
use crate::{HeError, Modulus, NoiseBound, multiples};

/// With more polynomials of weights, 128 MiB of transforms, a layer keeps the weights alone: a network has dozens of layers.
const MOST_TRANSFORMS: usize = 1 << 11;

/// A multiple of a transform takes an eighth of the time of a transform and a product (`cargo bench -p mpc-ring --bench ntt`).
const FEW_COEFFICIENTS: usize = 8;

/// A layer cut into polynomials: tiles of rows, channels of the input and of the output side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    pub(crate) layer: Linear,
    pub(crate) modulus: Modulus,
    /// Rows of output in a tile.
    pub(crate) rows: usize,
    /// Channels of input and of output in a polynomial.
    pub(crate) channels: [usize; 2],
    /// The mask is given, not chosen by the ciphertext.
    pub(crate) is_given: bool,
}

/// A coefficient of an input polynomial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// No output reads it: it may be anything.
    Free,
    /// Padding: it must be zero.
    Zero,
    /// A mask that the ciphertext chooses.
    Fresh(usize),
    /// A mask that is known already.
    Known(usize),
}

/// Where an input polynomial stands: tile, group, and chunk of channels.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) tile: usize,
    pub(crate) group: usize,
    pub(crate) chunk: usize,
}

impl Layout {
    /// The layout with the fewest bytes for one hint and `inferences` messages, with shares of this modulus. With `is_given`, the
    /// mask of the layer's input is known before (it masks another layer's input too), which costs 100 instead of 52 bits an
    /// element. So does every mask of another modulus than [`Modulus::SMALLEST`].
    ///
    /// # Errors
    /// [`HeError::TooWide`] if one row of output reads more than a polynomial holds.
    pub fn search(layer: &Linear, modulus: Modulus, inferences: u64, is_given: bool) -> Result<Self, HeError> {
        // Of those with as few bytes, the one with the fewest polynomials takes the least time.
        let mut best: Option<((u128, usize), Self)> = None;
        let heights = layer.axes[0].outputs;
        let mut last = 0;
        for tiles in 1..=heights {
            let rows = heights.div_ceil(tiles);
            let whole = Self { layer: *layer, modulus, rows, channels: [1, 1], is_given };
            if rows == last || whole.plane() > COEFFICIENTS {
                continue;
            }
            last = rows;
            let counts = Counts::of(&whole);
            let room = COEFFICIENTS / whole.plane();
            for inputs in 1..=room.min(layer.channels[0]) {
                let most = (room / inputs).min(layer.channels[1]);
                for outputs in if most == 1 { 1..=1 } else { 1..=2 } {
                    // One output channel a polynomial leaves the tail free; else as many as fit.
                    let layout = Self { channels: [inputs, if outputs == 1 { 1 } else { most }], ..whole };
                    // A sum that saturates would make layouts equal that are not.
                    let messages = layout.message_bytes_with(&counts) as u128 * u128::from(inferences);
                    let bytes = layout.hint_bytes() as u128 + messages;
                    let cost = (bytes, layout.input_polynomials() + layout.output_polynomials());
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, layout));
                    }
                }
            }
        }
        let needed = layer.axes[0].extent(1).saturating_mul(layer.axes[1].extent(layer.axes[1].outputs));
        best.map(|(_, layout)| layout).ok_or(HeError::TooWide { needed, available: COEFFICIENTS })
    }

    /// The layer.
    #[must_use]
    pub fn layer(&self) -> &Linear {
        &self.layer
    }

    /// The modulus of the shares.
    #[must_use]
    pub fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// Whether the ciphertext chooses the mask.
    pub(crate) fn is_chosen(&self) -> bool {
        !self.is_given && self.modulus == Modulus::SMALLEST
    }

    /// Polynomials that encrypt the input.
    #[must_use]
    pub fn input_polynomials(&self) -> usize {
        self.tiles() * self.layer.groups * self.chunks()[0]
    }

    /// Polynomials that hold the output.
    #[must_use]
    pub fn output_polynomials(&self) -> usize {
        self.tiles() * self.layer.groups * self.chunks()[1]
    }

    /// Polynomials that hold the weights.
    #[must_use]
    pub fn weight_polynomials(&self) -> usize {
        let [inputs, outputs] = self.chunks();
        self.layer.groups * inputs * outputs
    }

    /// Bytes that [`Weights`](crate::Weights) are kept in.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let secrets = self.output_polynomials() * POLYNOMIAL_BYTES;
        let transforms = self.weight_polynomials().saturating_mul(POLYNOMIAL_BYTES);
        secrets + if self.keeps_transforms() { transforms } else { 8 * self.layer.weight_len() }
    }

    /// Bytes that are held besides while weights are prepared or an inference is evaluated: the input polynomials of an output,
    /// and those that are summed.
    #[must_use]
    pub fn working_bytes(&self) -> usize {
        let summed = if self.has_few_coefficients() { multiples::TERMS + 2 * multiples::OUTPUTS } else { 1 };
        (self.chunks()[0] + summed * self.sums_together() / self.sums_of_a_thread()) * POLYNOMIAL_BYTES
    }

    /// So many sums of weights and inputs are made at a time.
    pub(crate) fn sums_together(&self) -> usize {
        if self.keeps_transforms() { 1 } else { threads::count() * self.sums_of_a_thread() }
    }

    /// And so many of them by one thread.
    pub(crate) fn sums_of_a_thread(&self) -> usize {
        if self.has_few_coefficients() { multiples::OUTPUTS } else { 1 }
    }

    /// Whether the weights are not kept as transforms, and take less time without any.
    pub(crate) fn has_few_coefficients(&self) -> bool {
        !self.keeps_transforms() && self.channels[0] * self.channels[1] * self.layer.taps() <= FEW_COEFFICIENTS
    }

    /// Whether the weights are kept as transforms.
    pub(crate) fn keeps_transforms(&self) -> bool {
        self.weight_polynomials() <= MOST_TRANSFORMS
    }

    /// Bytes of the hint, sent once to the holder of the mask.
    #[must_use]
    pub fn hint_bytes(&self) -> usize {
        self.output_polynomials() * packed_len(COEFFICIENTS, self.modulus.of_hints().bits())
    }

    /// Bytes of the layer's message of one inference, sent to the holder of the weights.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        self.message_bytes_with(&Counts::of(self))
    }

    /// The bound on the noise for weights of `weight_bits` bits with the sign.
    ///
    /// # Errors
    /// [`HeError::Unsupported`] if `weight_bits` is not from 1 to [`Modulus::weight_bits`].
    pub fn noise(&self, weight_bits: u32) -> Result<NoiseBound, HeError> {
        NoiseBound::of(self, weight_bits)
    }

    fn message_bytes_with(&self, counts: &Counts) -> usize {
        let [fresh, whole] = self.coefficients(counts);
        packed_len(fresh, CHOSEN_BITS) + packed_len(2 * whole, RESIDUE_BITS)
    }

    /// How many coefficients travel as 52 bits, and how many whole.
    pub(crate) fn message_coefficients(&self) -> [usize; 2] {
        self.coefficients(&Counts::of(self))
    }

    fn coefficients(&self, counts: &Counts) -> [usize; 2] {
        let channels = self.layer.groups * self.layer.channels[0];
        let tail = if self.channels[1] == 1 { 0 } else { COEFFICIENTS - self.channels[0] * self.plane() };
        let fresh = if self.is_chosen() { channels * counts.distinct } else { 0 };
        [fresh, channels * counts.read - fresh + self.input_polynomials() * tail]
    }

    pub(crate) fn tiles(&self) -> usize {
        self.layer.axes[0].outputs.div_ceil(self.rows)
    }

    /// Rows of output of a tile; the last may have fewer.
    pub(crate) fn rows_of(&self, tile: usize) -> usize {
        self.rows.min(self.layer.axes[0].outputs - tile * self.rows)
    }

    /// Chunks of channels of a group's input and output.
    pub(crate) fn chunks(&self) -> [usize; 2] {
        [0, 1].map(|side| self.layer.channels[side].div_ceil(self.channels[side]))
    }

    /// The channels of a chunk.
    pub(crate) fn chunk(&self, side: usize, chunk: usize) -> core::ops::Range<usize> {
        let first = chunk * self.channels[side];
        first..self.layer.channels[side].min(first + self.channels[side])
    }

    fn width(&self) -> usize {
        self.layer.axes[1].extent(self.layer.axes[1].outputs)
    }

    /// Coefficients of a channel.
    fn plane(&self) -> usize {
        self.layer.axes[0].extent(self.rows).saturating_mul(self.width())
    }

    /// The exponent of the first output: that of the last tap of the last channel.
    fn first_output(&self) -> usize {
        let [rows, columns] = self.layer.axes;
        (self.channels[0] - 1) * self.plane()
            + (rows.kernel - 1) * rows.dilation * self.width()
            + (columns.kernel - 1) * columns.dilation
    }

    /// The input polynomials, in the order in which they are encrypted.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        let (groups, [chunks, _]) = (self.layer.groups, self.chunks());
        (0..self.input_polynomials()).map(move |index| Piece {
            tile: index / chunks / groups,
            group: index / chunks % groups,
            chunk: index % chunks,
        })
    }

    /// The roles of a polynomial's coefficients. `is_known` has the masks of earlier polynomials, and is brought up to date.
    pub(crate) fn roles(&self, piece: Piece, is_known: &mut [bool]) -> Vec<Role> {
        let rest = if self.channels[1] == 1 { Role::Free } else { Role::Zero };
        let mut roles = vec![rest; COEFFICIENTS];
        let (plane, width) = (self.plane(), self.width());
        roles[..self.channels[0] * plane].fill(Role::Free);
        let [rows, columns] = &self.layer.axes;
        let first = piece.tile * self.rows * rows.stride;
        let outputs = self.rows_of(piece.tile);
        let columns_read: Vec<_> = (0..width).map(|x| columns.is_read(columns.outputs, x)).collect();
        for (slot, channel) in self.chunk(0, piece.chunk).enumerate() {
            for y in (0..rows.extent(outputs)).filter(|&y| rows.is_read(outputs, y)) {
                let roles = &mut roles[slot * plane + y * width..][..width];
                for x in (0..width).filter(|&x| columns_read[x]) {
                    let source = rows.source(first + y).zip(columns.source(x));
                    roles[x] = source.map_or(Role::Zero, |(y, x)| {
                        let index = self.layer.input_index([piece.group, channel], [y, x]);
                        let known = core::mem::replace(&mut is_known[index], true);
                        if known { Role::Known(index) } else { Role::Fresh(index) }
                    });
                }
            }
        }
        roles
    }

    /// The exponents of a weight polynomial, and which weights they have.
    pub(crate) fn weights(&self, group: usize, input: usize, output: usize) -> impl Iterator<Item = (usize, usize)> {
        let [rows, columns] = self.layer.axes;
        let inputs = self.chunk(0, input);
        let layout = *self;
        self.chunk(1, output).enumerate().flat_map(move |(block, to)| {
            inputs.clone().enumerate().flat_map(move |(slot, from)| {
                (0..rows.kernel * columns.kernel).map(move |tap| {
                    let [y, x] = [tap / columns.kernel, tap % columns.kernel];
                    let down = slot * layout.plane() + y * rows.dilation * layout.width() + x * columns.dilation;
                    let block = block * layout.channels[0] * layout.plane();
                    (block + layout.first_output() - down, layout.layer.weight_index(group, [from, to], [y, x]))
                })
            })
        })
    }

    /// The exponents of the outputs in an output polynomial, and which outputs they are.
    pub(crate) fn outputs(&self, tile: usize, group: usize, chunk: usize) -> impl Iterator<Item = (usize, usize)> {
        let [rows, columns] = self.layer.axes;
        let layout = *self;
        self.chunk(1, chunk).enumerate().flat_map(move |(block, channel)| {
            (0..layout.rows_of(tile) * columns.outputs).map(move |output| {
                let [y, x] = [output / columns.outputs, output % columns.outputs];
                let place = y * rows.stride * layout.width() + x * columns.stride;
                let block = block * layout.channels[0] * layout.plane();
                let index = layout.layer.output_index([group, channel], [tile * layout.rows + y, x]);
                (block + layout.first_output() + place, index)
            })
        })
    }
}

/// Coefficients of one channel over all tiles: those that an output reads, and the elements of the input among them.
struct Counts {
    read: usize,
    distinct: usize,
}

impl Counts {
    fn of(layout: &Layout) -> Self {
        let [rows, columns] = &layout.layer.axes;
        let (across, sources_across) = read(columns, columns.outputs, 0, &mut vec![false; columns.input]);
        let mut seen = vec![false; rows.input];
        let (mut down, mut sources_down) = (0, 0);
        for tile in 0..layout.tiles() {
            let counts = read(rows, layout.rows_of(tile), tile * layout.rows * rows.stride, &mut seen);
            down += counts.0;
            sources_down += counts.1;
        }
        Self { read: down * across, distinct: sources_down * sources_across }
    }
}

/// The positions that `outputs` outputs read from position `first` on, and how many of their sources were not seen before.
fn read(axis: &Axis, outputs: usize, first: usize, seen: &mut [bool]) -> (usize, usize) {
    let (mut positions, mut sources) = (0, 0);
    for position in (0..axis.extent(outputs)).filter(|&position| axis.is_read(outputs, position)) {
        positions += 1;
        let source = axis.source(first + position);
        sources += usize::from(source.is_some_and(|source| !core::mem::replace(&mut seen[source], true)));
    }
    (positions, sources)
}
