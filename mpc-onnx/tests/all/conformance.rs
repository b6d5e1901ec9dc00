//! The conformance cases of ONNX itself, in the clear and privately. `conformance/left_out.md` lists those left out.

use std::collections::BTreeSet;

use crate::cases::{Case, check_all, evaluate, infer, plan, read};
use mpc_onnx::{InputShapes, OnnxFile};

/// The largest error of a private run.
fn private_bound(_: usize, expected: f64) -> f64 {
    2e-3 + 1e-3 * expected.abs()
}

/// The largest error in the clear: ONNX's own relative one; some expected values were computed in half precision.
fn clear_bound(case: &Case, output: usize, expected: f64) -> f64 {
    let half = case.outputs[output].dtype == "float16" || case.inputs.iter().any(|input| input.dtype == "float16");
    if half { private_bound(output, expected) } else { 1e-4 + 1e-3 * expected.abs() }
}

fn check(case: &Case) -> Result<(), String> {
    let network = case.import().map_err(|reason| format!("import: {reason}"))?;
    let inputs = case.graph_inputs(&network);
    case.compare(&evaluate(&network, &inputs)?, |output, y| clear_bound(case, output, y))
        .map_err(|reason| format!("clear: {reason}"))?;
    case.compare(&infer(&network, &inputs)?, private_bound).map_err(|reason| format!("private: {reason}"))
}

#[test]
fn cases_agree() {
    let cases = read("node_tests.zip").cases;
    check_all(&cases, |case| &case.name, check);
}

/// A file without cases would agree, too.
#[test]
fn there_are_enough() {
    let cases = read("node_tests.zip").cases;
    let private = cases.iter().filter(|case| case.kind == "private").map(|case| &case.name).collect::<BTreeSet<_>>();
    assert!(private.len() >= 1360, "{}", private.len());
    assert!(cases.iter().all(|case| case.outputs.iter().all(|output| !output.values.is_empty())));
}

/// Operators and types that are not read are refused, with a reason for each; nothing panics.
#[test]
fn the_others_are_refused_or_read() {
    let left_out = read("node_tests.zip").left_out;
    check_all(
        &left_out,
        |model| &model.name,
        |model| {
            let file = OnnxFile::from_bytes(&model.model).map_err(|error| error.to_string())?;
            match file.import(&InputShapes::new()) {
                Err(error) if error.reasons.is_empty() => Err("refused without a reason".into()),
                // Once it is supported, it belongs among the cases.
                Ok(network) if model.reason == "refused" => match plan(&network) {
                    Ok(_) => Err("read, although listed as refused".into()),
                    Err(_) => Ok(()),
                },
                _ => Ok(()),
            }
        },
    );
}
