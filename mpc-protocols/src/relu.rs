//! The truncating ReLU for any number of parties: 3 rounds, 5.5 bytes per element with k = 32.
//!
//! From the opened c and β of [`sign`], with α = c − 2^{k−2} and γ = 2^k·(1 − c_top) public,
//! relu(y) = β·y + (1 − 2β)·d·y is linear in dealt values: y = α − r + γ·r_top and d·y = α·d − d·r + γ·d·r_top.

use mpc_ring::kernels::{Work, vectorized_whole};
use mpc_ring::{Ring, threads};
use mpc_shares::{ArithmeticShares, SecretVec};
use mpc_transport::Traffic;

use crate::binary::times_bit;
use crate::correlation::{AtRest, BLOCK, Deal, Dealing, Fields};
use crate::sign::masks::deal_flipped;
use crate::sign::{self, DealtSign, SignMask, SignParameters, SignShape, open_sign};
use crate::truncation::{deal_top_bits, lifted, lifted_times_bit};
use crate::{Correlation, Party, ProtocolError, Request};

/// One party's share of what one truncating ReLU needs: consumed by its use.
#[derive(Debug)]
pub struct ReluMask<R: Ring> {
    parameters: SignParameters,
    sign: SignMask<R>,
    /// r_top, modulo 2^{w−k} for a result of w bits.
    top: AtRest<R>,
    /// d·r.
    flipped_mask: AtRest<R>,
    /// d·r_top, likewise.
    flipped_top: AtRest<R>,
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
        let (DealtSign { mask, flip }, bits) = (sign::deal(*shape, dealing).await?, shape.parameters.bits());
        deal_top_bits(dealing, &mask, bits).await?;
        deal_flipped(dealing, &mask, &flip, bits).await
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
/// 3 rounds; k + 2L bits per element to each other party: 5.5 bytes for k = 32 ([`sign::traffic`]). In few bytes 4 rounds and 57 bits.
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
    let ReluMask { parameters, sign, top, flipped_mask, flipped_top } = correlation;
    let opened = open_sign(party, x.elements(), shift, sign).await?;
    let (first, dealt) = (party.is_first(), [opened.mask(), opened.flip(), &top, &flipped_mask]);
    let mut results = SecretVec::zeros(x.len());
    let blocks = |len| dealt.map(|_| SecretVec::zeros(len));
    threads::for_each_block(&mut results, BLOCK, blocks, |from, results, blocks| {
        for (block, shares) in blocks.iter_mut().zip(dealt) {
            shares.read(from, &mut block[..results.len()]);
        }
        flipped_top.read(from, results);
        let (values, beta) = (&opened.opened()[from..], &opened.flipped()[from / WORD..]);
        let dealt = blocks.each_ref().map(|block| &block[..]);
        vectorized_whole(Apply { first, bits: parameters.bits(), opened: values, beta, dealt, results });
    });
    Ok(ArithmeticShares::new(x.shape(), results.into_vec())?)
}

/// Elements whose β fill a word.
const WORD: usize = u64::BITS as usize;

/// β·y + (1 − 2β)·d·y in place of d·r_top, from this party's shares of r, d, r_top and d·r.
struct Apply<'a, R> {
    first: bool,
    bits: u32,
    opened: &'a [R],
    beta: &'a [u64],
    dealt: [&'a [R]; 4],
    results: &'a mut [R],
}

impl<R: Ring> Work for Apply<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { first, bits, opened, beta, dealt, results } = self;
        for (word, ((results, opened), &beta)) in
            results.chunks_mut(WORD).zip(opened.chunks(WORD)).zip(beta).enumerate()
        {
            let [mask, flip, top, flipped_mask] = dealt.map(|shares| &shares[word * WORD..][..results.len()]);
            for i in 0..results.len() {
                let y = lifted(first, opened[i], bits, mask[i], top[i]);
                let flipped_y = lifted_times_bit(opened[i], bits, flip[i], flipped_mask[i], results[i]);
                let beta = R::from_u64((beta >> i) & 1).wrapping_neg();
                results[i] = times_bit(y, flipped_y, beta);
            }
        }
    }
}

/// The traffic of each party in [`relu`].
#[must_use]
pub fn traffic(shape: SignShape, parties: usize) -> Traffic {
    sign::traffic(shape, parties)
}
