//! Each possible disagreement is named, by every party, and nobody waits for ever.

use crate::network::{BRIEF, Memory, Network, PATIENT, Tcp, block_on, run};
use mpc_transport::{
    Agreement, MAX_AGREEMENT_BYTES, PROTOCOL_VERSION, Peer, Transport, TransportError, handshake, memory_network,
};
use proptest::prelude::{any, prop_assert, proptest};

fn agreement() -> Agreement {
    Agreement::new([1; 16]).with("ring", "Z_{2^64}").with("fractional bits", 16).with("plan digest", "aa")
}

fn mismatch(party: usize, field: &str, ours: &str, theirs: &str) -> TransportError {
    let [field, ours, theirs] = [field, ours, theirs].map(str::to_owned);
    TransportError::HandshakeMismatch { peer: Peer::Party(party), field, ours, theirs }
}

/// Three parties, of which the last has `other`: what each of them reports.
fn disagree<N: Network>(other: &Agreement) -> Vec<TransportError> {
    let results = run(N::build(3, PATIENT), async |mut end| {
        let ours = if end.party() == 2 { other.clone() } else { agreement() };
        (handshake(&mut end, &ours).await.unwrap_err(), end)
    });
    results.into_iter().map(|(error, _)| error).collect()
}

fn every_difference_is_named<N: Network>() {
    let base = || Agreement::new([1; 16]).with("ring", "Z_{2^64}");
    let cases = [
        (base().with("fractional bits", 16).with("plan digest", "bb"), "plan digest", "aa", "bb"),
        (base().with("fractional bits", 12).with("plan digest", "bb"), "fractional bits", "16", "12"),
        (base().with("plan digest", "aa"), "fractional bits", "16", "(absent)"),
        (agreement().with("model", "m"), "model", "(absent)", "m"),
        (Agreement::new([1; 16]), "ring", "Z_{2^64}", "(absent)"),
    ];
    for (other, field, here, there) in cases {
        let at_two = mismatch(0, field, there, here);
        let expected = vec![mismatch(2, field, here, there), mismatch(2, field, here, there), at_two];
        assert_eq!(disagree::<N>(&other), expected);
    }
}

#[test]
fn every_difference_is_named_over_memory() {
    every_difference_is_named::<Memory>();
}

#[test]
fn every_difference_is_named_over_tcp() {
    every_difference_is_named::<Tcp>();
}

#[test]
fn another_session_is_named() {
    let (ours, theirs) = ("01".repeat(16), "02".repeat(16));
    let errors = disagree::<Tcp>(&Agreement::new([2; 16]));
    assert_eq!(errors[0], mismatch(2, "session", &ours, &theirs));
    assert_eq!(errors[2], mismatch(0, "session", &theirs, &ours));
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let reversed =
        Agreement::new([1; 16]).with("plan digest", "aa").with("fractional bits", 16).with("ring", "Z_{2^64}");
    let results = run(memory_network(2, PATIENT), async |mut end| {
        let ours = if end.party() == 0 { agreement() } else { reversed.clone() };
        handshake(&mut end, &ours).await
    });
    assert_eq!(results, [Ok(()), Ok(())]);
}

#[test]
fn an_agreement_beyond_the_limits_is_not_sent() {
    let mut ends = memory_network(2, BRIEF);
    let large = Agreement::new([0; 16]).with("plan", "v".repeat(300));
    let error = block_on(handshake(&mut ends[0], &large)).unwrap_err();
    assert!(matches!(error, TransportError::InvalidAgreement { .. }), "{error}");
    let error = block_on(ends[1].receive_bounded(0, MAX_AGREEMENT_BYTES)).unwrap_err();
    assert!(matches!(error, TransportError::Timeout { peer: Peer::Party(0), .. }), "{error}");
}

/// The error that party 0 of two reports when party 1 sends `bytes`.
fn answer_to(bytes: &[u8]) -> TransportError {
    let mut ends = memory_network(2, PATIENT);
    block_on(async {
        ends[1].send(0, bytes).await.unwrap();
        handshake(&mut ends[0], &agreement()).await.unwrap_err()
    })
}

/// A message without fields.
fn message(version: u16, parties: u16, party: u16) -> Vec<u8> {
    postcard::to_allocvec(&(version, [1u8; 16], parties, party, 0u8)).unwrap()
}

#[test]
fn another_version_number_of_parties_or_index_is_named() {
    let (v, next) = (PROTOCOL_VERSION, PROTOCOL_VERSION + 1);
    let version = mismatch(1, "protocol version", &v.to_string(), &next.to_string());
    assert_eq!(answer_to(&message(next, 2, 1)), version);
    assert_eq!(answer_to(&message(v, 3, 1)), mismatch(1, "parties", "2", "3"));
    assert_eq!(answer_to(&message(v, 2, 0)), mismatch(1, "party index", "1", "0"));
    assert_eq!(answer_to(&message(v, 2, 1)), mismatch(1, "ring", "Z_{2^64}", "(absent)"));
}

#[test]
fn what_no_party_sends_is_malformed() {
    let right = message(PROTOCOL_VERSION, 2, 1);
    let longer = [&right[..], &[0]].concat();
    for bytes in [&[][..], &right[..5], &right[..right.len() - 1], &longer, &[0xff; 100]] {
        let error = answer_to(bytes);
        assert!(matches!(error, TransportError::HandshakeMalformed { peer: Peer::Party(1), .. }), "{bytes:?}: {error}");
    }
    let got = MAX_AGREEMENT_BYTES + 1;
    let too_long = TransportError::FrameTooLong { peer: Peer::Party(1), limit: MAX_AGREEMENT_BYTES, got };
    assert_eq!(answer_to(&vec![0; got]), too_long);
}

#[test]
fn one_silent_party_does_not_hide_anothers_mismatch() {
    let mut ends = memory_network(3, BRIEF);
    let other = Agreement::new([2; 16]);
    let silent = ends.remove(1);
    let results = run(ends, async |mut end| {
        let ours = if end.party() == 2 { other.clone() } else { agreement() };
        (handshake(&mut end, &ours).await, end)
    });
    for (result, _) in results {
        assert!(matches!(result, Err(TransportError::HandshakeMismatch { .. })), "{result:?}");
    }
    drop(silent);
}

#[test]
fn text_from_a_peer_is_shown_escaped() {
    let hostile = postcard::to_allocvec(&(PROTOCOL_VERSION, [1u8; 16], 2u16, 1u16, 1u8, "ring", "\x1b[2J\n")).unwrap();
    let shown = answer_to(&hostile).to_string();
    assert!(!shown.contains(['\x1b', '\n']), "{shown:?}");
}

proptest! {
    #[test]
    fn arbitrary_messages_end_in_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let named = matches!(
            answer_to(&bytes),
            TransportError::HandshakeMalformed { peer: Peer::Party(1), .. } | TransportError::HandshakeMismatch { peer: Peer::Party(1), .. }
        );
        prop_assert!(named);
    }
}
