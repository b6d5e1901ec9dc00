//! Tables of what the paper lacks: batches and large networks, large layers, kinds of layers.

use super::job::LAYERS;
use super::job::{LARGE_LAYERS, NO_DEALER};
use super::report::{Part, megabytes, milliseconds};
use super::row::Row;
use crate::table::table;

const OF_IMAGES: &str = "\
In the clear: the same network and input, evaluated by this project on one thread, in the same run.
ResNet-50 has arbitrary weights, one 3×224×224 picture, and draws correlations as they are used.";

/// The tables of what was measured.
pub(super) fn parts(rows: &[Row]) -> Vec<Part> {
    let rows: Vec<_> = rows.iter().filter(|row| row.transport == "tcp" && row.link == "none").collect();
    let networks: Vec<_> = rows.iter().filter(|row| !row.subject.contains(':')).copied().collect();
    let mut parts = Vec::new();
    if !networks.is_empty() {
        parts.extend([images(&networks), kinds(&networks)]);
    }
    let relus: Vec<_> = relus(&rows).collect();
    if relus.iter().any(|row| LARGE_LAYERS.contains(&row.subject)) {
        parts.push(by_size(&relus));
    }
    parts
}

/// The ReLU layers with two parties and a dealer, by their size.
pub(super) fn relus<'a>(rows: &'a [&'a Row]) -> impl Iterator<Item = &'a Row> {
    let names = LAYERS.into_iter().chain(LARGE_LAYERS).filter(|layer| layer.starts_with("relu:"));
    let is_of = |row: &&Row, name: &str| row.subject == name && row.parties == 2 && row.version != NO_DEALER;
    names.flat_map(move |name| rows.iter().copied().filter(move |row| is_of(row, name)))
}

/// The number of ReLUs of such a layer.
pub(super) fn elements(row: &Row) -> f64 {
    row.subject.split(':').nth(1).and_then(|count| count.parse().ok()).unwrap_or(f64::NAN)
}

fn images(rows: &[&Row]) -> Part {
    let header = [
        "network",
        "parties",
        "batch",
        "preprocessing ms",
        "MB",
        "online ms",
        "MB",
        "rounds of a batch",
        "memory MB",
        "in the clear ms",
        "online / clear",
    ];
    let mut table = table(&header, 1);
    for row in rows {
        let (online, plain) = (row.per_image(row.online_seconds), row.per_image(row.plain_seconds));
        table.add_row([
            format!("{}, {}", row.subject, row.version),
            row.parties.to_string(),
            row.batch.to_string(),
            milliseconds(row.per_image(row.preprocessing_seconds)),
            megabytes(row.preprocessing_bytes() / u64::from(row.batch)),
            milliseconds(online),
            megabytes(row.online_bytes() / u64::from(row.batch)),
            row.figures.online_rounds.to_string(),
            format!("{:.1}", row.peak_memory_bytes as f64 / 1e6),
            milliseconds(plain),
            format!("{:.2}", online / plain),
        ]);
    }
    Part::new("For each image, over loopback TCP", table, OF_IMAGES)
}

fn kinds(rows: &[&Row]) -> Part {
    let mut kinds: Vec<&str> = rows.iter().flat_map(|row| row.seconds_by_kind.keys().map(String::as_str)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut table = table(&[&["network", "parties", "batch"], &kinds[..]].concat(), 1);
    for row in rows {
        let own = [format!("{}, {}", row.subject, row.version), row.parties.to_string(), row.batch.to_string()];
        let time =
            |kind: &&str| row.seconds_by_kind.get(*kind).map_or_else(|| "-".to_owned(), |&time| milliseconds(time));
        table.add_row(own.into_iter().chain(kinds.iter().map(time)));
    }
    Part::new("Online by kind of layer, ms of an inference", table, "")
}

fn by_size(rows: &[&Row]) -> Part {
    let header = ["ReLUs", "preprocessing ms", "online ms", "ns each", "bytes each", "rounds"];
    let mut table = table(&header, 1);
    for row in rows {
        let count = elements(row);
        table.add_row([
            count.to_string(),
            milliseconds(row.preprocessing_seconds),
            milliseconds(row.inner_seconds),
            format!("{:.1}", 1e9 * row.inner_seconds / count),
            format!("{:.3}", row.inner_bytes as f64 / count),
            row.inner_rounds.to_string(),
        ]);
    }
    Part::new("ReLU by size, 2 parties, the layer alone", table, "")
}
