//! mpc
fn main() {}
