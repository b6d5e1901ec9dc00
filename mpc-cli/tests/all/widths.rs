//! Calibrations of networks: measured by `mpc check`, used by the other commands.

use std::fs;

use serde_json::Value;

use crate::run::{File, command, json, stderr};

#[test]
fn a_calibration_is_measured_shown_and_used() {
    let file = File::new("widths.json", b"");
    let measured = command(&["check", "breast-cancer", "--images", "30", "--calibrate", file.path(), "--margin", "2"]);
    assert_eq!(measured.status.code(), Some(0), "{}", stderr(&measured));
    let sent = |report: &Value| report["phases"]["online"]["bytes_sent"][1].as_u64().unwrap();
    let plan = |widths: &[&str]| {
        let output = command(&[&["plan", "breast-cancer", "--json"], widths].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (whole, narrow) = (plan(&[]), plan(&["--widths", file.path()]));
    assert!(sent(&narrow) < sent(&whole));
    let wide = command(&["check", "breast-cancer", "--calibrate", file.path(), "--margin", "16"]);
    let said = String::from_utf8_lossy(&wide.stdout);
    let said = said.split_once("for --widths with --comparison-bits ").unwrap().1;
    let bits = said.split_once('\n').unwrap().0.to_owned();
    let refused = command(&["plan", "breast-cancer", "--widths", file.path()]);
    assert!(stderr(&refused).contains("a larger k will do"), "{}", stderr(&refused));
    plan(&["--widths", file.path(), "--comparison-bits", &bits]);
    let relus = |report: &Value| {
        let layers = report["per_layer"].as_array().unwrap().clone();
        layers.into_iter().filter(|layer| layer["kind"] == "relu").collect::<Vec<_>>()
    };
    assert!(relus(&whole).iter().all(|relu| relu["calibrated"] == false && relu["bound"] == 16_384.0));
    assert!(relus(&narrow).iter().all(|relu| relu["calibrated"] == true && relu["bound"].as_f64().unwrap() < 1024.0));
    let result = json(&["breast-cancer", "--images", "3", "--widths", "calibrated"]);
    assert!(result["agree"] == true && result["matches_plan"] == true, "{result}");
    // Another network has other layers, and smaller values a smaller bound.
    let other = command(&["plan", "lenet", "--widths", file.path()]);
    assert_eq!(other.status.code(), Some(2), "{}", stderr(&other));
    let mut calibration: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    calibration["margin"] = 0.into();
    for largest in calibration["largest"].as_object_mut().unwrap().values_mut() {
        *largest = 0.001.into();
    }
    let small = File::new("small.json", calibration.to_string().as_bytes());
    let output = command(&["check", "breast-cancer", "--images", "3", "--widths", small.path()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("and must stay below 1."));
}
