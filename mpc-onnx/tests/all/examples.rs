//! The examples run.

#[allow(dead_code)]
#[path = "../../examples/import.rs"]
mod import;

#[test]
fn a_file_is_imported_and_evaluated() {
    import::show(import::SMALL).unwrap();
}
