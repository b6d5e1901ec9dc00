//! `cargo xtask bench`.

mod chart;
mod check;
mod classic;
mod crypten;
mod job;
mod lines;
mod page;
mod published;
mod report;
mod row;
mod sizes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use check::{ByJob, Figures};
use clap::ValueEnum;
use crypten::{Comparison, Provider, Session};
use job::Job;
use report::Part;
use row::Row;

use crate::checks::Checks;
use crate::workspace::{Mpc, Profile, Workspace, run as run_command};

/// Measures networks and layers and puts them beside published figures; or runs the micro benchmarks.
///
/// ResNet-32 and MiniONN with 2 and 4 parties, ReLU, max pooling and convolutions with 2, over loopback TCP between
/// processes; the networks in memory too; all of them over imitated links where asked; then batches of ResNet-32, ResNet-50 and
/// larger ReLU layers. All correlations are drawn before the online phase starts (of ResNet-50, and in a run more beside CrypTen: as they are used).
/// Prints the medians, and writes index.html, a page with all of it, results.json, results.csv and charts to target/bench. Times are of this machine; the
/// published ones are of others. See BENCHMARKS.md.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// Runs of each setting, of which the median is taken.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The links: as they are, 1 Gb/s with 0.5 ms one way, 100 Mb/s with 40 ms one way. Over lan and wan the tables' only.
    #[arg(long, value_enum, value_name = "LINK", value_delimiter = ',', default_values_t = [Link::None])]
    link: Vec<Link>,
    /// Only jobs with this in their name, such as resnet32 or relu.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A Python with CrypTen (xtask/crypten/requirements.txt): the same networks and layers run through it too, between
    /// our runs, and ratios are printed.
    #[arg(long, value_name = "PYTHON")]
    crypten: Option<PathBuf>,
    /// Compares the truncating ReLU with another one of this project's own on 10,000 elements in memory, and does
    /// nothing else.
    #[arg(long, value_enum, value_name = "KIND", conflicts_with_all = ["link", "only", "crypten"])]
    relu: Option<OtherRelu>,
    /// Compares bytes and rounds, planned and measured, with the stored expectation, and fails on any difference.
    #[arg(long, conflicts_with_all = ["runs", "link", "only", "crypten", "relu"])]
    check: bool,
    /// With --check: replaces the expectation by what is measured, if that is what is planned.
    #[arg(long, requires = "check")]
    bless: bool,
    /// Runs the criterion benchmarks of the crates instead.
    #[arg(long, conflicts_with_all = ["runs", "link", "only", "crypten", "relu", "check"])]
    micro: bool,
    /// Measures instead whether secrets change the time of the AVX-512 kernels, which Valgrind cannot run: fixed secrets against
    /// random ones, with Welch's t. To be run on an idle machine.
    #[arg(long, conflicts_with_all = ["runs", "link", "only", "crypten", "relu", "check", "micro"])]
    timing: bool,
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

/// The ReLU that the truncating one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OtherRelu {
    /// Based on an adder, as in most systems.
    Classic,
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

/// Runs the command.
pub fn run(arguments: &BenchArguments) -> ExitCode {
    let done = Workspace::find().and_then(|workspace| match arguments {
        BenchArguments { timing: true, .. } => timing(&workspace),
        BenchArguments { micro: true, filter, .. } => micro(&workspace, filter.as_deref()),
        BenchArguments { check: true, bless, .. } => compare(&workspace, *bless),
        BenchArguments { relu: Some(OtherRelu::Classic), runs, .. } => classic::compare(&workspace, *runs),
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

/// Whether secrets change the time of kernels.
fn timing(workspace: &Workspace) -> Result<(), String> {
    run_command(&mut Checks::build(workspace)?.command(["timing"]))
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
    let folder = workspace.target.join("bench");
    let mpc = Mpc::build(workspace, Profile::Release)?;
    job::write_picture(&folder)?;
    let mut jobs: Vec<_> = arguments.link.iter().flat_map(|link| job::jobs(link.name())).collect();
    if arguments.crypten.is_some() {
        jobs.extend(job::jobs_beside());
    }
    jobs.retain(|job| arguments.only.as_ref().is_none_or(|text| job.name().contains(text)));
    let (mut rows, mut comparisons) = (Vec::new(), Vec::new());
    for job in &jobs {
        eprintln!("{}: {} runs", job.name(), arguments.runs);
        match arguments.crypten.as_ref().filter(|_| crypten::is_compared(job)) {
            None => rows.push(measure(&mpc, job, arguments.runs, &folder)?),
            Some(python) => {
                let (row, comparison) = measure_beside(workspace, (&mpc, python), job, arguments.runs, &folder)?;
                rows.push(row);
                comparisons.push(comparison);
            }
        }
    }
    if rows.is_empty() {
        return Err("no job has that in its name".to_owned());
    }
    println!("\nMedians of {} runs on this machine ({}).", arguments.runs, report::machine());
    let mut parts = report::parts(&rows);
    parts.extend(sizes::parts(&rows));
    parts.extend(crypten::part(&comparisons));
    parts.iter().for_each(Part::print);
    println!("\n{}", report::OF_PUBLISHED);
    report::write(&folder, &rows, &comparisons)?;
    let mut charts = chart::write(&folder, &rows)?;
    charts.extend(lines::write(&folder, &rows)?);
    page::write(&folder, arguments.runs, &parts, &charts)
}

/// Compares bytes and rounds of every job with the plan and with the expectation, or makes that.
fn compare(workspace: &Workspace, bless: bool) -> Result<(), String> {
    let (mut planned, mut measured) = (ByJob::new(), ByJob::new());
    let folder = workspace.target.join("bench");
    let mpc = Mpc::build(workspace, Profile::Release)?;
    job::write_picture(&folder)?;
    for job in job::jobs("none").into_iter().filter(Job::is_checked) {
        eprintln!("{}", job.name());
        planned.insert(job.name(), Figures::from_phases(&mpc.json(&words(&job.plan()))?["phases"], 1)?);
        let run = mpc.json(&words(&job.run(&folder)))?;
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

/// A command line as borrowed words.
fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn measure(mpc: &Mpc, job: &Job, runs: u32, folder: &Path) -> Result<Row, String> {
    let reports = (0..runs).map(|_| mpc.json(&words(&job.run(folder)))).collect::<Result<Vec<_>, _>>()?;
    Row::new(job, &reports)
}

/// Runs of a job and of CrypTen in turn.
fn measure_beside(
    workspace: &Workspace,
    (mpc, python): (&Mpc, &Path),
    job: &Job,
    runs: u32,
    folder: &Path,
) -> Result<(Row, Comparison), String> {
    let mut given = Session::start(workspace, python, job, Provider::Given)?;
    let mut third_party = Session::start(workspace, python, job, Provider::ThirdParty)?;
    let (mut reports, mut streamed) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        reports.push(mpc.json(&words(&job.run(folder)))?);
        given.run(job)?;
        streamed.push(mpc.json(&words(&job.streamed().run(folder)))?);
        third_party.run(job)?;
    }
    let row = Row::new(job, &reports)?;
    let comparison = Comparison::new(&row, row::all_in_seconds(&streamed), &given, &third_party);
    Ok((row, comparison))
}
