//! Arithmetic sharings: x = Σ x_i modulo 2^ℓ.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use mpc_ring::Ring;
use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Prg, SecretVec, Seed, ShareError, check_parties};

/// One party's arithmetic shares of a tensor: the shared tensor is the sum of all parties' shares modulo 2^ℓ.
///
/// Zeroised on drop, not `Clone`, redacted in `Debug`. The elements are in row-major order. One party's elements alone
/// are uniformly random; only [`reconstruct`](Self::reconstruct), from the shares of all, gives the secret. Elements are
/// compared in constant time.
///
/// ```
/// use mpc_shares::{ArithmeticShares, Prg, Seed};
/// let mut generator = Prg::new(Seed::from_system()?);
/// let shares = ArithmeticShares::split(&[2, 2], &[1u64, 2, 3, 4], 3, &mut generator)?;
/// assert_eq!(ArithmeticShares::reconstruct(&shares)?, [1, 2, 3, 4]);
/// # Ok::<(), mpc_shares::ShareError>(())
/// ```
///
/// They cannot be copied:
///
/// ```compile_fail,E0599
/// let shares = mpc_shares::ArithmeticShares::from_elements(vec![1u64]);
/// let twice = shares.clone();
/// ```
pub struct ArithmeticShares<R: Ring> {
    shape: Vec<usize>,
    elements: SecretVec<R>,
}

impl<R: Ring> ArithmeticShares<R> {
    /// Shares from one party's elements in row-major order.
    ///
    /// # Errors
    /// [`ShareError::Length`] if the shape does not hold that many elements.
    pub fn new(shape: &[usize], elements: Vec<R>) -> Result<Self, ShareError> {
        Self::of(shape, elements.into())
    }

    fn of(shape: &[usize], elements: SecretVec<R>) -> Result<Self, ShareError> {
        let shares = Self { shape: shape.to_vec(), elements };
        if elements_of(shape) == Some(shares.len()) {
            Ok(shares)
        } else {
            Err(ShareError::Length { shape: shape.to_vec(), elements: shares.len() })
        }
    }

    /// Shares of zeros.
    pub(crate) fn zeros(shape: &[usize]) -> Result<Self, ShareError> {
        let len = elements_of(shape).ok_or(ShareError::Length { shape: shape.to_vec(), elements: usize::MAX })?;
        Self::of(shape, SecretVec::zeros(len))
    }

    /// Shares in one dimension.
    #[must_use]
    pub fn from_elements(elements: Vec<R>) -> Self {
        Self { shape: vec![elements.len()], elements: elements.into() }
    }

    /// The shape of the shared tensor.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// This party's elements, for protocols.
    #[must_use]
    pub fn elements(&self) -> &[R] {
        &self.elements
    }

    /// This party's elements, for protocols.
    #[must_use]
    pub fn elements_mut(&mut self) -> &mut [R] {
        &mut self.elements
    }

    /// Gives the elements away; who takes them zeroises them.
    #[must_use]
    pub fn into_elements(self) -> Vec<R> {
        self.elements.into_vec()
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// [`ShareError::Length`] if the shape does not hold that many elements.
    pub fn reshape(self, shape: &[usize]) -> Result<Self, ShareError> {
        Self::of(shape, self.elements)
    }

    /// Shares of −x.
    #[must_use]
    pub fn negate(mut self) -> Self {
        self.elements.iter_mut().for_each(|x| *x = x.wrapping_neg());
        self
    }

    /// Shares of c·x for a public c.
    #[must_use]
    pub fn scale(mut self, factor: R) -> Self {
        self.elements.iter_mut().for_each(|x| *x = x.wrapping_mul(factor));
        self
    }

    /// Shares of x + y, in place.
    ///
    /// # Errors
    /// [`ShareError::ShapesDiffer`].
    pub fn add(&mut self, other: &Self) -> Result<(), ShareError> {
        self.zip(other, R::wrapping_add)
    }

    /// Shares of x − y, in place.
    ///
    /// # Errors
    /// [`ShareError::ShapesDiffer`].
    pub fn subtract(&mut self, other: &Self) -> Result<(), ShareError> {
        self.zip(other, R::wrapping_sub)
    }

    /// Shares of x + c for a public c: party 0 alone adds it.
    ///
    /// # Errors
    /// [`ShareError::Length`] if there are not as many constants as elements.
    pub fn add_public(&mut self, party: usize, constants: &[R]) -> Result<(), ShareError> {
        if constants.len() != self.len() {
            return Err(ShareError::Length { shape: self.shape.clone(), elements: constants.len() });
        }
        if party == 0 {
            self.elements.iter_mut().zip(constants).for_each(|(x, &c)| *x = x.wrapping_add(c));
        }
        Ok(())
    }

    fn zip(&mut self, other: &Self, operation: impl Fn(R, R) -> R) -> Result<(), ShareError> {
        if self.shape != other.shape {
            return Err(ShareError::ShapesDiffer { left: self.shape.clone(), right: other.shape.clone() });
        }
        self.elements.iter_mut().zip(other.elements.iter()).for_each(|(x, &y)| *x = operation(*x, y));
        Ok(())
    }

    /// Splits a secret tensor among `parties`: all shares but the last are uniformly random.
    ///
    /// # Errors
    /// [`ShareError::Parties`], [`ShareError::Length`].
    pub fn split<G: CryptoRng + ?Sized>(
        shape: &[usize],
        secret: &[R],
        parties: usize,
        generator: &mut G,
    ) -> Result<Vec<Self>, ShareError> {
        check_parties(parties)?;
        let mut last = Self::of(shape, SecretVec::copy_of(secret))?;
        let mut shares = Vec::with_capacity(parties);
        for _ in 1..parties {
            let mut share = Self { shape: shape.to_vec(), elements: SecretVec::zeros(secret.len()) };
            R::fill_random(&mut share.elements, generator);
            last.subtract(&share)?;
            shares.push(share);
        }
        shares.push(last);
        Ok(shares)
    }

    /// Splits a secret tensor that its owner, one of the parties, keeps a share of: every other party's share is the
    /// expansion of its seed ([`from_seed`](Self::from_seed)), so that it costs 32 bytes to send, whatever the size.
    ///
    /// # Errors
    /// [`ShareError::Length`].
    pub fn split_by_seeds(shape: &[usize], secret: &[R], others: Vec<Seed>) -> Result<Self, ShareError> {
        let mut own = Self::of(shape, SecretVec::copy_of(secret))?;
        for seed in others {
            own.subtract(&Self::from_seed(shape, seed)?)?;
        }
        Ok(own)
    }

    /// The uniformly random share that a seed stands for.
    ///
    /// # Errors
    /// [`ShareError::Length`] if the shape overflows.
    pub fn from_seed(shape: &[usize], seed: Seed) -> Result<Self, ShareError> {
        let mut share = Self::zeros(shape)?;
        R::fill_random(&mut share.elements, &mut Prg::new(seed));
        Ok(share)
    }

    /// The secret, from the shares of all parties.
    ///
    /// # Errors
    /// [`ShareError::Parties`], [`ShareError::ShapesDiffer`].
    pub fn reconstruct(shares: &[Self]) -> Result<Vec<R>, ShareError> {
        check_parties(shares.len())?;
        let mut sum = Self { shape: shares[0].shape.clone(), elements: SecretVec::copy_of(&shares[0].elements) };
        for share in &shares[1..] {
            sum.add(share)?;
        }
        Ok(sum.into_elements())
    }
}

impl<R: Ring> ConstantTimeEq for ArithmeticShares<R> {
    /// Whether shape, which is public, and elements are equal.
    fn ct_eq(&self, other: &Self) -> Choice {
        let shapes = Choice::from(u8::from(self.shape == other.shape));
        self.elements.iter().zip(other.elements.iter()).fold(shapes, |equal, (&x, &y)| equal & x.equals(y))
    }
}

impl<R: Ring> PartialEq for ArithmeticShares<R> {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl<R: Ring> Eq for ArithmeticShares<R> {}

/// The number of elements of a shape, or `None` when it overflows.
fn elements_of(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length))
}

impl<R: Ring> Zeroize for ArithmeticShares<R> {
    fn zeroize(&mut self) {
        self.elements.zeroize();
    }
}

impl<R: Ring> ZeroizeOnDrop for ArithmeticShares<R> {}

impl<R: Ring> fmt::Debug for ArithmeticShares<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArithmeticShares").field("shape", &self.shape).finish_non_exhaustive()
    }
}
