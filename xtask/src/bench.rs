//! `cargo xtask bench`.

mod published;
mod report;

use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use crate::workspace::{Workspace, list, own_json, run as run_command};

/// Measures ResNet-32 and puts it beside published figures; or runs the micro benchmarks.
///
/// One inference of one image per run, each in fresh processes, with 2, 3 and 4 parties, in memory and over loopback TCP
/// between processes; all correlations are drawn before the online phase starts. Prints the medians, and writes
/// target/bench/results.json and results.csv. Times are of this machine; the published ones are of others.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// Runs of each setting, of which the median is taken.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Runs the criterion benchmarks of the crates instead.
    #[arg(long, conflicts_with = "runs")]
    micro: bool,
    /// With --micro: only benchmarks with this in their name.
    #[arg(value_name = "FILTER", requires = "micro")]
    filter: Option<String>,
}

/// A measured setting: medians over the runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    parties: u64,
    transport: String,
    runs: u32,
    setup_seconds: f64,
    preprocessing_seconds: f64,
    online_seconds: f64,
    /// The fastest run.
    online_seconds_least: f64,
    /// Received by the last party from the dealer.
    preprocessing_bytes: u64,
    /// Sent by a party to all others.
    online_bytes: u64,
    online_rounds: u64,
    peak_memory_bytes: u64,
}

/// Runs the command.
pub fn run(arguments: &BenchArguments) -> ExitCode {
    let done = Workspace::find().and_then(|workspace| {
        if arguments.micro { micro(&workspace, arguments.filter.as_deref()) } else { whole(&workspace, arguments.runs) }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The criterion benchmarks, crate by crate.
fn micro(workspace: &Workspace, filter: Option<&str>) -> Result<(), String> {
    for member in workspace.members.iter().filter(|member| !member.benches.is_empty()) {
        println!("\n=== {}", member.name);
        let mut command = workspace.cargo(["bench", "--package", &member.name]);
        command.args(member.benches.iter().flat_map(|bench| ["--bench", bench]));
        run_command(command.args(filter.iter().flat_map(|filter| ["--", filter])))?;
    }
    Ok(())
}

fn whole(workspace: &Workspace, runs: u32) -> Result<(), String> {
    let mut rows = Vec::new();
    for transport in ["memory", "tcp"] {
        for parties in ["2", "3", "4"] {
            eprintln!("ResNet-32, {parties} parties, {transport}: {runs} runs");
            rows.push(measure(parties, transport, runs)?);
        }
    }
    report::print(&rows);
    report::write(&workspace.target.join("bench"), &rows)
}

fn measure(parties: &str, transport: &str, runs: u32) -> Result<Row, String> {
    let arguments = ["infer", "--json", "--preprocessing", "ahead", "--parties", parties, "--transport", transport];
    let reports = (0..runs).map(|_| own_json(&arguments)).collect::<Result<Vec<_>, _>>()?;
    let last = reports.last().ok_or("no run")?;
    let (online, preprocessing) = (&last["phases"]["online"], &last["phases"]["preprocessing"]);
    let seconds = |phase: &str| {
        let mut seconds: Vec<_> =
            reports.iter().map(|report| report["phases"][phase]["seconds"].as_f64().unwrap_or(f64::NAN)).collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    };
    Ok(Row {
        parties: last["parties"].as_u64().unwrap_or_default(),
        transport: transport.to_owned(),
        runs,
        setup_seconds: median(&seconds("setup")),
        preprocessing_seconds: median(&seconds("preprocessing")),
        online_seconds: median(&seconds("online")),
        online_seconds_least: seconds("online").first().copied().unwrap_or(f64::NAN),
        preprocessing_bytes: list(&preprocessing["bytes_received"]).last().and_then(Value::as_u64).unwrap_or_default(),
        online_bytes: list(&online["bytes_sent"]).iter().filter_map(Value::as_u64).max().unwrap_or_default(),
        online_rounds: online["rounds"].as_u64().unwrap_or_default(),
        peak_memory_bytes: reports.iter().filter_map(|report| report["peak_memory_bytes"].as_u64()).max().unwrap_or(0),
    })
}

/// The middle of sorted values, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(&[1.0]), 1.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
    }
}
