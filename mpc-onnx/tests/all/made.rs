//! Small models of operators and of scikit-learn's estimators, and networks that people reported, with the values that
//! onnxruntime and PyTorch give. `conformance/made.py` makes them.

use crate::cases::{Case, check_all, evaluate, infer, read};

fn check(case: &Case) -> Result<(), String> {
    let network = case.import().map_err(|reason| format!("import: {reason}"))?;
    let inputs = case.graph_inputs(&network);
    let bound = |_: usize, y: f64| case.tolerance + 1e-3 * y.abs();
    case.compare(&evaluate(&network, &inputs)?, bound).map_err(|reason| format!("clear: {reason}"))?;
    case.compare(&infer(&network, &inputs)?, bound).map_err(|reason| format!("private: {reason}"))
}

#[test]
fn made_models_agree() {
    let cases = read("made.zip").cases;
    assert!(cases.len() >= 390);
    check_all(&cases, |case| &case.name, check);
}

#[test]
fn reported_networks_agree() {
    let cases = read("reported.zip").cases;
    assert!(cases.len() >= 100);
    check_all(&cases, |case| &case.name, check);
}
