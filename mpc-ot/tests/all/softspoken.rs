use mpc_ot::OtError;
use mpc_ot::softspoken::{FieldBits, SETUP_BYTES, SoftSpokenSender};

use crate::common::{check_correlation, softspoken};

const DELTA: u128 = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3211;

#[test]
fn every_field_gives_correlated_strings_of_any_count() {
    for (field, differences) in [(FieldBits::Two, 63), (FieldBits::Four, 31), (FieldBits::Eight, 15)] {
        for delta in [DELTA, 1, u128::MAX] {
            let (mut sender, mut receiver) = softspoken(field, delta).unwrap();
            for count in [0, 1, 63, 64, 65, 127, 128, 129, 5000] {
                let (received, message) = receiver.extend(count);
                assert_eq!(message.len(), count.div_ceil(64) * 8 * differences);
                let sent = sender.extend(count, &message).unwrap();
                assert_eq!(sent.len(), count);
                check_correlation(&sent, &received, delta);
            }
        }
    }
}

#[test]
fn choices_and_strings_are_balanced_and_not_repeated() {
    let (mut sender, mut receiver) = softspoken(FieldBits::Eight, DELTA).unwrap();
    let mut all = Vec::new();
    for _ in 0..3 {
        let (received, message) = receiver.extend(40_000);
        let sent = sender.extend(40_000, &message).unwrap();
        let ones = received.strings().iter().filter(|&x| x & 1 == 1).count();
        assert!((19_400..20_600).contains(&ones), "{ones} of 40,000 choices are 1");
        for bit in 1..128 {
            let ones = sent.strings().iter().filter(|&x| x >> bit & 1 == 1).count();
            assert!((19_400..20_600).contains(&ones), "bit {bit}: {ones} of 40,000 are 1");
        }
        all.extend_from_slice(sent.strings());
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 120_000);
}

#[test]
fn messages_of_another_length_are_refused() {
    let (mut sender, mut receiver) = softspoken(FieldBits::Four, DELTA).unwrap();
    let (_, message) = receiver.extend(100);
    for message in [&message[1..], &[], &[&message[..], &[0]].concat()] {
        assert!(matches!(sender.extend(100, message), Err(OtError::MessageLength { .. })));
    }
    let setup = vec![0; SETUP_BYTES + 1];
    assert!(matches!(
        SoftSpokenSender::new(FieldBits::Four, &[0; 128], DELTA, 5, &setup).err(),
        Some(OtError::MessageLength { expected: SETUP_BYTES, .. })
    ));
}
