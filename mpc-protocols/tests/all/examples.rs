//! The examples run, in processes of their own: this program, whose one test named here leads to the example again.

use std::env;
use std::process::Command;

#[path = "../../examples/dot_product.rs"]
mod dot_product;
#[path = "../../examples/millionaires.rs"]
mod millionaires;
#[path = "../../examples/relu_classic.rs"]
mod relu_classic;

fn only(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command
}

#[test]
fn millionaires_learn_who_is_richer() {
    let results = millionaires::run(|| only("examples::millionaires_learn_who_is_richer")).unwrap();
    assert_eq!(results, ["party 0 is richer"; 2]);
}

#[test]
fn dot_product_of_private_vectors() {
    let results = dot_product::run(|| only("examples::dot_product_of_private_vectors")).unwrap();
    assert_eq!(results, ["300"; 2]);
}

#[test]
fn both_relus_are_right() {
    relu_classic::run(1).unwrap();
}
