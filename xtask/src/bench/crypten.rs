//! The same networks and layers through CrypTen, on this machine and between our runs: the only comparison there is.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde_json::Value;

use super::job::{Job, LARGE_LAYERS, LARGE_NETWORK};
use super::report::{Part, megabytes, milliseconds};
use super::row::{Row, median};
use crate::table::table;
use crate::workspace::Workspace;

/// The largest batch that CrypTen is given.
const MAX_BATCH: u32 = 16;

/// Passes of a layer in each run: it takes so little that a single one says not much.
const LAYER_PASSES: u32 = 5;

/// Where CrypTen's correlations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// They are there before the clock starts.
    Given,
    /// A trusted third party, a process of its own, makes them while the clock runs.
    ThirdParty,
}

/// CrypTen's processes for one network or layer. They sleep between runs.
pub(super) struct Session {
    child: Child,
    /// Closed to end them.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    rounds: u64,
    runs: Vec<Run>,
}

/// The largest figures over the parties.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    /// Without sharing the input and revealing the output.
    inner_seconds: f64,
    /// Sent by a party over all its connections.
    bytes: u64,
}

/// A job of ours beside CrypTen's: medians over as many runs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Comparison {
    name: String,
    subject: &'static str,
    parties: u8,
    batch: u32,
    runs: u32,
    online: Pair,
    /// The layers alone, without sharing the input and revealing the output.
    layers: Pair,
    /// Correlations too.
    all_in: Pair,
    /// Sent online by a party.
    bytes: [u64; 2],
    rounds: [u64; 2],
}

/// Our seconds and CrypTen's.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pair {
    ours: f64,
    crypten: f64,
    ratio: f64,
}

impl Pair {
    fn new(ours: f64, crypten: f64) -> Self {
        Self { ours, crypten, ratio: crypten / ours }
    }

    fn cells(self) -> [String; 3] {
        [milliseconds(self.ours), milliseconds(self.crypten), format!("{:.1}", self.ratio)]
    }
}

/// Whether CrypTen runs what a job does: shared weights over loopback, and nothing that takes minutes.
pub(super) fn is_compared(job: &Job) -> bool {
    let is_plain = !job.owner_computes && job.transport == "tcp" && job.link == "none";
    is_plain && job.batch <= MAX_BATCH && !LARGE_LAYERS.contains(&job.subject) && job.subject != LARGE_NETWORK
}

impl Session {
    /// Starts the processes and waits for their first passes.
    ///
    /// # Errors
    /// A Python that does not start, or that lacks CrypTen.
    pub fn start(workspace: &Workspace, python: &Path, job: &Job, provider: Provider) -> Result<Self, String> {
        let script = workspace.root.join("xtask").join("crypten").join("bench.py");
        let provider = match provider {
            Provider::Given => "given",
            Provider::ThirdParty => "ttp",
        };
        let mut command = Command::new(python);
        command.arg(script).args([job.subject, &job.parties.to_string(), provider, &job.batch.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", python.display()))?;
        let missing = || "a process without its pipes".to_owned();
        let answers = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let orders = child.stdin.take();
        let mut session = Self { child, orders, answers, rounds: 0, runs: Vec::new() };
        let ready = session.answer()?;
        session.rounds = ready["rounds"].as_u64().ok_or("CrypTen's script counted no rounds")?;
        Ok(session)
    }

    /// One run: a pass through a network, or several through a layer.
    pub fn run(&mut self, job: &Job) -> Result<(), String> {
        let passes = if job.inferences > 1 { LAYER_PASSES } else { 1 };
        (0..passes).try_for_each(|_| self.pass())
    }

    fn pass(&mut self) -> Result<(), String> {
        let told = self.orders.as_mut().map(|orders| orders.write_all(b"run\n").and_then(|()| orders.flush()));
        told.transpose().map_err(|error| format!("CrypTen's script: {error}"))?;
        let answer = self.answer()?;
        let seconds = |name: &str| answer[name].as_f64().ok_or_else(|| format!("CrypTen's script: no {name}"));
        let bytes = answer["bytes"].as_u64().ok_or("CrypTen's script: no bytes")?;
        self.runs.push(Run { seconds: seconds("seconds")?, inner_seconds: seconds("inner_seconds")?, bytes });
        Ok(())
    }

    fn answer(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| format!("CrypTen's script: {error}"))?;
        serde_json::from_str(&line).map_err(|_| format!("CrypTen's script ended or said `{}`", line.trim()))
    }

    fn median(&self, figure: fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(figure).collect())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It ends its processes at the end of its input.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

impl Comparison {
    /// Our medians beside those of two sessions of CrypTen; `all_in` seconds took ours with correlations drawn as they are needed.
    pub fn new(row: &Row, all_in: f64, given: &Session, third_party: &Session) -> Self {
        Self {
            name: row.name.clone(),
            subject: row.subject,
            parties: row.parties,
            batch: row.batch,
            runs: row.runs,
            online: Pair::new(row.online_seconds, given.median(|run| run.seconds)),
            layers: Pair::new(row.inner_seconds, given.median(|run| run.inner_seconds)),
            all_in: Pair::new(all_in, third_party.median(|run| run.seconds)),
            bytes: [row.online_bytes(), given.runs.iter().map(|run| run.bytes).max().unwrap_or(0)],
            rounds: [row.figures.online_rounds, given.rounds],
        }
    }
}

const OF_COMPARISONS: &str = "\
A process for each party, over loopback TCP, one thread each. Online: from the input to the result, with
correlations given. All in, in runs of their own: correlations too, as they are needed, of ours by the dealer's
process, of CrypTen by its trusted third party's. MB: sent online by a party. Ours: the
first inference of a new session each run; of layers the first of 10 for \"all in\", else their median, and
their mean for the layer alone. CrypTen: medians after passes that warm it up. Ratio: its time by ours.";

/// The comparisons, if there are any.
pub(super) fn part(comparisons: &[Comparison]) -> Option<Part> {
    let first = comparisons.first()?;
    let header = [
        "network or layer",
        "parties",
        "batch",
        "online ms",
        "CrypTen",
        "ratio",
        "layers alone ms",
        "CrypTen",
        "ratio",
        "all in ms",
        "CrypTen",
        "ratio",
        "MB",
        "CrypTen",
        "rounds",
        "CrypTen",
    ];
    let mut table = table(&header, 1);
    for comparison in comparisons {
        let mut cells =
            vec![comparison.subject.to_owned(), comparison.parties.to_string(), comparison.batch.to_string()];
        cells.extend([comparison.online, comparison.layers, comparison.all_in].into_iter().flat_map(Pair::cells));
        cells.extend(comparison.bytes.map(megabytes));
        cells.extend(comparison.rounds.map(|rounds| rounds.to_string()));
        table.add_row(cells);
    }
    let title = format!("Compared with CrypTen on this machine, medians of {} runs of each in turn", first.runs);
    Some(Part::new(title, table, OF_COMPARISONS))
}
