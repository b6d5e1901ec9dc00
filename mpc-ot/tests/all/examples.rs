//! The examples run.

#[path = "../../examples/products_of_bits.rs"]
mod products_of_bits;

#[test]
fn shares_of_products_add_up() {
    products_of_bits::main().unwrap();
}
