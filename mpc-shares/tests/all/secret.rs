use mpc_shares::SecretVec;

#[test]
fn collecting_keeps_every_word_whatever_the_hint() {
    for len in [0usize, 1, 4, 5, 1000] {
        let expected: Vec<u64> = (0..len as u64).collect();
        let exact: SecretVec<u64> = expected.iter().copied().collect();
        let unknown: SecretVec<u64> = expected.iter().copied().filter(|_| true).collect();
        let nested: SecretVec<u64> = expected.chunks(3).flatten().copied().collect();
        assert_eq!((&exact[..], &unknown[..], &nested[..]), (&expected[..], &expected[..], &expected[..]));
    }
}

#[test]
fn words_go_in_and_out() {
    let mut words = SecretVec::<u8>::zeros(3);
    words.copy_from_slice(&[1, 2, 3]);
    assert_eq!(SecretVec::copy_of(&words).into_vec(), [1, 2, 3]);
    assert_eq!(SecretVec::from(vec![7u32]).len(), 1);
}

#[test]
fn debug_shows_no_word() {
    assert_eq!(format!("{:?}", SecretVec::from(vec![0xdeadu64; 2])), "SecretVec { len: 2, .. }");
}
