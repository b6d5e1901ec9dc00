//! Tables and files.

use std::fs;
use std::path::Path;
use std::thread;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use super::Row;
use super::published::PUBLISHED;

/// Prints our rows and the published ones.
pub(super) fn print(rows: &[Row]) {
    println!("\nResNet-32, one 3×32×32 image\n");
    let header =
        ["system", "parties", "setup s", "preprocessing s", "MB", "online s", "(fastest)", "MB", "rounds", "memory MB"];
    let mut ours = table(&header);
    for row in rows {
        ours.add_row([
            format!("here, {}", row.transport),
            row.parties.to_string(),
            format!("{:.3}", row.setup_seconds),
            format!("{:.3}", row.preprocessing_seconds),
            megabytes(row.preprocessing_bytes),
            format!("{:.4}", row.online_seconds),
            format!("{:.4}", row.online_seconds_least),
            megabytes(row.online_bytes),
            row.online_rounds.to_string(),
            megabytes(row.peak_memory_bytes),
        ]);
    }
    println!("{ours}");
    println!(
        "Medians on this machine ({}). Setup: start, handshake and loading the model, once. Preprocessing MB: from",
        machine()
    );
    println!("the dealer to the last party. Online MB: sent by a party to all others. Memory: the largest process.\n");

    let mut theirs = table(&["published", "servers", "pre-processing s", "MB", "online s", "MB"]);
    for row in &PUBLISHED {
        theirs.add_row([
            format!("{} (Table {})", row.system, row.table),
            row.servers.to_string(),
            row.preprocessing_seconds.to_string(),
            row.preprocessing_megabytes.map_or_else(|| "-".to_owned(), |megabytes| megabytes.to_string()),
            row.online_seconds.to_string(),
            row.online_megabytes.to_string(),
        ]);
    }
    println!("{theirs}");
    println!("Published figures, from other machines: the systems' times are not comparable with those above, nor all");
    println!("with one another. Patel and Nester, A comprehensive analysis of CrypTen for Neural Network inference.");
}

/// Writes results.json and results.csv.
pub(super) fn write(folder: &Path, rows: &[Row]) -> Result<(), String> {
    let report = json!({ "model": "resnet32", "machine": machine(), "rows": rows, "published": PUBLISHED });
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
    let mut text =
        "source,system,parties,preprocessing_seconds,preprocessing_bytes,online_seconds,online_bytes,online_rounds\n"
            .to_owned();
    for row in rows {
        let Row { transport, parties, preprocessing_seconds, preprocessing_bytes, .. } = row;
        text += &format!("measured,{transport},{parties},{preprocessing_seconds},{preprocessing_bytes},");
        text += &format!("{},{},{}\n", row.online_seconds, row.online_bytes, row.online_rounds);
    }
    for row in &PUBLISHED {
        let bytes = row.preprocessing_megabytes.map(|megabytes| (1e6 * megabytes).to_string()).unwrap_or_default();
        text += &format!("published,{},{},{},{bytes},", row.system, row.servers, row.preprocessing_seconds);
        text += &format!("{},{},\n", row.online_seconds, 1e6 * row.online_megabytes);
    }
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e6)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The processor, where the system tells, and the number of cores.
fn machine() -> String {
    let described = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = described.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", name.map_or("unknown processor", |(_, name)| name.trim()))
}
