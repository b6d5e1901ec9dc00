//! The examples run.

#[allow(dead_code)]
#[path = "../../examples/calibrate.rs"]
mod calibrate;
#[allow(dead_code)]
#[path = "../../examples/classify.rs"]
mod classify;

#[test]
fn the_first_two_digits_are_classified_right() {
    assert_eq!(classify::classify(0, 1).unwrap(), 2);
}

#[test]
fn the_calibration_that_comes_with_a_network_is_that_of_its_samples() {
    let model = mpc_models::Model::by_name("breast-cancer").unwrap();
    let bundled = serde_json::from_slice(model.bundled_calibration().unwrap()).unwrap();
    assert_eq!(calibrate::calibration(model).unwrap(), bundled);
}
