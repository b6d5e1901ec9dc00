//! A convolution over Z_{2^64} in fixed point, beside the same one in floating point.

use std::error::Error;

use mpc_ring::{Convolution, FixedPoint, convolution};

/// Convolves a small image with an edge detector, and prints both results.
pub fn main() -> Result<(), Box<dyn Error>> {
    let shape = Convolution::valid([1, 1], [3, 4], [2, 2]);
    shape.validate()?;
    let image: [f64; 12] = std::array::from_fn(|at| (at * at) as f64 / 8.0);
    let edges = [1.0, -1.0, 0.5, -0.5];

    let format = FixedPoint::new(16);
    let (mut input, mut weights, mut output) = ([0u64; 12], [0; 4], [0; 6]);
    format.encode_slice(&image, &mut input)?;
    format.encode_slice(&edges, &mut weights)?;
    let mut scratch = vec![0; shape.scratch_len()];
    convolution(&shape, &input, &weights, &mut output, &mut scratch);

    // A product of two encoded values has twice the fractional bits.
    for (at, &element) in output.iter().enumerate() {
        let (row, column) = (at / 3, at % 3);
        let pixel = |y: usize, x: usize| image[(row + y) * 4 + column + x];
        let expected =
            edges[0] * pixel(0, 0) + edges[1] * pixel(0, 1) + edges[2] * pixel(1, 0) + edges[3] * pixel(1, 1);
        let found: f64 = FixedPoint::new(32).decode(element);
        println!("({row}, {column}): {found:.4} in the ring, {expected:.4} in floating point");
        assert!((found - expected).abs() < 1e-3);
    }
    Ok(())
}
