//! The examples run.

#[allow(dead_code)]
#[path = "../../examples/classify.rs"]
mod classify;

#[test]
fn the_first_two_digits_are_classified_right() {
    assert_eq!(classify::classify(0, 1).unwrap(), 2);
}
