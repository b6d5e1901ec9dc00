//! Smooth functions on a bounded interval: a dealt rotated table of quadratic polynomials, read at one public entry.
//!
//! The argument is u in [0, 2^w − h), h = 2^{w−m}, and a is uniform in w bits. Everybody opens e = u + a mod 2^w. Let
//! v = ⌊e/h⌋ and ε = e mod h, and in the same way a = a_hi·h + α. Then u lies δ = ε − α away from the begin of segment
//! j = v − a_hi mod 2^m: in the segment itself or, if δ < 0, in the one before. (Without a wrap u = e − a = j·h + δ, and
//! with one 2^w is added on both sides. For j = 0 the segment before would be the last one, in which u never is.)
//! So one polynomial p_j for both segments serves entry v, whatever α is, and the dealer, who knows a, deals shares of
//! its coefficients in the public ε,
//!
//! p_j(ε − α) = (c_0 − c_1·α + c_2·α²) + (c_1 − 2·c_2·α)·ε + c_2·ε²,
//!
//! for every v. The parties read the entry v of their shares, add up, and truncate by the g bits by which the
//! coefficients are finer than the result.
//!
//! One-time tables: Ishai, Kushilevitz, Meldgaard, Orlandi, Paskin-Cherniavsky, "On the power of correlated randomness
//! in secure computation" (TCC 2013).

mod layout;
mod table;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use mpc_ring::{Ring, threads};
use mpc_shares::{ArithmeticShares, SecretVec};
use mpc_transport::Traffic;
use subtle::Choice;

use crate::correlation::{AtRest, Deal, Dealing, Expansion, Fields};
use crate::error::check_correlation;
use crate::open::{self, open_masked};
use crate::truncation::{self, LiftMask, LiftShape, truncate};
use crate::{Correlation, Party, ProtocolError, Request};

pub use layout::Layout;
pub use table::Table;

pub(crate) use layout::{MARGIN, Polynomials};

/// The number of elements and the table of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupShape {
    /// The number of elements.
    pub len: usize,
    /// The function and its scales.
    pub table: Table,
}

/// One party's share of what one lookup needs: consumed by its use.
///
/// The share of the tables is expanded as it is read: at the last party it takes the bytes that the dealer sent, at the
/// others 32 bytes.
pub struct LookupMask<R: Ring> {
    layout: Layout,
    /// a, of which only the low w bits are used.
    mask: AtRest<R>,
    /// 2^m entries of three coefficients for each element.
    tables: Expansion,
    lift: LiftMask<R>,
}

impl<R: Ring> core::fmt::Debug for LookupMask<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LookupMask").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl<R: Ring> Correlation for LookupMask<R> {
    type Shape = LookupShape;
    type Ring = R;

    fn request(shape: &LookupShape) -> Request {
        Request::Lookup { len: shape.len, table: shape.table }
    }

    fn from_fields(shape: &LookupShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let layout = shape.table.layout(R::BITS)?;
        Ok(Self {
            layout,
            mask: fields.uniform(shape.len, layout.argument_bits()),
            tables: fields.expansion(shape.len, layout.elements(), layout.entry_bits),
            lift: LiftMask::from_fields(&LiftShape { len: shape.len, bits: layout.result_bits }, fields)?,
        })
    }
}

impl<R: Ring> Deal<R> for LookupMask<R> {
    async fn deal(shape: &LookupShape, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let Polynomials { layout, coefficients, .. } = shape.table.polynomials(R::BITS)?;
        let masks = dealing.uniform();
        let coefficients: Vec<[R; 3]> = coefficients.iter().map(|c| c.map(R::from_i128)).collect();
        let rotation = Rotation { layout, coefficients };
        let mut before = SecretVec::zeros(layout.elements());
        dealing.expansion(|element, table| rotation.table(masks[element].low_u64(), table, &mut before)).await?;
        LiftMask::deal(&LiftShape { len: shape.len, bits: layout.result_bits }, dealing).await
    }
}

/// The maker of rotated tables.
struct Rotation<R: Ring> {
    layout: Layout,
    coefficients: Vec<[R; 3]>,
}

impl<R: Ring> Rotation<R> {
    /// The polynomials in ε for the mask a, rotated by a_hi without an index or a branch that depends on it; `before` is scratch of
    /// the table's length.
    fn table(&self, mask: u64, table: &mut [R], before: &mut [R]) {
        let Layout { index_bits, segment_bits, .. } = self.layout;
        let offset = mask & u64::low_mask(segment_bits);
        let (alpha, alpha_square) = (R::from_u64(offset), R::from_u128(u128::from(offset) * u128::from(offset)));
        for (entry, &[c0, c1, c2]) in table.as_chunks_mut::<3>().0.iter_mut().zip(&self.coefficients) {
            let constant = c0.wrapping_sub(c1.wrapping_mul(alpha)).wrapping_add(c2.wrapping_mul(alpha_square));
            *entry = [constant, c1.wrapping_sub((c2 << 1).wrapping_mul(alpha)), c2];
        }
        for bit in 0..index_bits {
            before.copy_from_slice(table);
            // Behind its barrier the compiler does not know of two values only, and so makes no two loops of this one.
            let chosen = Choice::from(((mask >> (segment_bits + bit)) & 1) as u8);
            let by = 3 << bit;
            let moved = before[before.len() - by..].iter().chain(before.iter());
            for ((to, &stays), &moves) in table.iter_mut().zip(before.iter()).zip(moved) {
                *to = R::select(chosen, moves, stays);
            }
        }
    }
}

/// Shares of g(x), in the full ring at the table's output scale, g being the table's function.
///
/// `u` is the argument in the layout's units: u = multiplier·(x − low) for x in units in the last place, in
/// [0, multiplier·span]. Outside, the result is meaningless.
///
/// # Security
/// Opened are u + a modulo 2^w, uniform since a is uniform in w bits, and what [`truncate`] opens. The entry that is read
/// is public and says nothing, since the table is rotated by a.
///
/// # Rounds and communication
/// 2 rounds; w + k bits per element to each other party, w and k being the layout's
/// [`argument_bits`](Layout::argument_bits) and [`result_bits`](Layout::result_bits) ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`].
pub async fn look_up<R: Ring>(
    party: &mut Party,
    u: &ArithmeticShares<R>,
    correlation: LookupMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let LookupMask { layout, mask, tables, lift } = correlation;
    check_correlation("look_up", "elements", mask.len(), u.len())?;
    let opened = open_masked(party, u.elements(), &mask, layout.argument_bits()).await?;
    let mut values = SecretVec::zeros(u.len());
    threads::for_each_block(
        &mut values,
        1,
        |_| (),
        |item, value, ()| {
            let e = opened[item].low_u64();
            let epsilon = R::from_u64(e & u64::low_mask(layout.segment_bits));
            let [q0, q1, q2]: [R; 3] = tables.read(item, 3 * (e >> layout.segment_bits) as usize);
            value[0] = q0.wrapping_add(epsilon.wrapping_mul(q1.wrapping_add(epsilon.wrapping_mul(q2))));
        },
    );
    truncate(party, &ArithmeticShares::new(u.shape(), values.into_vec())?, layout.guard_bits, lift).await
}

/// The traffic of each party in [`look_up`], in a ring of `ring_bits` bits.
///
/// # Errors
/// [`ProtocolError::Parameter`] as for [`Table::layout`].
pub fn traffic(shape: LookupShape, ring_bits: u32, parties: usize) -> Result<Traffic, ProtocolError> {
    let layout = shape.table.layout(ring_bits)?;
    let lift = LiftShape { len: shape.len, bits: layout.result_bits };
    Ok(open::traffic(shape.len, layout.argument_bits(), parties) + truncation::traffic(lift, parties))
}
