//! The examples run.

#[path = "../../examples/convolution.rs"]
mod convolution;

#[test]
fn a_convolution_in_the_ring_is_the_one_in_floating_point() {
    convolution::main().unwrap();
}
