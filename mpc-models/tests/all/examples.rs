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
fn a_calibration_is_the_largest_magnitude_of_each_layer() {
    let model = mpc_models::Model::by_name("breast-cancer").unwrap();
    // More than one evaluation has.
    let samples = model.samples(0..40).unwrap();
    let calibration = calibrate::calibration(model, &samples.inputs).unwrap();
    let graph = model.graph(40).unwrap();
    let outputs = mpc_nn::evaluate(&graph, &model.default_weights(&graph).unwrap(), &samples.inputs).unwrap();
    let largest = outputs[0].iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let name = graph.node(graph.outputs()[0]).name();
    assert_eq!(calibration.largest[name], f64::from(largest));
    assert_eq!(calibration.largest.len(), graph.nodes().len() - graph.inputs().len());
}
