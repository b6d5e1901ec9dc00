//! The examples run.

#[path = "../../examples/small_network.rs"]
mod small_network;

#[test]
fn a_small_network_gives_the_same_privately_and_in_the_clear() {
    small_network::main().unwrap();
}
