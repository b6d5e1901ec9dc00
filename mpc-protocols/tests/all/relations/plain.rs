//! Plain arithmetic of relations.

use mpc_protocols::Bilinear;
use mpc_ring::Ring;

pub fn top<R: Ring>(r: &[R], bits: u32) -> Vec<R> {
    r.iter().map(|&r| r >> (bits - 1)).collect()
}

pub fn products<R: Ring>(x: &[R], y: &[R]) -> Vec<R> {
    x.iter().zip(y).map(|(&x, &y)| x.wrapping_mul(y)).collect()
}

pub fn applied<R: Ring>(map: &Bilinear, a: &[R], b: &[R]) -> Vec<R> {
    let mut c = vec![R::ZERO; map.output_len()];
    map.accumulate(a, b, &mut c);
    c
}
