//! The truncating ReLU for any number of parties: 3 rounds, 5.5 bytes per element with k = 32.
//!
//! From the opened c and β of [`sign`], with α = c − 2^{k−2} and γ = 2^k·(1 − c_top) public,
//! relu(y) = β·y + (1 − 2β)·d·y is linear in dealt values: y = α − r + γ·r_top and d·y = α·d − d·r + γ·d·r_top.

use mpc_ring::Ring;
use mpc_ring::kernels::vectorized;
use mpc_shares::ArithmeticShares;
use mpc_transport::Traffic;

use crate::correlation::{Deal, Dealing, Fields, products};
use crate::sign::{self, SignMask, SignParameters, SignShape, open_sign};
use crate::truncation::{lifted, lifted_times_bit, top_bits};
use crate::{Correlation, Party, ProtocolError, Request};

/// One party's share of what one truncating ReLU needs: consumed by its use.
#[derive(Debug)]
pub struct ReluMask<R: Ring> {
    parameters: SignParameters,
    sign: SignMask<R>,
    /// r_top, modulo 2^{w−k} for a result of w bits.
    top: ArithmeticShares<R>,
    /// d·r.
    flipped_mask: ArithmeticShares<R>,
    /// d·r_top, likewise.
    flipped_top: ArithmeticShares<R>,
}

impl<R: Ring> Correlation for ReluMask<R> {
    type Shape = SignShape;
    type Ring = R;

    fn request(shape: &SignShape) -> Request {
        Request::Relu { len: shape.len, parameters: shape.parameters }
    }

    fn from_fields(shape: &SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let sign = SignMask::from_fields(shape, fields)?;
        let SignShape { len, parameters } = *shape;
        let width = fields.width();
        let top_bits = width.saturating_sub(parameters.bits());
        Ok(Self {
            parameters,
            sign,
            top: fields.dealt(len, top_bits),
            flipped_mask: fields.dealt(len, width),
            flipped_top: fields.dealt(len, top_bits),
        })
    }
}

impl<R: Ring> Deal<R> for ReluMask<R> {
    async fn deal(shape: &SignShape, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let dealt = sign::deal(*shape, dealing).await?;
        let top = top_bits(&dealt.mask, shape.parameters.bits());
        let (flipped_mask, flipped_top) = (products(&dealt.mask, &dealt.flip), products(&top, &dealt.flip));
        dealing.dealt(top).await?;
        dealing.dealt(flipped_mask).await?;
        dealing.dealt(flipped_top).await
    }
}

/// Shares of max(0, x / 2^`shift`), in the full ring; `shift` = 0 gives the plain ReLU, exactly.
///
/// The error is at most n/2 units in the last place, for |x / 2^`shift`| < 2^{k−2} − n.
///
/// # Security
/// As for [`sign::is_non_negative`]: everything opened is masked by uniform dealt values.
///
/// # Rounds and communication
/// 3 rounds; k + 2L bits per element to each other party: 5.5 bytes for k = 32 ([`sign::traffic`]).
///
/// # Errors
/// [`ProtocolError::Parameter`] if k bits do not remain after the shift; [`ProtocolError::WrongCorrelation`];
/// [`ProtocolError::Transport`].
pub async fn relu<R: Ring>(
    party: &mut Party,
    x: &ArithmeticShares<R>,
    shift: u32,
    correlation: ReluMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let ReluMask { parameters, sign, top, flipped_mask, mut flipped_top } = correlation;
    let bits = parameters.bits();
    let opened = open_sign(party, x.elements(), shift, sign).await?;
    let dealt = Dealt {
        first: party.is_first(),
        bits,
        mask: opened.mask(),
        flip: opened.flip(),
        top: top.elements(),
        flipped_mask: flipped_mask.elements(),
    };
    vectorized(|| {
        let blocks = flipped_top.elements_mut().chunks_mut(BLOCK).zip(opened.opened().chunks(BLOCK));
        for (block, ((results, opened), &beta)) in blocks.zip(opened.flipped()).enumerate() {
            dealt.apply(block * BLOCK, opened, beta, results);
        }
    });
    Ok(flipped_top.reshape(x.shape())?)
}

/// Elements whose β fill a word.
const BLOCK: usize = u64::BITS as usize;

/// A party's shares of what was dealt for a ReLU, but for d·r_top.
struct Dealt<'a, R: Ring> {
    first: bool,
    bits: u32,
    mask: &'a [R],
    flip: &'a [R],
    top: &'a [R],
    flipped_mask: &'a [R],
}

impl<R: Ring> Dealt<'_, R> {
    /// β·y + (1 − 2β)·d·y in place of d·r_top, for the elements from `start` on.
    #[inline(always)]
    fn apply(&self, start: usize, opened: &[R], beta: u64, results: &mut [R]) {
        let &Self { first, bits, .. } = self;
        let dealt = [self.mask, self.flip, self.top, self.flipped_mask];
        let [mask, flip, top, flipped_mask] = dealt.map(|shares| &shares[start..][..results.len()]);
        let opened = &opened[..results.len()];
        for i in 0..results.len() {
            let y = lifted(first, opened[i], bits, mask[i], top[i]);
            let flipped_y = lifted_times_bit(opened[i], bits, flip[i], flipped_mask[i], results[i]);
            // With β as a mask.
            let beta = R::from_u64((beta >> i) & 1).wrapping_neg();
            results[i] = (y & beta).wrapping_add((flipped_y ^ beta).wrapping_sub(beta));
        }
    }
}

/// The traffic of each party in [`relu`].
#[must_use]
pub fn traffic(shape: SignShape, parties: usize) -> Traffic {
    sign::traffic(shape, parties)
}
