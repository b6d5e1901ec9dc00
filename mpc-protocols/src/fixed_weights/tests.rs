//! Which weights are opened together.

use super::*;

#[test]
fn messages_hold_what_they_may_and_one_layer_at_least() {
    assert_eq!(messages([], 10), [0]);
    assert_eq!(messages([0, 4, 6, 1, 30, 0, 10, 10], 10), [3, 1, 1, 2, 1]);
    let (len, bytes) = (LOAD_MESSAGE / 16, LOAD_MESSAGE as u64 / 2);
    let three = Traffic::exchange(2 * bytes, 3) + Traffic::exchange(bytes, 3);
    assert_eq!(load_traffic([(len, 64); 3], 3), three);
}

#[test]
fn weights_of_several_messages_are_the_same() {
    let requests = [10, 3, 20, 1].map(|len| Request::WeightMask { len });
    let load = |message| {
        crate::in_process::run_planned::<u64, _>(2, &requests, async |party, source| {
            let mut layers = Vec::new();
            for len in [10, 3, 20, 1] {
                let shares = (0..len).map(|x| x * (1 + party.index() as u64)).collect();
                layers.push((ArithmeticShares::from_elements(shares), source.next(len as usize).await?));
            }
            let loaded = FixedWeights::load_within(party, layers, message).await?;
            let place = party.place();
            Ok(loaded
                .iter()
                .map(|layer| (layer.mask_share(place).elements().to_vec(), layer.difference().to_vec()))
                .collect::<Vec<_>>())
        })
        .unwrap()
    };
    for message in [0, 104, 200, 1000] {
        let [a, b] = <[_; 2]>::try_from(load(message)).unwrap_or_else(|_| panic!("two parties"));
        assert_eq!(a.online.rounds, messages([80, 24, 160, 8], message).len() as u64);
        for ((layer, other), len) in a.output.iter().zip(&b.output).zip([10_u64, 3, 20, 1]) {
            assert_eq!(layer.1, other.1);
            // W = B + Δ.
            let mask = layer.0.iter().zip(&other.0).map(|(x, y)| x.wrapping_add(*y));
            let weights: Vec<_> = mask.zip(&layer.1).map(|(b, delta)| b.wrapping_add(*delta)).collect();
            assert_eq!(weights, (0..len).map(|x| 3 * x).collect::<Vec<_>>());
        }
    }
}
