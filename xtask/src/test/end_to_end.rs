//! Whole inferences through the command line, checked by what it prints for programs.

use std::fs;

use serde_json::Value;

use super::Outcome;
use super::side_by_side::side_by_side;
use crate::workspace::{Mpc, Profile, Workspace, list};

/// The largest difference of a logit from the plaintext model's.
const LOGIT_ERROR: f64 = 0.02;
/// Bytes sent online for one image by a party to each other one.
const ONLINE_BYTES: u64 = 4_300_000;
/// Rounds online.
const ROUNDS: u64 = 140;
/// Bytes from the dealer to the last party for one image.
const DEALT_BYTES: u64 = 45_000_000;
/// Bytes from the dealer to every other party for one image: two seeds in a frame.
const SEED_BYTES: u64 = 72;
/// Held-out digits.
const DIGITS: u64 = 450;

/// One image with 2, 3 and 8 parties, in memory and, with 2 and 3, over TCP and TLS; and arguments that must be refused.
pub(super) fn run(workspace: &Workspace) -> Outcome {
    let mpc = match Mpc::build(workspace, Profile::Test) {
        Ok(mpc) => mpc,
        Err(error) => return Outcome::Failed(vec![error]),
    };
    let mut failures = Vec::new();
    let mut runs = 0;
    for (parties, networks) in [("2", &["tcp", "tls"][..]), ("3", &["tcp", "tls"]), ("8", &[])] {
        let image = ["run", "--json", "--parties", parties, "--first-image", "7"];
        let in_memory = check(&mpc, &[&image[..], &["--transport", "memory"]].concat(), check_one, &mut failures);
        runs += 1;
        for network in networks {
            let over_network = check(&mpc, &[&image[..], &["--transport", network]].concat(), check_one, &mut failures);
            runs += 1;
            if let (Some(memory), Some(other)) = (&in_memory, &over_network) {
                failures.extend(same_cost(memory, other).map(|what| format!("{parties} parties, {network}: {what}")));
            }
        }
    }
    let several = ["run", "--json", "--images", "2", "--preprocessing", "ahead"];
    let ahead = check(&mpc, &several, check_result, &mut failures);
    let pipelined = ["run", "--json", "--images", "2", "--pipeline", "--transport", "tcp"];
    let pipelined = check(&mpc, &pipelined, check_result, &mut failures);
    if let (Some(ahead), Some(pipelined)) = (&ahead, &pipelined) {
        failures.extend(same_cost(ahead, pipelined).map(|what| format!("pipelined: {what}")));
    }
    without_dealer(&mpc, &mut failures);
    calibrated(&mpc, &mut failures);
    let others: [(&[&str], Check); 2] = [
        (&["run", "unet", "--images", "64", "--batch", "16", "--picture", PICTURE, "--json"], check_masks),
        (&["run", "lenet", "--accuracy", "--json"], check_accuracy),
    ];
    let others = side_by_side(others.to_vec(), |(arguments, checks)| examine(&mpc, arguments, checks));
    failures.extend(others.into_iter().flat_map(|(_, failed)| failed));
    failures.extend(["2", "3", "4"].into_iter().filter_map(|parties| readme_row(workspace, &mpc, parties).err()));
    let refused = [
        &["unknown"][..],
        &["--parties", "9"],
        &["--images", "0"],
        &["--batch", "0"],
        &["--first-image", "450"],
        &["--input", "no-such-file.npy"],
        &["--weights", "Cargo.toml"],
        &["--fractional-bits", "60"],
        &["--pipeline", "--preprocessing", "streamed"],
        &["--no-dealer", "--parties", "3"],
        &["--no-dealer", "--transport", "services", "--parties", "3"],
        &["--ot", "softspoken"],
    ];
    failures.extend(refused.iter().filter_map(|arguments| refusal(&mpc, arguments).err()));
    Outcome::of(failures, format!("{} inferences, {} refusals", runs + 12, refused.len()))
}

/// Bytes that two parties without a dealer exchange once for a model, and for the correlations of one image, both ways: with
/// transfers that take the least time.
const OWN_BYTES: [u64; 2] = [13_000_000, 30_000_000];
/// With transfers that send the fewest bytes.
const FEWEST_BYTES: [u64; 2] = [13_000_000, 28_500_000];

/// One image without a dealer, in memory and over TLS: online all is as with one.
fn without_dealer(mpc: &Mpc, failures: &mut Vec<String>) {
    let image = ["run", "--json", "--first-image", "7"];
    let online = ["--owner-computes", "--comparisons", "few-bytes"];
    let dealt = check(mpc, &[&image[..], &online].concat(), check_result, failures);
    let mut own =
        |more: &[&str]| check(mpc, &[&image[..], &["--no-dealer"], more].concat(), check_without_dealer, failures);
    let memory = own(&[]);
    let secure = own(&["--transport", "tls", "--preprocessing", "ahead"]);
    if let (Some(dealt), Some(memory), Some(secure)) = (dealt, memory, secure) {
        let differ = |what: &&str| dealt["phases"]["online"][*what] != memory["phases"]["online"][*what];
        let other = ["bytes_sent", "bytes_received", "rounds"].into_iter().filter(differ);
        failures.extend(other.map(|what| format!("without a dealer, online: {what} differ from those with one")));
        failures.extend(same_cost(&memory, &secure).map(|what| format!("without a dealer, TLS: {what}")));
    }
    let few_bytes = [&image[..], &["--no-dealer", "--ot", "silent-few-bytes"]].concat();
    check(mpc, &few_bytes, |report| check_within(report, FEWEST_BYTES), failures);
    let soft = ["run", "breast-cancer", "--json", "--no-dealer", "--ot", "softspoken", "--images", "2", "--pipeline"];
    check(mpc, &soft, check_result, failures);
}

fn check_without_dealer(report: &Value) -> Vec<String> {
    check_within(report, OWN_BYTES)
}

fn check_within(report: &Value, limits: [u64; 2]) -> Vec<String> {
    let mut wrong = check_result(report);
    for (phase, limit) in ["setup", "preprocessing"].into_iter().zip(limits) {
        let bytes: u64 = list(&report["phases"][phase]["bytes_sent"]).iter().filter_map(Value::as_u64).sum();
        if bytes == 0 || bytes > limit {
            wrong.push(format!("{phase}: {bytes} bytes both ways, not 1 to {limit}"));
        }
    }
    wrong
}

/// The bytes that a party sends online and that are dealt to the last party, and the rounds online, with the bounds that come with
/// the network: as README.md has them.
const CALIBRATED: [u64; 3] = [2_598_216, 12_828_272, 126];

/// One image with the bounds that come with the network, with a dealer and without one.
fn calibrated(mpc: &Mpc, failures: &mut Vec<String>) {
    let image = ["run", "--json", "--first-image", "7", "--widths", "calibrated"];
    check(mpc, &image, check_calibrated, failures);
    check(mpc, &[&image[..], &["--no-dealer"]].concat(), check_without_dealer, failures);
}

fn check_calibrated(report: &Value) -> Vec<String> {
    let mut wrong = check_result(report);
    let (online, dealt) = (&report["phases"]["online"], &report["phases"]["preprocessing"]["bytes_received"]);
    let costs = [largest(&online["bytes_sent"]), largest(dealt), online["rounds"].as_u64().unwrap_or(u64::MAX)];
    if costs != CALIBRATED {
        wrong.push(format!("bytes sent, bytes dealt and rounds are {costs:?}, not {CALIBRATED:?}"));
    }
    wrong
}

/// A check that lists the faults of a report.
type Check = fn(&Value) -> Vec<String>;

/// Where the U-Net's masks go.
const PICTURE: &str = "target/unet.png";
/// The part of the pixels of masks that must be those in the clear.
const PIXEL_AGREEMENT: f64 = 0.999;
/// The intersection over union with the true masks that the bundled U-Net has at least.
const IOU: f64 = 0.8;

fn check_masks(report: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let (agreement, iou) = (number(&report["pixel_agreement"]), number(&report["private_iou"]));
    if !(agreement >= PIXEL_AGREEMENT && iou >= IOU) {
        wrong.push(format!("{agreement} of the pixels agree and the IoU is {iou}"));
    }
    wrong
}

/// Checks that the README's table of costs is what the plan says.
fn readme_row(workspace: &Workspace, mpc: &Mpc, parties: &str) -> Result<(), String> {
    let plan = mpc.json(&["plan", "--json", "--parties", parties])?;
    let phases = &plan["phases"];
    let dealt = list(&phases["preprocessing"]["bytes_received"]);
    let [first, last] = [dealt.first(), dealt.last()].map(|bytes| bytes.and_then(Value::as_u64).unwrap_or_default());
    let bytes = [largest(&phases["online"]["bytes_sent"]), last, first, largest(&phases["setup"]["bytes_sent"])];
    let row = format!("| {parties} | {} | {} |", phases["online"]["rounds"], bytes.map(grouped).join(" | "));
    let readme = fs::read_to_string(workspace.root.join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    if readme.lines().any(|line| line == row) {
        return Ok(());
    }
    Err(format!("README.md lacks this row of its table of costs: {row}"))
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Runs one command, checks its report, and gives the report back.
fn check(mpc: &Mpc, arguments: &[&str], checks: Check, failures: &mut Vec<String>) -> Option<Value> {
    let ((report, failed), printed) = examine(mpc, arguments, checks);
    print!("{printed}");
    failures.extend(failed);
    report
}

/// A command's report if it gave one, its failures, and what there is to print.
fn examine(mpc: &Mpc, arguments: &[&str], checks: Check) -> ((Option<Value>, Vec<String>), String) {
    let line = format!("mpc {}", arguments.join(" "));
    match mpc.json(arguments) {
        Ok(report) => {
            let printed = format!("$ {line}\n  {}\n", short(&report));
            let failures = checks(&report).into_iter().map(|what| format!("`{line}`: {what}")).collect();
            ((Some(report), failures), printed)
        }
        Err(error) => ((None, vec![error]), format!("$ {line}\n")),
    }
}

/// A report in a line.
fn short(report: &Value) -> String {
    let online = &report["phases"]["online"];
    format!(
        "agree: {}, largest logit error {:.5}, online: {} bytes sent, {} rounds, {:.3} s",
        report["agree"],
        number(&report["max_logit_error"]),
        largest(&online["bytes_sent"]),
        online["rounds"],
        number(&online["seconds"]),
    )
}

fn check_result(report: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if report["agree"] != true {
        wrong.push("the private labels are not those of the plaintext model".to_owned());
    }
    let images = list(&report["images"]);
    if images.is_empty() || images.iter().any(|image| image["predicted"] != image["plain_predicted"]) {
        wrong.push("an image's private label is not that of the plaintext model".to_owned());
    }
    let errors =
        std::iter::once(&report["max_logit_error"]).chain(images.iter().map(|image| &image["max_logit_error"]));
    let is_small = |error: &f64| *error < LOGIT_ERROR;
    if let Some(error) = errors.map(number).find(|error| !is_small(error)) {
        wrong.push(format!("a logit is off by {error}, not less than {LOGIT_ERROR}"));
    }
    wrong
}

/// One image: its result and what it cost.
fn check_one(report: &Value) -> Vec<String> {
    let mut wrong = check_result(report);
    let parties = report["parties"].as_u64().unwrap_or_default();
    let (online, preprocessing) = (&report["phases"]["online"], &report["phases"]["preprocessing"]);
    let mut at_most = |what: &str, value: u64, limit: u64| {
        if value == 0 || value > limit {
            wrong.push(format!("{what}: {value}, not 1 to {limit}"));
        }
    };
    at_most("bytes sent online by a party", largest(&online["bytes_sent"]), ONLINE_BYTES * parties.saturating_sub(1));
    at_most("rounds online", online["rounds"].as_u64().unwrap_or(u64::MAX), ROUNDS);
    if let Some((last, others)) = list(&preprocessing["bytes_received"]).split_last() {
        at_most("bytes dealt to the last party", last.as_u64().unwrap_or(u64::MAX), DEALT_BYTES);
        for other in others {
            at_most("bytes dealt to another party", other.as_u64().unwrap_or(u64::MAX), SEED_BYTES);
        }
    }
    for (phase, cost) in [("online", online), ("preprocessing", preprocessing)] {
        for bytes in ["bytes_sent", "bytes_received"] {
            if list(&cost[bytes]).len() as u64 != parties {
                wrong.push(format!("{phase}: {bytes} is not one number for each of {parties} parties"));
            }
        }
    }
    wrong
}

fn check_accuracy(report: &Value) -> Vec<String> {
    let mut wrong = check_result(report);
    for what in ["labels_agreeing", "count"] {
        if report[what] != DIGITS {
            wrong.push(format!("{what} is {}, not {DIGITS}", report[what]));
        }
    }
    if report["private_accuracy"] != report["plain_accuracy"] {
        wrong.push(format!(
            "private accuracy {}, in the clear {}",
            report["private_accuracy"], report["plain_accuracy"]
        ));
    }
    wrong
}

/// Bytes and rounds that differ between two reports.
fn same_cost<'a>(memory: &'a Value, tcp: &'a Value) -> impl Iterator<Item = String> + 'a {
    let phases = ["setup", "preprocessing", "online"];
    let pairs =
        phases.into_iter().flat_map(|phase| ["bytes_sent", "bytes_received", "rounds"].map(|what| (phase, what)));
    pairs.filter_map(|(phase, what)| {
        let (a, b) = (&memory["phases"][phase][what], &tcp["phases"][phase][what]);
        (a != b || a.is_null()).then(|| format!("{phase}, {what}: {a} in memory, {b} over TCP"))
    })
}

/// Checks that arguments are refused before anything runs: exit code 2, a message, no result.
fn refusal(mpc: &Mpc, arguments: &[&str]) -> Result<(), String> {
    let line = format!("mpc run {}", arguments.join(" "));
    let output = mpc.output(&[&["run"], arguments].concat())?;
    let message = String::from_utf8_lossy(&output.stderr);
    println!("$ {line}\n  {}", message.lines().next().unwrap_or_default());
    if output.status.code() != Some(2) || !output.stdout.is_empty() || !message.starts_with("error: ") {
        return Err(format!("`{line}` was not refused with exit code 2 and an error: {}\n{message}", output.status));
    }
    Ok(())
}

fn largest(values: &Value) -> u64 {
    list(values).iter().filter_map(Value::as_u64).max().unwrap_or(0)
}

/// A number, or NaN, which passes no check.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}
