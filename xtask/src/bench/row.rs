//! The measurements of one job.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::check::Figures;
use super::job::Job;
use crate::workspace::list;

/// A measured setting: medians over the runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub name: String,
    /// The network or layer.
    pub subject: &'static str,
    /// The knowledge of the weights, as Table 5 has it.
    pub version: &'static str,
    pub parties: u8,
    pub transport: &'static str,
    pub link: String,
    /// When correlations were drawn.
    pub preprocessing_mode: &'static str,
    pub runs: u32,
    /// Images of one inference.
    pub batch: u32,
    /// Inferences in the session of each run.
    pub inferences: u32,
    pub setup_seconds: f64,
    /// Of the session's first inference.
    pub preprocessing_seconds: f64,
    /// Of all inferences.
    pub online_seconds: f64,
    /// The fastest inference.
    pub online_seconds_least: f64,
    /// Of the session's first inference.
    pub online_seconds_first: f64,
    /// Of the same inference in the clear, by this project's own evaluation on one thread.
    pub plain_seconds: f64,
    pub figures: Figures,
    /// Online, of an average inference, without sharing the input and revealing the output.
    pub inner_seconds: f64,
    /// Sent by a party, likewise.
    pub inner_bytes: u64,
    pub inner_rounds: u64,
    /// Online by kind of layer, of an average inference.
    pub seconds_by_kind: BTreeMap<String, f64>,
    /// The largest process.
    pub peak_memory_bytes: u64,
}

impl Row {
    /// From the reports of `mpc run --json`, one for each run.
    pub fn new(job: &Job, reports: &[Value]) -> Result<Self, String> {
        let last = reports.last().ok_or("no run")?;
        let (preprocessing, online_first) = (first(reports, "preprocessing_seconds"), first(reports, "online_seconds"));
        let online: Vec<_> = reports.iter().flat_map(|report| inferences(report, "online_seconds")).collect();
        let plain = |report: &Value| seconds(&report["plain_seconds"]) / f64::from(job.inferences);
        let runs = u32::try_from(reports.len()).map_err(|error| error.to_string())?;
        let by_kind = seconds_by_kind(reports, f64::from(job.inferences) * f64::from(runs));
        let inner = || list(&last["per_layer"]).iter().filter(|layer| is_inner(kind(layer)));
        let sent =
            |party: u8| inner().filter_map(|layer| layer["bytes_sent"][usize::from(party)].as_u64()).sum::<u64>();
        let rounds = inner().filter_map(|layer| layer["rounds"].as_u64()).sum::<u64>();
        let peaks = reports.iter().filter_map(|report| report["peak_memory_bytes"].as_u64());
        Ok(Self {
            name: job.name(),
            subject: job.subject,
            version: job.version(),
            parties: job.parties,
            transport: job.transport,
            link: job.link.clone(),
            preprocessing_mode: job.preprocessing,
            runs,
            batch: job.batch,
            inferences: job.inferences,
            setup_seconds: median(
                reports.iter().map(|report| seconds(&report["phases"]["setup"]["seconds"])).collect(),
            ),
            preprocessing_seconds: median(preprocessing),
            online_seconds_least: online.iter().copied().fold(f64::INFINITY, f64::min),
            online_seconds: median(online),
            online_seconds_first: median(online_first),
            plain_seconds: median(reports.iter().map(plain).collect()),
            figures: Figures::from_phases(&last["phases"], job.inferences.into())?,
            inner_seconds: by_kind.iter().filter(|(kind, _)| is_inner(kind)).map(|(_, seconds)| seconds).sum(),
            inner_bytes: (0..job.parties).map(sent).max().unwrap_or(0) / u64::from(job.inferences),
            inner_rounds: rounds / u64::from(job.inferences),
            seconds_by_kind: by_kind,
            peak_memory_bytes: peaks.max().unwrap_or(0),
        })
    }

    /// Received by the party that receives the most.
    pub fn preprocessing_bytes(&self) -> u64 {
        self.figures.preprocessing_bytes_received.iter().copied().max().unwrap_or(0)
    }

    /// Sent to all others by the party that sends the most.
    pub fn online_bytes(&self) -> u64 {
        self.figures.online_bytes_sent.iter().copied().max().unwrap_or(0)
    }

    /// A share of an inference that falls on one image.
    pub fn per_image(&self, of_inference: f64) -> f64 {
        of_inference / f64::from(self.batch)
    }
}

/// Online by kind of layer, divided by the number of inferences in all runs.
fn seconds_by_kind(reports: &[Value], inferences: f64) -> BTreeMap<String, f64> {
    let mut by_kind = BTreeMap::new();
    for layer in reports.iter().flat_map(|report| list(&report["per_layer"])) {
        *by_kind.entry(kind(layer).to_owned()).or_insert(0.0) += seconds(&layer["seconds"]) / inferences;
    }
    by_kind
}

/// The seconds of each session's first inference, preprocessing and online together: the median.
pub(super) fn all_in_seconds(reports: &[Value]) -> f64 {
    let [drawn, online] = ["preprocessing_seconds", "online_seconds"].map(|name| first(reports, name));
    median(drawn.iter().zip(&online).map(|(drawn, online)| drawn + online).collect())
}

/// A figure of each session's first inference.
fn first(reports: &[Value], name: &str) -> Vec<f64> {
    reports.iter().filter_map(|report| inferences(report, name).first().copied()).collect()
}

/// A time of each inference of a session.
fn inferences(report: &Value, name: &str) -> Vec<f64> {
    list(&report["per_inference"]).iter().map(|inference| seconds(&inference[name])).collect()
}

fn kind(layer: &Value) -> &str {
    layer["kind"].as_str().unwrap_or_default()
}

fn is_inner(kind: &str) -> bool {
    !["input", "output"].contains(&kind)
}

fn seconds(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
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
