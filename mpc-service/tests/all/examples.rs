//! The examples run: all of them, in one process.

#[path = "../../examples/all_in_one.rs"]
mod all_in_one;

#[test]
fn all_in_one_agrees_with_the_network_in_the_clear() {
    all_in_one::main().unwrap();
}
