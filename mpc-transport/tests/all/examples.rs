//! The examples run.

#[path = "../../examples/two_parties.rs"]
mod two_parties;

#[test]
fn two_parties_agree_and_exchange() {
    two_parties::main().unwrap();
}
