//! The examples run.

#[path = "../../examples/salaries.rs"]
mod salaries;

#[test]
fn salaries_add_up() {
    salaries::main().unwrap();
}
