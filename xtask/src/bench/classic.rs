//! The truncating ReLU beside the classic one, both of this project, in memory.

use std::fs;

use serde::Serialize;

use super::report::{machine, milliseconds};
use super::row::median;
use crate::table::table;
use crate::workspace::{Stream, Workspace, run_and_read};

/// The number of ReLUs.
const LEN: usize = 10_000;
/// f of the measurements.
const FRACTIONAL_BITS: u32 = 16;

/// The cost of a ReLU; a median over the runs.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    name: String,
    parties: usize,
    /// Online.
    seconds: f64,
    /// Sent by the party that sends the most.
    bytes_sent: u64,
    rounds: u64,
}

/// Measures both, which checks their results, prints a table and writes it.
pub(super) fn compare(workspace: &Workspace, runs: u32) -> Result<(), String> {
    let example = ["run", "--release", "--package", "mpc-protocols", "--example", "relu_classic", "--"];
    let mut measured = Vec::new();
    let mut command = workspace.cargo(example);
    let ended = run_and_read(command.arg(runs.to_string()), Stream::Output, |line| measured.extend(Cost::parse(line)))?;
    if !ended || measured.is_empty() {
        return Err("the example relu_classic of mpc-protocols failed; see above".to_owned());
    }
    let costs = medians(&measured);
    print(&costs, runs);
    let path = workspace.target.join("bench").join("relu-classic.json");
    let text = serde_json::to_string_pretty(&costs).map_err(|error| error.to_string())? + "\n";
    let written = fs::create_dir_all(workspace.target.join("bench")).and_then(|()| fs::write(&path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

impl Cost {
    /// A line of the example.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let &[name, parties, seconds, bytes_sent, rounds] = &words[..] else { return None };
        let (parties, seconds) = (parties.parse().ok()?, seconds.parse().ok()?);
        Some(Self {
            name: name.to_owned(),
            parties,
            seconds,
            bytes_sent: bytes_sent.parse().ok()?,
            rounds: rounds.parse().ok()?,
        })
    }
}

/// One of each, with the median of its times.
fn medians(measured: &[Cost]) -> Vec<Cost> {
    let mut costs: Vec<Cost> = Vec::new();
    for cost in measured {
        let is_same = |other: &&Cost| other.name == cost.name && other.parties == cost.parties;
        if !costs.iter().any(|known| is_same(&known)) {
            let seconds = median(measured.iter().filter(is_same).map(|cost| cost.seconds).collect());
            costs.push(Cost { seconds, ..cost.clone() });
        }
    }
    costs
}

fn print(costs: &[Cost], runs: u32) {
    let mut table =
        table(&["ReLU", "parties", "online ms", "bytes each", "rounds", "time of the truncating one × "], 1);
    for pair in costs.chunks(2) {
        for cost in pair {
            table.add_row([
                cost.name.to_owned(),
                cost.parties.to_string(),
                milliseconds(cost.seconds),
                format!("{:.3}", cost.bytes_sent as f64 / LEN as f64),
                cost.rounds.to_string(),
                format!("{:.2}", cost.seconds / pair[0].seconds),
            ]);
        }
    }
    println!("\n{LEN} ReLUs, medians of {runs} runs in turn ({})\n\n{table}", machine());
    println!(
        "In memory, a thread for each party in one process, correlations given, every result checked. The truncating"
    );
    println!(
        "ReLU also removes the {FRACTIONAL_BITS} bits that a product has too many, which the classic one does not."
    );
}
