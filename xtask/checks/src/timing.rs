//! Whether secrets change how long the kernels take that Valgrind cannot run: fixed ones against random ones, compared by
//! Welch's t-test.
//!
//! Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?" (DATE 2017).

use std::hint::black_box;
use std::time::Instant;

use mpc_protocols::fourier::{Series, SeriesShape, evaluate};
use mpc_protocols::function::Function;
use mpc_protocols::lookup::{LookupShape, Table, look_up};
use mpc_protocols::maximum::{Grouping, Level, Tournament, maximum_of};
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape, Variant};
use mpc_protocols::{ProtocolError, Request, in_process};
use mpc_ring::kernels::{TABLE_BLOCK, lookup};
use mpc_ring::{
    Backend, Convolution, MatrixProduct, Ring, convolution_packed_modulo_with, matrix_product, pack_weights_with,
    packing,
};
use mpc_shares::{ArithmeticShares, Prg, Seed};

use crate::inference::Failure;

/// Measurements of each case.
const SAMPLES: usize = 20_000;
/// The part of them that is kept: the slowest were interrupted.
const KEPT: f64 = 0.9;
/// The statistic beyond which the times differ.
const LIMIT: f64 = 4.5;

/// Measures every case with AVX-512, convolutions by byte tiles where the machine has them, and a control that must differ.
pub fn run() -> Result<(), Failure> {
    if !Backend::Avx512.is_available() {
        println!("avx512: skipped, this machine has none");
        return Ok(());
    }
    println!(
        "{:?}: fixed secrets against random ones, {SAMPLES} times; |t| above {LIMIT} is a difference",
        Backend::Avx512.choose()
    );
    println!("{:<38}{:>12}{:>12}{:>9}", "", "fixed ns", "random ns", "t");
    let mut generator = Prg::new(Seed::from_system()?);
    let (zeros, mut drawn) = (vec![0; WORDS], vec![0; WORDS]);
    u64::fill_random(&mut drawn, &mut generator);
    let control = compare("control: a branch on each secret bit", &mut generator, &zeros, |words| {
        words
            .iter()
            .take(16)
            .map(|&word| if black_box(word & 1) == 1 { black_box(word.count_ones()) } else { 0 })
            .sum::<u32>()
    });
    let mut different = Vec::new();
    let mut note = |name: &'static str, t: f64| {
        if t.abs() > LIMIT {
            different.push(name)
        }
    };
    for (name, work) in kernels() {
        note(name, compare(name, &mut generator, &zeros, work));
    }
    // Where all buffers are zeros, which those of shares never are, memory and tiles may be faster by some thousandths.
    for (name, work) in tiles() {
        note(name, compare(name, &mut generator, &drawn, work));
    }
    for (name, work) in protocols()? {
        note(name, compare(name, &mut generator, &zeros, work));
    }
    if control.abs() <= LIMIT {
        return Err("the control's difference was not seen: is the machine busy?".into());
    }
    if different.is_empty() {
        Ok(())
    } else {
        Err(format!("times differ, unless chance did it: {}", different.join("; ")).into())
    }
}

/// Secret words: a case takes from them what it needs.
const WORDS: usize = 4096;

type Work = Box<dyn FnMut(&[u64]) -> u32>;

/// Measures some work with one secret and with others, in random turns; prints and gives the statistic.
fn compare(name: &str, generator: &mut Prg, fixed: &[u64], mut work: impl FnMut(&[u64]) -> u32) -> f64 {
    let mut secret = vec![0u64; WORDS];
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        // Drawn and masked in both cases, so that the cache is the same.
        u64::fill_random(&mut secret, generator);
        let is_fixed = secret[0] & 1 == 1;
        let mask = black_box(if is_fixed { 0 } else { u64::MAX });
        secret.iter_mut().zip(fixed).for_each(|(word, fixed)| *word = *word & mask | fixed & !mask);
        let begun = Instant::now();
        black_box(work(black_box(&secret)));
        samples.push((begun.elapsed().as_nanos() as f64, is_fixed));
    }
    samples.sort_by(|x, y| x.0.total_cmp(&y.0));
    samples.truncate((SAMPLES as f64 * KEPT) as usize);
    let class =
        |wanted| samples.iter().filter(move |sample| sample.1 == wanted).map(|sample| sample.0).collect::<Vec<_>>();
    let [(n, mean, variance), (m, other, other_variance)] = [moments(&class(true)), moments(&class(false))];
    let t = (mean - other) / (variance / n + other_variance / m).sqrt();
    println!("{name:<38}{mean:>12.1}{other:>12.1}{t:>9.2}");
    t
}

/// Number, mean and variance.
fn moments(samples: &[f64]) -> (f64, f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    (count, mean, squares / (count - 1.0))
}

fn kernels() -> Vec<(&'static str, Work)> {
    let product = MatrixProduct { rows: 16, inner: 64, columns: 32 };
    let shape = Convolution { padding: [1; 4], ..Convolution::valid([4, 8], [16, 16], [3, 3]) };
    vec![
        ("matrix product, Z_2^64", Box::new(move |words| multiply(product, words))),
        ("matrix product, Z_2^32", Box::new(move |words| multiply(product, &narrow(words)))),
        ("convolution, Z_2^64", Box::new(move |words| convolve(Backend::Avx512, &shape, words))),
        ("convolution, Z_2^32", Box::new(move |words| convolve(Backend::Avx512, &shape, &narrow(words)))),
        (
            "tables of comparisons",
            Box::new(|words| {
                let Some(tables) = words.first_chunk() else { return 0 };
                let indices = [0x1357_9bdf; TABLE_BLOCK];
                (0..64).fold(0, |sum, _| sum ^ lookup(black_box(tables), &indices, 5, true)[0] as u32)
            }),
        ),
        (
            "packing of 33 bits",
            Box::new(|words| {
                let mut bytes = vec![0; packing::packed_len(words.len(), 33)];
                packing::pack(words, 33, &mut bytes);
                u32::from(bytes[7])
            }),
        ),
    ]
}

fn narrow(words: &[u64]) -> Vec<u32> {
    words.iter().map(|&word| word as u32).collect()
}

/// Convolutions by byte tiles, where the machine has them.
fn tiles() -> Vec<(&'static str, Work)> {
    let shape = Convolution { padding: [1; 4], ..Convolution::valid([16, 16], [8, 8], [3, 3]) };
    if !Backend::Amx.is_available() {
        return Vec::new();
    }
    vec![
        ("convolution by byte tiles, Z_2^64", Box::new(move |words| convolve(Backend::Amx, &shape, words))),
        ("convolution by byte tiles, Z_2^32", Box::new(move |words| convolve(Backend::Amx, &shape, &narrow(words)))),
    ]
}

fn multiply<R: Ring>(shape: MatrixProduct, elements: &[R]) -> u32 {
    let (left, rest) = elements.split_at(shape.rows * shape.inner);
    let mut output = vec![R::ZERO; shape.rows * shape.columns];
    matrix_product(shape, left, &rest[..shape.inner * shape.columns], &mut output);
    output[0].low_u64() as u32
}

fn convolve<R: Ring>(backend: Backend, shape: &Convolution, elements: &[R]) -> u32 {
    let (input, rest) = elements.split_at(shape.input_len());
    let weights = &rest[..shape.weight_len()];
    let mut packed = vec![R::ZERO; shape.packed_len_with::<R>(backend)];
    pack_weights_with(backend, shape, weights, &mut packed);
    let (mut output, mut scratch) = (vec![R::ZERO; shape.output_len()], vec![R::ZERO; shape.scratch_len()]);
    convolution_packed_modulo_with(backend, R::BITS, shape, input, weights, &packed, &mut output, &mut scratch);
    output[0].low_u64() as u32
}

/// Whole protocols, dealer included: their secrets are the seed and the inputs.
fn protocols() -> Result<Vec<(&'static str, Work)>, Failure> {
    let parameters = SignParameters::new(32)?;
    let len = 128;
    let table = Table { function: Function::Sigmoid, input_bits: 16, output_bits: 16, limit_bits: 29 };
    let shape = LookupShape { len: 8, table };
    let series = Series::of(table, 64)?.ok_or("a sigmoid has a series")?;
    Ok(vec![
        ("ReLU with its dealer, 2 parties", relus(len, parameters)),
        ("ReLU in few bytes with its dealer, 2 parties", relus(len, parameters.with_variant(Variant::FewBytes))),
        (
            "largest of four with its dealer, 2 parties",
            Box::new(move |words| {
                let tournament = Tournament { candidates: 4, len, parameters, grouping: Grouping::Four };
                let levels = tournament.levels();
                let plan: Vec<_> = levels.iter().map(Level::request::<u64>).collect();
                in_turn(&plan, words, async |party, source| {
                    let candidates = (0..4).map(|at| share(&words[at..], party.index(), len)).collect();
                    maximum_of(party, candidates, vec![levels[0].draw(64, source).await?]).await
                })
            }),
        ),
        (
            "sigmoid's tables and their dealer",
            Box::new(move |words| {
                in_turn(&[Request::Lookup { len: 8, table }], words, async |party, source| {
                    let u = share(words, party.index(), 8);
                    look_up(party, &u, source.next(shape).await?).await
                })
            }),
        ),
        (
            "sigmoid's series and its dealer",
            Box::new(move |words| {
                in_turn(&[Request::Series { len, series }], words, async |party, source| {
                    let u = share(words, party.index(), len);
                    evaluate(party, &u, source.next(SeriesShape { len, series }).await?).await
                })
            }),
        ),
    ])
}

fn relus(len: usize, parameters: SignParameters) -> Work {
    Box::new(move |words| {
        in_turn(&[Request::Relu { len, parameters }], words, async |party, source| {
            let x = share(words, party.index(), len);
            relu(party, &x, 16, source.next(SignShape { len, parameters }).await?).await
        })
    })
}

/// A party's share of a secret.
fn share(words: &[u64], party: usize, len: usize) -> ArithmeticShares<u64> {
    ArithmeticShares::from_elements(words[(party + 1) * len..][..len].to_vec())
}

fn in_turn(
    plan: &[Request],
    words: &[u64],
    protocol: impl AsyncFn(
        &mut mpc_protocols::Party,
        &mut mpc_protocols::CorrelationSource<'_>,
    ) -> Result<ArithmeticShares<u64>, ProtocolError>,
) -> u32 {
    let mut seed = [0; Seed::BYTES];
    seed.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
    let outcomes = in_process::run_on_one_thread::<u64, _>(2, plan, Seed::from_bytes(seed), protocol);
    outcomes.map_or(0, |outcomes| outcomes[0].output.elements()[0] as u32)
}
