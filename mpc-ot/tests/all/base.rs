use mpc_ot::OtError;
use mpc_ot::base::{BaseReceiver, BaseSender, COUNT, Context, RECEIVER_BYTES, SENDER_BYTES};

use crate::common::{CONTEXT, generator};

fn pair(choices: u128) -> (BaseReceiver, BaseSender) {
    (BaseReceiver::new(CONTEXT, choices, &mut generator(1)), BaseSender::new(CONTEXT, &mut generator(2)))
}

#[test]
fn the_receiver_gets_the_string_of_its_choice_and_not_the_other() {
    for choices in [0, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210] {
        let (receiver, sender) = pair(choices);
        let messages = [receiver.message().to_vec(), sender.message().to_vec()];
        assert_eq!((messages[0].len(), messages[1].len()), (RECEIVER_BYTES, SENDER_BYTES));
        let strings = sender.finish(&messages[0]).unwrap();
        let chosen = receiver.finish(&messages[1]).unwrap();
        for (index, (pair, chosen)) in strings.iter().zip(chosen.iter()).enumerate() {
            let choice = (choices >> index & 1) as usize;
            assert_eq!(pair[choice], *chosen);
            assert_ne!(pair[1 - choice], *chosen);
        }
        let mut all: Vec<_> = strings.iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2 * COUNT, "every string is another");
    }
}

#[test]
fn another_session_or_direction_gives_other_strings() {
    let contexts = [Context { session: [8; 16], ..CONTEXT }, Context { sender: 1, ..CONTEXT }];
    for context in contexts {
        let receiver = BaseReceiver::new(context, 0, &mut generator(1));
        let sender = BaseSender::new(CONTEXT, &mut generator(2));
        let messages = [receiver.message().to_vec(), sender.message().to_vec()];
        let strings = sender.finish(&messages[0]).unwrap();
        assert!(receiver.finish(&messages[1]).unwrap().iter().zip(strings.iter()).all(|(a, b)| !b.contains(a)));
    }
}

#[test]
fn messages_of_another_length_are_refused() {
    for length in [0, 1, SENDER_BYTES - 1, SENDER_BYTES + 1, RECEIVER_BYTES] {
        let (receiver, _) = pair(0);
        let error = receiver.finish(&vec![1; length]).unwrap_err();
        assert!(
            matches!(error, OtError::MessageLength { expected: SENDER_BYTES, got, .. } if got == length),
            "{error}"
        );
    }
    for length in [0, SENDER_BYTES, RECEIVER_BYTES - 1, RECEIVER_BYTES + 64] {
        let (_, sender) = pair(0);
        let error = sender.finish(&vec![1; length]).unwrap_err();
        assert!(
            matches!(error, OtError::MessageLength { expected: RECEIVER_BYTES, got, .. } if got == length),
            "{error}"
        );
    }
}

#[test]
fn points_that_are_none_or_neutral_are_refused() {
    let not_canonical = [0xff; 32];
    let negative = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    for bytes in [[0; 32], not_canonical, negative] {
        let (receiver, sender) = pair(0);
        let mut message = sender.message().to_vec();
        message[3 * 32..][..32].copy_from_slice(&bytes);
        assert_eq!(receiver.finish(&message).unwrap_err(), OtError::InvalidPoint { index: 3 });
        let (receiver, _) = pair(0);
        let mut message = receiver.message().to_vec();
        message[5 * 32..][..32].copy_from_slice(&bytes);
        assert_eq!(sender.finish(&message).unwrap_err(), OtError::InvalidPoint { index: 5 });
    }
}

#[test]
fn own_points_that_come_back_are_refused() {
    let (receiver, sender) = pair(1);
    let reflected = receiver.message()[..32].repeat(COUNT);
    assert_eq!(receiver.finish(&reflected).unwrap_err(), OtError::ReflectedPoint { index: 0 });
    let reflected: Vec<u8> = sender.message().chunks(32).flat_map(|point| [point, point].concat()).collect();
    assert_eq!(sender.finish(&reflected).unwrap_err(), OtError::ReflectedPoint { index: 0 });
}
