//! Tensors of shares and of floating point, for operations of any rank.

use mpc_shares::{SecretVec, ShareError};
use ndarray::{ArrayViewD, ArrayViewMutD, IxDyn};

use super::prelude::*;

/// A tensor in row-major order.
pub(super) fn from_elements(shape: &[usize], elements: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), elements).expect("as many elements as the shape has")
}

/// A view of shares in their shape.
pub(super) fn view<R: Ring>(shares: &ArithmeticShares<R>) -> ArrayViewD<'_, R> {
    ArrayViewD::from_shape(IxDyn(shares.shape()), shares.elements())
        .expect("shares have as many elements as their shape")
}

pub(super) fn view_mut<R: Ring>(shares: &mut ArithmeticShares<R>) -> ArrayViewMutD<'_, R> {
    let shape = IxDyn(shares.shape());
    ArrayViewMutD::from_shape(shape, shares.elements_mut()).expect("shares have as many elements as their shape")
}

/// A copy, for a value that other steps still read.
pub(super) fn copy<R: Ring>(x: &ArithmeticShares<R>) -> ArithmeticShares<R> {
    ArithmeticShares::new(x.shape(), SecretVec::copy_of(x.elements()).into_vec()).expect("the shape is the same")
}

pub(super) fn zeros<R: Ring>(shape: &[usize]) -> Result<ArithmeticShares<R>, ShareError> {
    ArithmeticShares::new(shape, SecretVec::zeros(shape.iter().product()).into_vec())
}

/// The sum with a public integer, which party 0 adds.
pub(super) fn offset<R: Ring>(mut x: ArithmeticShares<R>, value: i128, party: usize) -> ArithmeticShares<R> {
    if party == 0 {
        let value = R::from_i128(value);
        x.elements_mut().iter_mut().for_each(|x| *x = x.wrapping_add(value));
    }
    x
}

/// The result of `apply` on each element, in the clear.
pub(super) fn map<R: Ring>(x: &[R], apply: impl Fn(i128) -> i128) -> Vec<R> {
    x.iter().map(|x| R::from_i128(apply(x.to_i128()))).collect()
}

/// The largest of the tensors' elements at each position, in the clear.
pub(super) fn largest<R: Ring>(candidates: &[ArithmeticShares<R>]) -> Vec<R> {
    let len = candidates.first().map_or(0, ArithmeticShares::len);
    let at = |position: usize| candidates.iter().map(|c| c.elements()[position].to_i128()).max().unwrap_or(0);
    (0..len).map(|position| R::from_i128(at(position))).collect()
}
