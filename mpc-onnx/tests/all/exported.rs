//! Networks as both exporters of PyTorch write them, with PyTorch's own outputs.

use crate::cases::{Case, check_all, evaluate, folder, infer, read};
use mpc_nn::{Network, Weights};
use mpc_onnx::OnnxFile;
use ndarray::ArrayD;

/// The fractional bits of a private run.
const FRACTIONAL_BITS: i32 = 16;
/// The largest error in the clear, where other orders of summation are all that differs, relative and absolute.
const CLEAR: f64 = 2e-5;

/// The nearest number of 16 fractional bits.
fn round(values: &ArrayD<f32>) -> ArrayD<f32> {
    let unit = 2f32.powi(FRACTIONAL_BITS);
    values.mapv(|value| (value * unit).round_ties_even() / unit)
}

/// The error of plain rounding: the largest change of each output when inputs and weights are rounded to f bits.
fn rounding_errors(network: &Network, inputs: &[ArrayD<f32>], exact: &[Vec<f64>]) -> Result<Vec<f64>, String> {
    let parameters = network.graph.parameters().into_iter().map(|parameter| parameter.name);
    let rounded = parameters.map(|name| (name.clone(), round(network.weights.get(&name).unwrap()))).collect();
    let weights = Weights::for_graph(&network.graph, rounded).map_err(|error| error.to_string())?;
    let inputs: Vec<_> = inputs.iter().map(round).collect();
    let outputs = mpc_nn::evaluate(&network.graph, &weights, &inputs).map_err(|error| error.to_string())?;
    let error = |(rounded, exact): (&ArrayD<f32>, &Vec<f64>)| {
        rounded.iter().zip(exact).map(|(&x, y)| (f64::from(x) - y).abs()).fold(0.0, f64::max)
    };
    Ok(outputs.iter().zip(exact).map(error).collect())
}

fn import(case: &Case) -> Result<Network, String> {
    if !case.model.is_empty() {
        return case.import();
    }
    // The one whose weights are in a file of their own.
    case.network(&OnnxFile::open(folder().join("external/model.onnx")).map_err(|error| error.to_string())?)
}

fn check(case: &Case) -> Result<(), String> {
    let network = import(case).map_err(|reason| format!("import: {reason}"))?;
    let inputs = case.graph_inputs(&network);
    let clear = evaluate(&network, &inputs)?;
    case.compare(&clear, |_, y| CLEAR * (1.0 + y.abs())).map_err(|reason| format!("clear: {reason}"))?;
    let errors = rounding_errors(&network, &inputs, &clear)?;
    let bound = |output: usize, _: f64| 5e-4 + 16.0 * errors[output];
    case.compare(&infer(&network, &inputs)?, bound)
        .map_err(|reason| format!("private: {reason} (rounding: {errors:?})"))
}

#[test]
fn exported_networks_agree() {
    let cases = read("exported.zip").cases;
    assert!(cases.len() > 150);
    check_all(&cases, |case| &case.name, check);
}
