use crate::common::{elements, parties, run, run_unequal, split, split_bits};
use mpc_protocols::{open, sharing};
use mpc_ring::{Ring, packing};
use proptest::collection::vec;
use proptest::prelude::*;

fn opens<R: Ring>(secret: &[R], parties: usize, bits: u32) {
    let x = split(secret, parties);
    let traffic = open::traffic(secret.len(), R::BITS, parties);
    let opened = run::<R, _>(parties, &[], traffic, async |party, _| open::open(party, &x[party.index()]).await);
    assert!(opened.iter().all(|opened| opened == secret));

    let traffic = open::traffic(secret.len(), bits, parties);
    let opened = run::<R, _>(parties, &[], traffic, async |party, _| {
        open::open_low_bits(party, x[party.index()].elements(), bits).await
    });
    let low: Vec<R> = secret.iter().map(|&x| x & R::low_mask(bits)).collect();
    assert!(opened.iter().all(|opened| *opened == low));
}

/// Long tensors are unpacked in parts.
#[test]
fn long_tensors_are_opened_in_any_width() {
    let secret: Vec<u64> = (0..2_100u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    for bits in 1..=64 {
        opens(&secret, 3, bits);
    }
}

proptest! {
    #[test]
    fn elements_are_opened_to_all(
        values in vec(crate::common::any_value(), 0..40), wide: Vec<u128>, parties in parties(), bits in 1..=128u32,
    ) {
        opens(&elements::<u32>(&values), parties, bits.min(32));
        opens(&elements::<u64>(&values), parties, bits.min(64));
        opens(&wide, parties, bits);
    }

    #[test]
    fn bits_are_opened_to_all(secret in vec(any::<u64>(), 0..130), width in 1..=64u32, parties in parties()) {
        let x = split_bits(&secret, width, parties);
        let traffic = open::traffic_of_planes(width as usize, secret.len(), parties);
        let opened = run::<u64, _>(parties, &[], traffic, async |party, _| open::open_bits(party, &x[party.index()]).await);
        let mut planes = vec![0; width as usize * packing::words_for(secret.len())];
        mpc_ring::bitslice::to_planes(&secret, width, &mut planes);
        prop_assert!(opened.iter().all(|opened| *opened == planes));
    }

    #[test]
    fn an_input_is_shared_and_the_result_revealed_to_one(
        secret in vec(any::<u64>(), 0..40), parties in parties(), owner in 0..8usize, receiver in 0..8usize,
    ) {
        let (owner, receiver, len) = (owner % parties, receiver % parties, secret.len());
        let expected = |party| {
            sharing::traffic(party, owner, parties) + sharing::reveal_traffic(len, 64, party, receiver, parties)
        };
        // After its own message a receiver's first wait is a new one: the two parts are counted apart.
        let revealed = run_unequal::<u64, _>(parties, &[], expected, async |party, _| {
            let mut generator = crate::common::generator(7);
            let input = (party.index() == owner).then_some(&secret[..]);
            let x = sharing::share(party, owner, &[len], input, &mut generator).await?;
            party.transport_mut().begin(mpc_transport::Phase::Online, "reveal");
            sharing::reveal(party, receiver, &x).await
        });
        for (party, revealed) in revealed.into_iter().enumerate() {
            prop_assert_eq!(revealed, (party == receiver).then(|| secret.clone()));
        }
    }
}
