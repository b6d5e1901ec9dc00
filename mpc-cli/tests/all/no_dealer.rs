//! `mpc run --no-dealer` and `mpc plan --no-dealer`.

use std::process::Command;

use serde_json::Value;

use crate::run::{assert_refused, json};

#[test]
fn two_parties_need_no_dealer() {
    let dealt = json(&["breast-cancer", "--images", "4", "--batch", "2", "--owner-computes"]);
    let mut costs = Vec::new();
    for more in [&["--transport", "memory"][..], &["--transport", "tcp", "--pipeline"], &["--transport", "tls"]] {
        let own = json(&[&["breast-cancer", "--images", "4", "--batch", "2", "--no-dealer"], more].concat());
        assert_eq!(own["agree"], true);
        assert_eq!(own["no_dealer"], true);
        for what in ["bytes_sent", "bytes_received", "rounds"] {
            assert_eq!(own["phases"]["online"][what], dealt["phases"]["online"][what], "{what}");
        }
        costs.push(["setup", "preprocessing"].map(|phase| own["phases"][phase]["bytes_sent"].clone()));
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

#[test]
fn a_plan_prices_what_a_run_without_a_dealer_sends() {
    let arguments = ["breast-cancer", "--no-dealer", "--ot", "softspoken"];
    let run = json(&arguments);
    let plan = Command::new(env!("CARGO_BIN_EXE_mpc")).args(["plan", "--json"]).args(arguments).output().unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    for phase in ["preprocessing", "online"] {
        for what in ["bytes_sent", "bytes_received", "rounds"] {
            assert_eq!(plan["phases"][phase][what], run["phases"][phase][what], "{phase}, {what}");
        }
    }
}

#[test]
fn what_needs_a_dealer_is_refused() {
    assert_refused(&["--no-dealer", "--parties", "3"], "3 parties cannot make their own correlations");
    assert_refused(&["--no-dealer", "--transport", "services"], "services work with a dealer");
    assert_refused(&["--no-dealer", "--ring", "32"], "needs a dealer");
    assert_refused(&["--ot", "softspoken"], "--no-dealer");
}
