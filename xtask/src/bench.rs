//! `cargo xtask bench`.

mod chart;
mod check;
mod job;
mod published;
mod report;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use check::{ByJob, Figures};
use job::Job;

use crate::workspace::{Workspace, list, own_json, run as run_command};

/// Measures networks and layers and puts them beside published figures; or runs the micro benchmarks.
///
/// ResNet-32 and MiniONN with 2 and 4 parties, ReLU, max pooling and convolutions with 2, over loopback TCP between
/// processes; the networks in memory too, and over imitated links where asked. All correlations are drawn before the online
/// phase starts. Prints the medians, and writes results.json, results.csv and charts to target/bench. Times are of this
/// machine; the published ones are of others. See BENCHMARKS.md.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// Runs of each setting, of which the median is taken.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The links: as they are, 1 Gb/s with 0.5 ms one way, 100 Mb/s with 40 ms one way. Over lan and wan the networks only.
    #[arg(long, value_enum, value_name = "LINK", value_delimiter = ',', default_values_t = [Link::None])]
    link: Vec<Link>,
    /// Only jobs with this in their name, such as resnet32 or relu.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Compares bytes and rounds, planned and measured, with the stored expectation, and fails on any difference.
    #[arg(long, conflicts_with_all = ["runs", "link", "only"])]
    check: bool,
    /// With --check: replaces the expectation by what is measured, if that is what is planned.
    #[arg(long, requires = "check")]
    bless: bool,
    /// Runs the criterion benchmarks of the crates instead.
    #[arg(long, conflicts_with_all = ["runs", "link", "only", "check"])]
    micro: bool,
    /// With --micro: only benchmarks with this in their name.
    #[arg(value_name = "FILTER", requires = "micro")]
    filter: Option<String>,
}

/// Links to measure over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Link {
    None,
    Lan,
    Wan,
}

impl Link {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }
}

/// A measured setting: medians over the runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    /// The network or layer.
    subject: &'static str,
    /// Who knows the weights, as Table 5 has it.
    version: &'static str,
    parties: u8,
    transport: &'static str,
    link: String,
    runs: u32,
    /// Inferences in the session of each run.
    inferences: u32,
    setup_seconds: f64,
    /// Of the session's first inference.
    preprocessing_seconds: f64,
    /// Of all inferences.
    online_seconds: f64,
    /// The fastest inference.
    online_seconds_least: f64,
    /// Of the session's first inference.
    online_seconds_first: f64,
    figures: Figures,
    /// Online, of an average inference, without sharing the input and revealing the output.
    inner_seconds: f64,
    /// Sent by a party, likewise.
    inner_bytes: u64,
    inner_rounds: u64,
    /// Online by kind of layer, of an average inference.
    seconds_by_kind: BTreeMap<String, f64>,
    /// The largest process.
    peak_memory_bytes: u64,
}

impl Row {
    /// Received by the party that receives the most.
    fn preprocessing_bytes(&self) -> u64 {
        self.figures.preprocessing_bytes_received.iter().copied().max().unwrap_or(0)
    }

    /// Sent to all others by the party that sends the most.
    fn online_bytes(&self) -> u64 {
        self.figures.online_bytes_sent.iter().copied().max().unwrap_or(0)
    }
}

/// Runs the command.
pub fn run(arguments: &BenchArguments) -> ExitCode {
    let done = Workspace::find().and_then(|workspace| match arguments {
        BenchArguments { micro: true, filter, .. } => micro(&workspace, filter.as_deref()),
        BenchArguments { check: true, bless, .. } => compare(&workspace, *bless),
        _ => whole(&workspace, arguments),
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

fn whole(workspace: &Workspace, arguments: &BenchArguments) -> Result<(), String> {
    let networks = job::networks();
    let is_wanted = |job: &Job| arguments.only.as_ref().is_none_or(|text| job.name().contains(text));
    let mut rows = Vec::new();
    for link in &arguments.link {
        for job in job::jobs(&networks, link.name()).iter().filter(|job| is_wanted(job)) {
            eprintln!("{}: {} runs", job.name(), arguments.runs);
            rows.push(measure(job, arguments.runs)?);
        }
    }
    if rows.is_empty() {
        return Err("no job has that in its name".to_owned());
    }
    report::print(&rows);
    let folder = workspace.target.join("bench");
    report::write(&folder, &rows)?;
    chart::write(&folder, &rows)
}

/// Compares bytes and rounds of every job with the plan and with the expectation, or makes that.
fn compare(workspace: &Workspace, bless: bool) -> Result<(), String> {
    let (mut planned, mut measured) = (ByJob::new(), ByJob::new());
    for job in job::jobs(&job::networks(), "none") {
        eprintln!("{}", job.name());
        planned.insert(job.name(), Figures::from_phases(&json(&job.plan())?["phases"], 1)?);
        let run = json(&job.run())?;
        measured.insert(job.name(), Figures::from_phases(&run["phases"], job.inferences.into())?);
    }
    let path = workspace.root.join("xtask").join("expectations").join("bench.json");
    let mut lines = check::differences(&planned, &measured, "measured");
    if bless && lines.is_empty() {
        check::write(&path, &measured)?;
        println!("written: {}", path.display());
    } else {
        let expected = check::read(&path)?;
        lines.extend(check::differences(&expected, &planned, "planned"));
        lines.extend(check::differences(&expected, &measured, "measured"));
    }
    if lines.is_empty() {
        println!("bytes and rounds of {} jobs: planned, measured and expected are equal", measured.len());
        Ok(())
    } else {
        Err(format!("{} differences in bytes and rounds\n  {}", lines.len(), lines.join("\n  ")))
    }
}

fn json(arguments: &[String]) -> Result<Value, String> {
    own_json(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn measure(job: &Job, runs: u32) -> Result<Row, String> {
    let reports = (0..runs).map(|_| json(&job.run())).collect::<Result<Vec<_>, _>>()?;
    let last = reports.last().ok_or("no run")?;
    let seconds = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let inferences = |report: &Value, name: &str| -> Vec<f64> {
        list(&report["per_inference"]).iter().map(|inference| seconds(&inference[name])).collect()
    };
    let first = |name: &str| -> Vec<f64> {
        reports.iter().filter_map(|report| inferences(report, name).first().copied()).collect()
    };
    let online: Vec<_> = reports.iter().flat_map(|report| inferences(report, "online_seconds")).collect();
    let each = |sum: f64| sum / f64::from(job.inferences);
    let mut seconds_by_kind = BTreeMap::new();
    for layer in reports.iter().flat_map(|report| list(&report["per_layer"])) {
        let kind = layer["kind"].as_str().unwrap_or_default().to_owned();
        *seconds_by_kind.entry(kind).or_insert(0.0) += each(seconds(&layer["seconds"])) / f64::from(runs);
    }
    let is_inner = |kind: &str| !["input", "output"].contains(&kind);
    let inner = || list(&last["per_layer"]).iter().filter(|layer| is_inner(layer["kind"].as_str().unwrap_or_default()));
    let sent = |party: u8| inner().filter_map(|layer| layer["bytes_sent"][usize::from(party)].as_u64()).sum::<u64>();
    Ok(Row {
        name: job.name(),
        subject: job.subject,
        version: job.version(),
        parties: job.parties,
        transport: job.transport,
        link: job.link.clone(),
        runs,
        inferences: job.inferences,
        setup_seconds: median(reports.iter().map(|report| seconds(&report["phases"]["setup"]["seconds"])).collect()),
        preprocessing_seconds: median(first("preprocessing_seconds")),
        online_seconds_least: online.iter().copied().fold(f64::INFINITY, f64::min),
        online_seconds: median(online),
        online_seconds_first: median(first("online_seconds")),
        figures: Figures::from_phases(&last["phases"], job.inferences.into())?,
        inner_seconds: seconds_by_kind.iter().filter(|(kind, _)| is_inner(kind)).map(|(_, seconds)| seconds).sum(),
        inner_bytes: (0..job.parties).map(sent).max().unwrap_or(0) / u64::from(job.inferences),
        inner_rounds: inner().filter_map(|layer| layer["rounds"].as_u64()).sum::<u64>() / u64::from(job.inferences),
        seconds_by_kind,
        peak_memory_bytes: reports.iter().filter_map(|report| report["peak_memory_bytes"].as_u64()).max().unwrap_or(0),
    })
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(vec![1.0]), 1.0);
        assert_eq!(median(vec![2.0, 1.0]), 1.5);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }
}
