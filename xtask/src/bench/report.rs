//! Tables and files.

use std::fs;
use std::path::Path;
use std::thread;

use comfy_table::{CellAlignment, Table};
use serde_json::json;

use super::crypten::Comparison;
use super::job::{LAYERS, NETWORKS};
use super::published::{PUBLISHED, Published};
use super::row::Row;
use crate::table::table;

/// A table with its title and what is to be known of it.
pub(super) struct Part {
    pub title: String,
    pub table: Table,
    pub notes: &'static str,
}

impl Part {
    pub fn new(title: impl Into<String>, table: Table, notes: &'static str) -> Self {
        Self { title: title.into(), table, notes }
    }

    pub fn print(&self) {
        println!("\n{}\n\n{}", self.title, self.table);
        if !self.notes.is_empty() {
            println!("{}", self.notes);
        }
    }
}

const OF_NETWORKS: &str = "\
v1: the model owner computes with its weights in the clear; v2: weights are secret-shared. Setup: start,
handshake and loading the model, once. Preprocessing MB: from the dealer to the last party, or without a
dealer, where the model owner computes, too, what that party receives to make correlations. Online MB:
sent by the party that sends most, to all others. Memory: the largest process. lan, wan: imitated.";

const OF_LAYERS: &str = "\
Single layers in processes over loopback TCP. Online: the layer alone, the mean of 10 inferences in a
session; \"with input and output\": the median with sharing its input and revealing its output.";

/// The reservation about published rows.
pub(super) const OF_PUBLISHED: &str = "\
Published figures are from other machines: their times are not comparable with ours, nor all with one
another. Patel and Nester, A comprehensive analysis of CrypTen for Neural Network inference.";

/// Our rows and the published ones.
pub(super) fn parts(rows: &[Row]) -> Vec<Part> {
    let networks = NETWORKS.into_iter().zip(["ResNet-32 (Tables 1 and 5)", "MiniONN (Tables 3 and 5)"]);
    let networks = networks.filter(|(network, _)| rows.iter().any(|row| row.subject == *network && row.batch == 1));
    let networks = networks
        .map(|(network, title)| Part::new(format!("{title}: one 3×32×32 image"), network_table(network, rows), ""));
    let kinds = [
        ("relu", "ReLU (Tables 2 and 4)"),
        ("maxpool", "MaxPool 2×2 (Tables 2 and 4)"),
        ("convolution", "Convolutions of 3×3 (Table 6)"),
    ];
    let is_measured = |kind: &str| {
        rows.iter().any(|row| row.subject.starts_with(kind) && row.parties == 2 && LAYERS.contains(&row.subject))
    };
    let layers = kinds.into_iter().filter(|(kind, _)| is_measured(kind));
    let layers = layers.map(|(kind, title)| Part::new(format!("{title}, 2 parties"), layer_table(kind, rows), ""));
    let mut parts = noted(networks, OF_NETWORKS);
    parts.extend(noted(layers, OF_LAYERS));
    parts
}

/// Tables with what is to be known of all of them, behind the last one.
fn noted(parts: impl Iterator<Item = Part>, notes: &'static str) -> Vec<Part> {
    let mut parts: Vec<_> = parts.collect();
    if let Some(last) = parts.last_mut() {
        last.notes = notes;
    }
    parts
}

fn network_table(network: &str, rows: &[Row]) -> Table {
    let header =
        ["system", "parties", "setup s", "preprocessing s", "MB", "online s", "(fastest)", "MB", "rounds", "memory MB"];
    let mut table = table(&header, 1);
    for row in published(network) {
        table.add_row([
            name(row),
            row.servers.to_string(),
            String::new(),
            optional(row.preprocessing_seconds),
            optional(row.preprocessing_megabytes),
            row.online_seconds.to_string(),
            String::new(),
            row.online_megabytes.to_string(),
        ]);
    }
    for row in rows.iter().filter(|row| row.subject == network && row.batch == 1) {
        table.add_row([
            format!("here, {}, {}{}", row.version, row.transport, over(row)),
            row.parties.to_string(),
            format!("{:.3}", row.setup_seconds),
            format!("{:.3}", row.preprocessing_seconds),
            megabytes(row.preprocessing_bytes()),
            format!("{:.4}", row.online_seconds),
            format!("{:.4}", row.online_seconds_least),
            megabytes(row.online_bytes()),
            row.figures.online_rounds.to_string(),
            format!("{:.1}", row.peak_memory_bytes as f64 / 1e6),
        ]);
    }
    table
}

/// The link that a row was measured over, if it is imitated.
fn over(row: &Row) -> String {
    if row.link == "none" { String::new() } else { format!(", {}", row.link) }
}

fn layer_table(kind: &str, rows: &[Row]) -> Table {
    let header = [
        "layer",
        "system",
        "setup ms",
        "preprocessing ms",
        "MB",
        "online ms",
        "MB",
        "rounds",
        "ms with input and output",
    ];
    let mut table = table(&header, 1);
    table.column_mut(1).into_iter().for_each(|column| column.set_cell_alignment(CellAlignment::Left));
    for layer in LAYERS.into_iter().filter(|layer| layer.starts_with(kind)) {
        let shown = layer.split(':').nth(1).unwrap_or_default().replace('x', "×");
        for row in published(layer) {
            table.add_row([
                shown.clone(),
                name(row),
                row.preprocessing_seconds.map_or_else(|| "-".to_owned(), milliseconds),
                String::new(),
                optional(row.preprocessing_megabytes),
                milliseconds(row.online_seconds),
                row.online_megabytes.to_string(),
            ]);
        }
        for row in rows.iter().filter(|row| row.subject == layer && row.parties == 2) {
            table.add_row([
                shown.clone(),
                format!("here, {}{}", row.version, over(row)),
                milliseconds(row.setup_seconds),
                milliseconds(row.preprocessing_seconds),
                megabytes(row.preprocessing_bytes()),
                milliseconds(row.inner_seconds),
                megabytes(row.inner_bytes),
                row.inner_rounds.to_string(),
                milliseconds(row.online_seconds),
            ]);
        }
    }
    table
}

fn published(subject: &str) -> impl Iterator<Item = &'static Published> {
    PUBLISHED.iter().filter(move |row| row.subject == subject)
}

fn name(row: &Published) -> String {
    let tables = if row.tables.contains(',') { "Tables" } else { "Table" };
    format!("{} ({tables} {})", row.system, row.tables)
}

/// Writes results.json and results.csv.
pub(super) fn write(folder: &Path, rows: &[Row], comparisons: &[Comparison]) -> Result<(), String> {
    let report = json!({
        "machine": machine(),
        "rows": rows,
        "published": &PUBLISHED[..],
        "comparisons": comparisons,
    });
    let report = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())? + "\n";
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (name, text) in [("results.json", report), ("results.csv", csv(rows))] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Our rows and the published ones, with empty fields for what is unknown.
fn csv(rows: &[Row]) -> String {
    let mut text = "source,subject,system,parties,transport,link,batch,setup_seconds,preprocessing_seconds,\
                    preprocessing_bytes,online_seconds,online_bytes,online_rounds,layer_seconds,layer_bytes,plain_seconds\n"
        .to_owned();
    for row in rows {
        let Row { subject, version, parties, transport, link, setup_seconds, preprocessing_seconds, .. } = row;
        text += &format!("measured,{subject},{version},{parties},{transport},{link},{},{setup_seconds},", row.batch);
        text += &format!("{preprocessing_seconds},{},", row.preprocessing_bytes());
        text += &format!("{},{},{},", row.online_seconds, row.online_bytes(), row.figures.online_rounds);
        text += &format!("{},{},{}\n", row.inner_seconds, row.inner_bytes, row.plain_seconds);
    }
    for row in &PUBLISHED {
        let field = |figure: Option<f64>| figure.map(|figure| figure.to_string()).unwrap_or_default();
        let bytes = |megabytes: f64| (1e6 * megabytes).round();
        text += &format!("published,{},{},{},,,1,,", row.subject, row.system, row.servers);
        text += &format!("{},{},", field(row.preprocessing_seconds), field(row.preprocessing_megabytes.map(bytes)));
        text += &format!("{},{},,,,\n", row.online_seconds, bytes(row.online_megabytes));
    }
    text
}

fn optional(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string())
}

pub(super) fn milliseconds(seconds: f64) -> String {
    format!("{:.2}", seconds * 1e3)
}

pub(super) fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 1.0 { format!("{megabytes:.4}") } else { format!("{megabytes:.2}") }
}

/// The processor, where the system tells, and the number of cores.
pub(super) fn machine() -> String {
    let described = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = described.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", name.map_or("unknown processor", |(_, name)| name.trim()))
}
