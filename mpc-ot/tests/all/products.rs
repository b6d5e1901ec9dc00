use mpc_ot::products::{bits_bytes, correct_ring, plane_bytes, receive_corrections, ring_bytes};
use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Batch, Method, OtError, ReceivedBatch, SentBatch};
use mpc_ring::Ring;
use proptest::prelude::*;
use rand_core::Rng;

use crate::common::generator;
use crate::pair::{both, run};

/// A batch of each of the `batches`, party 0 sending.
fn batches(batches: &[Batch]) -> (Vec<SentBatch>, Vec<ReceivedBatch>) {
    let mut made = run(both(Method::SoftSpoken(FieldBits::Four)), async |party, pair| {
        let mut pair = pair.unwrap();
        let (sends, receives) = if party == 0 { (batches, &[][..]) } else { (&[][..], batches) };
        pair.random(sends, receives).await.unwrap()
    });
    let received = made.pop().unwrap().1;
    (made.pop().unwrap().0, received)
}

fn plane(count: usize, seed: u8) -> Vec<u64> {
    let mut generator = generator(seed);
    let mut words: Vec<u64> = (0..count.div_ceil(64)).map(|_| generator.next_u64()).collect();
    if let (Some(last), used @ 1..) = (words.last_mut(), count % 64) {
        *last &= (1 << used) - 1;
    }
    words
}

fn bit(plane: &[u64], index: usize) -> u64 {
    plane[index / 64] >> (index % 64) & 1
}

/// The ends of transfers, in the order in which they were asked for.
struct Transfers(std::vec::IntoIter<SentBatch>, std::vec::IntoIter<ReceivedBatch>);

impl Transfers {
    /// Two transfers of each batch, all made in one session.
    fn twice(wanted: &[Batch]) -> Self {
        let (sent, received) = batches(&wanted.iter().flat_map(|&batch| [batch; 2]).collect::<Vec<_>>());
        Self(sent.into_iter(), received.into_iter())
    }

    fn next(&mut self) -> (SentBatch, ReceivedBatch) {
        (self.0.next().unwrap(), self.1.next().unwrap())
    }
}

/// Products of bits with the receiver's own choice bits, then with chosen ones.
fn check_bits(transfers: &mut Transfers, batch: Batch, seed: u8) {
    let operand: Vec<u64> = (0..batch.bits).flat_map(|bit| plane(batch.count, seed ^ bit as u8)).collect();
    let wanted = plane(batch.count, seed ^ 0x55);
    for chosen in [false, true] {
        let (sent, received) = transfers.next();
        let choices = if chosen { wanted.clone() } else { received.choices().to_vec() };
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        sent.send_bits(&operand, &mut forth).unwrap();
        assert_eq!(forth.len(), bits_bytes(batch));
        let corrections = chosen.then(|| {
            received.send_corrections(&wanted, &mut back).unwrap();
            assert_eq!(back.len(), plane_bytes(batch.count));
            receive_corrections(batch.count, &back).unwrap()
        });
        let first = sent.bit_shares(corrections.as_deref()).unwrap();
        let second = received.receive_bits(chosen.then_some(&wanted[..]), &forth).unwrap();
        let words = batch.count.div_ceil(64);
        assert_eq!((first.len(), second.len()), (operand.len(), operand.len()));
        for (index, operand) in operand.iter().enumerate() {
            assert_eq!(first[index] ^ second[index], operand & choices[index % words]);
        }
    }
}

/// Products modulo 2^bits, with the receiver's own choice bits and with chosen ones.
fn check_ring<R: Ring>(transfers: &mut Transfers, batch: Batch, operand: &[R], seed: u8) {
    let mask = R::low_mask(batch.bits as u32);
    let wanted = plane(batch.count, seed);
    for chosen in [false, true] {
        let (sent, received) = transfers.next();
        let choices = if chosen { wanted.clone() } else { received.choices().to_vec() };
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        received.send_corrections(&wanted, &mut back).unwrap();
        let mut first = sent.send_ring(operand, &mut forth).unwrap();
        assert_eq!(forth.len(), ring_bytes(batch));
        let mut second = received.receive_ring::<R>(&forth).unwrap();
        if chosen {
            let corrections = receive_corrections(batch.count, &back).unwrap();
            correct_ring(&mut first, &corrections, Some(operand), batch.bits as u32).unwrap();
            correct_ring(&mut second, &corrections, None, batch.bits as u32).unwrap();
        }
        for (index, &operand) in operand.iter().enumerate() {
            let expected = if bit(&choices, index) == 1 { operand & mask } else { R::ZERO };
            assert_eq!(first[index].wrapping_add(second[index]) & mask, expected);
        }
    }
}

#[test]
fn products_of_edge_sizes() {
    let counts = [0, 1, 7, 8, 63, 64, 65, 127, 128, 129];
    let both = |count| [Batch { count, bits: 3 }, Batch { count, bits: 16 }];
    let mut transfers = Transfers::twice(&counts.map(both).concat());
    for count in counts {
        let [few, many] = both(count);
        check_bits(&mut transfers, few, 1);
        check_ring::<u64>(&mut transfers, many, &vec![u64::MAX; count], 2);
    }
}

#[test]
fn ring_products_of_edge_values_in_every_ring() {
    let count = 70;
    let edges = |max: u128| (0..count as u128).map(move |i| if i % 2 == 0 { max - i / 2 } else { i / 2 });
    let widths = [1, 16, 31, 32, 1, 48, 63, 64, 65, 127, 128].map(|bits| Batch { count, bits });
    let mut transfers = Transfers::twice(&widths);
    for batch in &widths[..4] {
        check_ring(&mut transfers, *batch, &edges(u32::MAX.into()).map(|x| x as u32).collect::<Vec<_>>(), 3);
    }
    for batch in &widths[4..8] {
        check_ring(&mut transfers, *batch, &edges(u64::MAX.into()).map(|x| x as u64).collect::<Vec<_>>(), 4);
    }
    for batch in &widths[8..] {
        check_ring(&mut transfers, *batch, &edges(u128::MAX).collect::<Vec<_>>(), 5);
    }
}

#[test]
fn parts_of_a_batch_are_products_of_their_own() {
    let (mut sent, mut received) = batches(&[Batch { count: 100, bits: 20 }]);
    let (mut sent, mut received) = (sent.remove(0), received.remove(0));
    let choices = received.choices().to_vec();
    for bits in [3, 0, 16, 1] {
        let (sent, received) = (sent.take(bits).unwrap(), received.take(bits).unwrap());
        let operand: Vec<u64> = (0..bits).flat_map(|bit| plane(100, bit as u8)).collect();
        let mut message = Vec::new();
        sent.send_bits(&operand, &mut message).unwrap();
        let (first, second) = (sent.bit_shares(None).unwrap(), received.receive_bits(None, &message).unwrap());
        for (index, operand) in operand.iter().enumerate() {
            assert_eq!(first[index] ^ second[index], operand & choices[index % 2]);
        }
    }
    assert!(matches!(sent.take(1).err(), Some(OtError::Size { expected: 0, got: 1, .. })));
    assert!(matches!(received.take(1).err(), Some(OtError::Size { .. })));
}

#[test]
fn wrong_sizes_are_refused() {
    let batch = Batch { count: 100, bits: 2 };
    let (mut sent, mut received) = batches(&[batch; 4]);
    let mut message = Vec::new();
    assert!(matches!(sent[0].send_bits(&[0; 3], &mut message), Err(OtError::Size { expected: 4, got: 3, .. })));
    assert!(matches!(sent.pop().unwrap().bit_shares(Some(&[0; 3])), Err(OtError::Size { .. })));
    assert!(matches!(sent.pop().unwrap().send_ring(&[0u64; 99], &mut message), Err(OtError::Size { .. })));
    assert!(matches!(received[0].send_corrections(&[0], &mut message), Err(OtError::Size { .. })));
    for message in [&[][..], &[0; 25], &[0; 27]] {
        let error = received.pop().unwrap().receive_bits(None, message).unwrap_err();
        assert!(matches!(error, OtError::MessageLength { expected: 26, .. }), "{error}");
    }
    let error = received.pop().unwrap().receive_ring::<u64>(&[0; 24]).unwrap_err();
    assert!(matches!(error, OtError::MessageLength { expected: 25, .. }), "{error}");
    assert!(matches!(receive_corrections(100, &[0; 12]), Err(OtError::MessageLength { expected: 13, .. })));
    assert!(matches!(correct_ring(&mut [0u64; 65], &[0], None, 3), Err(OtError::Size { .. })));
    let (mut sent, mut received) = batches(&[Batch { count: 1, bits: 65 }]);
    assert!(matches!(sent.remove(0).send_ring(&[0u64], &mut message), Err(OtError::Parameter { .. })));
    assert!(matches!(received.remove(0).receive_ring::<u64>(&[0; 9]), Err(OtError::Parameter { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn random_products(count in 0..300usize, bits in 1..40usize, seed: u8) {
        let batch = Batch { count, bits };
        let mut transfers = Transfers::twice(&[batch; 2]);
        check_bits(&mut transfers, batch, seed);
        let mut generator = generator(seed);
        let operand: Vec<u64> = (0..count).map(|_| generator.next_u64()).collect();
        check_ring(&mut transfers, batch, &operand, seed);
    }
}
