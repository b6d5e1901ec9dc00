//! The examples run.

#[path = "../../examples/layer.rs"]
mod layer;

#[test]
fn shares_of_a_layer_add_up() {
    layer::main().unwrap();
}
