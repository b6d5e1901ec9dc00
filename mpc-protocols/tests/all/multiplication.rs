use crate::common::{elements, parties, run, run_shared, split};
use mpc_protocols::fixed_weights::{self, FixedWeightShape, FixedWeights};
use mpc_protocols::{Bilinear, Request, beaver, open};
use mpc_ring::{Convolution, Ring};
use mpc_shares::ArithmeticShares;
use mpc_transport::Traffic;
use proptest::collection::vec;
use proptest::prelude::*;

/// The product in plain arithmetic.
fn product<R: Ring>(map: &Bilinear, x: &[R], y: &[R]) -> Vec<R> {
    let mut z = vec![R::ZERO; map.output_len()];
    map.accumulate(x, y, &mut z);
    z
}

fn multiplies<R: Ring>(map: Bilinear, x: &[R], y: &[R], parties: usize) {
    let (shares_x, shares_y) = (split(x, parties), split(y, parties));
    let traffic = beaver::traffic(&map, R::BITS, parties);
    let z = run_shared::<R>(parties, &[Request::Beaver(map)], traffic, async |party, source| {
        let triple = source.next(map).await?;
        beaver::multiply(party, &shares_x[party.index()], &shares_y[party.index()], triple).await
    });
    assert_eq!(z, product(&map, x, y));
}

fn squares<R: Ring>(x: &[R], parties: usize) {
    let shares = split(x, parties);
    let traffic = open::traffic(x.len(), R::BITS, parties);
    let z = run_shared::<R>(parties, &[Request::Square { len: x.len() }], traffic, async |party, source| {
        beaver::square(party, &shares[party.index()], source.next(x.len()).await?).await
    });
    assert_eq!(z, x.iter().map(|&x| x.wrapping_mul(x)).collect::<Vec<_>>());
}

/// One layer's weights, loaded once and applied to every input with a fresh pair.
fn applies<R: Ring>(map: Bilinear, inputs: &[Vec<R>], weights: &[R], parties: usize) {
    let shape = FixedWeightShape { mask: 0, map };
    let mut plan = vec![Request::WeightMask { len: weights.len() }];
    plan.extend(inputs.iter().map(|_| Request::FixedWeights { mask: 0, map }));
    let shares = split(weights, parties);
    let xs: Vec<_> = inputs.iter().map(|x| split(x, parties)).collect();
    let once = fixed_weights::traffic(&map, R::BITS, parties);
    let traffic = open::traffic(weights.len(), R::BITS, parties) + inputs.iter().map(|_| once).sum::<Traffic>();
    let outputs = run::<R, _>(parties, &plan, traffic, async |party, source| {
        let own = crate::common::copy(&shares[party.index()]);
        let layer = (own, source.next(weights.len()).await?);
        let layers = FixedWeights::load(party, vec![layer]).await?;
        let mut outputs = Vec::new();
        for x in &xs {
            let prepared = layers[0].prepare(source.next(shape).await?)?;
            outputs.push(layers[0].apply(party, &x[party.index()], prepared).await?);
        }
        Ok(outputs)
    });
    for (i, x) in inputs.iter().enumerate() {
        let shares: Vec<_> = outputs.iter().map(|outputs| crate::common::copy(&outputs[i])).collect();
        assert_eq!(shares[0].shape(), map.output_shape());
        assert_eq!(ArithmeticShares::reconstruct(&shares).unwrap(), product(&map, x, weights));
    }
}

/// Two layers with one input, which is opened once, to all parties or to the weights' owner, whose share they then are.
fn shares_an_input(maps: [Bilinear; 2], x: &[u64], weights: [&[u64]; 2], parties: usize, owner: Option<usize>) {
    let [first, second] = [0, 1].map(|mask| FixedWeightShape { mask, map: maps[mask] });
    let mut plan: Vec<_> = weights.iter().map(|weights| Request::WeightMask { len: weights.len() }).collect();
    plan.push(Request::FixedWeights { mask: 0, map: maps[0] });
    plan.push(Request::FixedWeightsSharedInput { mask: 1, map: maps[1] });
    let shares = weights.map(|weights| match owner {
        None => split(weights, parties),
        Some(owner) => (0..parties)
            .map(|party| {
                let own = if party == owner { weights.to_vec() } else { vec![0; weights.len()] };
                ArithmeticShares::from_elements(own)
            })
            .collect(),
    });
    let xs = split(x, parties);
    let outputs = mpc_protocols::in_process::run_planned::<u64, _>(parties, &plan, async |party, source| {
        let own = |layer: usize| crate::common::copy(&shares[layer][party.index()]);
        let mut layers = Vec::new();
        for (layer, weights) in weights.iter().enumerate() {
            layers.push((own(layer), source.next(weights.len()).await?));
        }
        let layers = FixedWeights::load(party, layers).await?;
        let prepared = layers[0].prepare(source.next(first).await?)?;
        let again = layers[1].prepare_again(&prepared, source.next(second).await?)?;
        let (prepared, opened) = prepared.open(party, owner, &xs[party.index()]).await?;
        Ok([layers[0].multiply(&opened, prepared)?, layers[1].multiply(&opened, again)?])
    })
    .unwrap();
    for (party, outcome) in outputs.iter().enumerate() {
        let load = open::traffic(weights.iter().map(|weights| weights.len()).sum(), u64::BITS, parties);
        let input = match owner {
            None => fixed_weights::traffic(&maps[0], 64, parties),
            Some(owner) => fixed_weights::traffic_at_owner(&maps[0], 64, party, owner, parties),
        };
        assert_eq!(outcome.online, load + input);
    }
    for layer in [0, 1] {
        let shares: Vec<_> = outputs.iter().map(|outcome| crate::common::copy(&outcome.output[layer])).collect();
        assert_eq!(ArithmeticShares::reconstruct(&shares).unwrap(), product(&maps[layer], x, weights[layer]));
    }
}

#[test]
fn layers_share_the_opening_of_their_input() {
    let convolution = |output_channels, kernel: usize, stride| {
        Bilinear::Convolution(Convolution {
            batch: 2,
            stride: [stride; 2],
            padding: [kernel / 2; 4],
            ..Convolution::valid([3, output_channels], [5, 6], [kernel; 2])
        })
    };
    let maps = [convolution(4, 3, 1), convolution(2, 1, 2)];
    let x = some(maps[0].left_len(), 3);
    let weights = maps.map(|map| some(map.right_len(), 5));
    for parties in [2, 3, 4] {
        for owner in [None, Some(0), Some(parties - 1)] {
            shares_an_input(maps, &x, [&weights[0], &weights[1]], parties, owner);
        }
    }
}

fn convolutions() -> impl Strategy<Value = Convolution> {
    let sizes = (1..=2usize, 1..=3usize, 1..=3usize, 3..=6usize, 3..=6usize);
    (sizes, 1..=3usize, 1..=3usize, 1..=2usize, 0..=1usize).prop_map(|(sizes, rows, columns, stride, padding)| {
        let (batch, input_channels, output_channels, height, width) = sizes;
        Convolution {
            batch,
            stride: [stride; 2],
            padding: [padding; 4],
            ..Convolution::valid([input_channels, output_channels], [height, width], [rows, columns])
        }
    })
}

/// `len` elements, some of them at the edges of the ring.
fn some<R: Ring>(len: usize, seed: u64) -> Vec<R> {
    let edges = [R::ZERO, R::ONE, R::ONE.wrapping_neg(), R::ONE << (R::BITS - 1), R::low_mask(R::BITS - 1)];
    let mixed =
        |i: u64| R::from_u128(u128::from(seed | 1).wrapping_mul(u128::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    (0..len as u64).map(|i| if i % 3 == 0 { edges[(i + seed) as usize % 5] } else { mixed(i + 1) }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_are_those_of_the_ring(
        pairs in vec((crate::common::any_value(), crate::common::any_value()), 0..30),
        wide in vec(any::<(u128, u128)>(), 0..30), parties in parties(),
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let map = Bilinear::Elementwise { len: x.len() };
        multiplies(map, &elements::<u32>(&x), &elements::<u32>(&y), parties);
        multiplies(map, &elements::<u64>(&x), &elements::<u64>(&y), parties);
        squares(&elements::<u32>(&x), parties);
        squares(&elements::<u64>(&x), parties);
        let (x, y): (Vec<_>, Vec<_>) = wide.into_iter().unzip();
        multiplies(Bilinear::Elementwise { len: x.len() }, &x, &y, parties);
        squares(&x, parties);
    }

    #[test]
    fn matrix_products_are_those_of_the_ring(
        rows in 1..5usize, inner in 1..9usize, columns in 1..5usize, seed: u16, parties in parties(),
    ) {
        let map = Bilinear::MatrixProduct { rows, inner, columns };
        let seed = seed.into();
        multiplies::<u32>(map, &some(rows * inner, seed), &some(inner * columns, seed + 1), parties);
        multiplies::<u64>(map, &some(rows * inner, seed), &some(inner * columns, seed + 1), parties);
        multiplies::<u128>(map, &some(rows * inner, seed), &some(inner * columns, seed + 1), parties);
    }

    #[test]
    fn batched_matrix_products_are_those_of_each_pair(
        batch in 0..4usize, rows in 1..5usize, inner in 1..9usize, columns in 1..5usize, seed: u16, parties in parties(),
    ) {
        let map = Bilinear::BatchedMatrixProduct { batch, rows, inner, columns };
        let (left, right) = (rows * inner, inner * columns);
        let (x, y) = (some::<u64>(batch * left, seed.into()), some::<u64>(batch * right, u64::from(seed) + 1));
        let one = Bilinear::MatrixProduct { rows, inner, columns };
        let each = (0..batch).flat_map(|i| product(&one, &x[i * left..][..left], &y[i * right..][..right]));
        prop_assert_eq!(product(&map, &x, &y), each.collect::<Vec<_>>());
        prop_assert_eq!(map.output_shape(), [batch, rows, columns]);
        multiplies(map, &x, &y, parties);
        multiplies::<u32>(map, &some(batch * left, seed.into()), &some(batch * right, seed.into()), parties);
        multiplies::<u128>(map, &some(batch * left, seed.into()), &some(batch * right, seed.into()), parties);
    }

    #[test]
    fn convolutions_are_those_of_the_ring(shape in convolutions(), seed: u16, parties in parties()) {
        let map = Bilinear::Convolution(shape);
        let seed = seed.into();
        multiplies::<u64>(map, &some(map.left_len(), seed), &some(map.right_len(), seed + 1), parties);
    }

    #[test]
    fn fixed_weights_serve_many_inputs(shape in convolutions(), count in 1..4usize, seed: u16, parties in parties()) {
        let map = Bilinear::Convolution(shape);
        let inputs: Vec<_> = (0..count).map(|i| some::<u64>(map.left_len(), i as u64)).collect();
        applies(map, &inputs, &some(map.right_len(), seed.into()), parties);
    }
}

#[test]
fn fixed_weights_work_in_every_ring() {
    let map = Bilinear::MatrixProduct { rows: 2, inner: 3, columns: 4 };
    applies::<u32>(map, &[some(6, 1), some(6, 2)], &some(12, 3), 3);
    applies::<u128>(map, &[some(6, 1), some(6, 2)], &some(12, 3), 2);
}

#[test]
fn the_result_of_a_product_has_the_shape_of_x() {
    let map = Bilinear::Elementwise { len: 6 };
    let shapes = run::<u64, _>(2, &[Request::Beaver(map)], beaver::traffic(&map, 64, 2), async |party, source| {
        let x = ArithmeticShares::new(&[2, 3], vec![1u64; 6])?;
        let z = beaver::multiply(party, &x, &crate::common::copy(&x), source.next(map).await?).await?;
        Ok(z.shape().to_vec())
    });
    assert_eq!(shapes, [[2, 3], [2, 3]]);
}

#[test]
fn layers_are_loaded_together_in_one_round() {
    let plan = [Request::WeightMask { len: 3 }, Request::WeightMask { len: 5 }];
    let traffic = open::traffic(8, 64, 3);
    assert_eq!(traffic.rounds, 1);
    let loaded = run::<u64, _>(3, &plan, traffic, async |party, source| {
        let mut layers = Vec::new();
        for len in [3, 5] {
            layers.push((ArithmeticShares::from_elements(vec![1u64; len]), source.next(len).await?));
        }
        Ok(FixedWeights::load(party, layers).await?.len())
    });
    assert_eq!(loaded, [2; 3]);
}
