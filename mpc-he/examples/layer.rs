//! A layer whose weights one party knows, on a mask that the other knows: both end with a share of the product, and neither
//! learned the other's operand.

use std::error::Error;

use mpc_he::{Ciphertext, Encryption, Evaluation, Hint, Layout, Linear, Modulus, PublicSeed, Weights};
use mpc_shares::{Prg, Seed};

/// Prints the bytes that travel, and the largest error.
pub fn main() -> Result<(), Box<dyn Error>> {
    // Both know the layer, and choose the layout for a hundred inferences.
    let layout = Layout::search(&Linear::left_product(4, 64, 1)?, Modulus::SMALLEST, 100, false)?;
    let weight_bits = 20;
    layout.noise(weight_bits)?.check(16)?;

    // Once: the holder of the weights draws the seed, and sends it with the hint.
    let mut owner = Prg::new(Seed::from_system()?);
    let seed = PublicSeed::random(&mut owner);
    let matrix: Vec<u64> = (0..4 * 64).map(|i| i * 1_009 % 65_536).collect();
    let (weights, hint) = Weights::new(&layout, &matrix, weight_bits, &seed, 0, &mut owner)?;
    println!("the hint has {} bytes, once", hint.len());
    let hint = Hint::from_bytes(&layout, &seed, 0, &hint)?;

    // For each inference: the holder of the mask sends two messages, and receives none.
    let mut holder = Prg::new(Seed::from_system()?);
    let (mut encryption, opening) = Encryption::begin(&seed, &mut holder);
    let encrypted = encryption.layer(&hint, None, &mut holder)?;
    println!("an inference has {} + {} bytes", opening.len(), encrypted.message.len());

    let evaluation = Evaluation::from_bytes(&opening)?;
    let message = Ciphertext::from_bytes(&layout, &encrypted.message)?;
    let share = evaluation.layer(&weights, &message, &mut owner)?;

    // Nobody can do this in earnest: it takes both operands.
    for (row, weights) in matrix.chunks_exact(64).enumerate() {
        let product =
            weights.iter().zip(&*encrypted.mask).fold(0u64, |sum, (w, a)| sum.wrapping_add(w.wrapping_mul(*a)));
        let sum = share[row].wrapping_add(encrypted.share[row]);
        let error = (sum.wrapping_sub(product) << 16) as i64 >> 16;
        println!("output {row}: the shares are off by {error} units of 2^-32");
        assert!(error.unsigned_abs() <= layout.noise(weight_bits)?.with_flooding());
    }
    Ok(())
}
