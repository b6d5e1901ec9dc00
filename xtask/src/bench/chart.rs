//! Charts: bars of bytes by system, and of time by kind of layer.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::job::NETWORKS;
use super::published::PUBLISHED;
use super::row::Row;

const WIDTH: i32 = 960;
/// Where bars begin, and what they have at most.
const BARS: (i32, i32) = (270, 560);
const TOP: i32 = 60;
const BAR_HEIGHT: i32 = 26;
const FOOT: i32 = 50;

const COLOURS: [RGBColor; 12] = [
    RGBColor(0x33, 0x66, 0xaa),
    RGBColor(0xee, 0x88, 0x33),
    RGBColor(0x55, 0xaa, 0x66),
    RGBColor(0xbb, 0x44, 0x55),
    RGBColor(0x88, 0x66, 0xbb),
    RGBColor(0x88, 0x77, 0x55),
    RGBColor(0xcc, 0x77, 0xaa),
    RGBColor(0x77, 0x77, 0x77),
    RGBColor(0x44, 0xaa, 0xbb),
    RGBColor(0xcc, 0xbb, 0x44),
    RGBColor(0x22, 0x44, 0x55),
    RGBColor(0x99, 0xbb, 0x99),
];

/// The colours of others' bars and of ours, where there is one part.
const THEIRS: usize = 7;
const OURS: usize = 0;

/// A chart that was written.
pub(super) struct Chart {
    pub title: String,
    pub path: PathBuf,
}

/// A bar with its label, what is written behind it, and its parts by the index of their colour.
struct Bar {
    label: String,
    value: String,
    parts: Vec<(usize, f64)>,
}

/// Writes the charts of what was measured, and gives their titles and places.
pub(super) fn write(folder: &Path, rows: &[Row]) -> Result<Vec<Chart>, String> {
    let mut charts = Vec::new();
    for network in NETWORKS {
        let bars = bytes_by_system(network, rows);
        if rows.iter().any(|row| row.subject == network && row.batch == 1) {
            let title = format!("{network}: MB sent online for one image; logarithmic, 0.1 MB and more");
            let path = folder.join(format!("bytes-{network}.svg"));
            charts.push(Chart::save(path, title, |path, title| draw(path, title, &bars, &[]))?);
        }
    }
    for link in ["none", "lan", "wan"] {
        let rows = rows.iter().filter(|row| row.subject == "resnet32" && row.link == link && row.batch == 1);
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            let (bars, kinds) = time_by_kind(&rows);
            let over = if link == "none" { String::new() } else { format!(", {link} imitated") };
            let title = format!("ResNet-32: online time by kind of layer{over}");
            let path = folder.join(format!("layers-{link}.svg"));
            charts.push(Chart::save(path, title, |path, title| draw(path, title, &bars, &kinds))?);
        }
    }
    Ok(charts)
}

fn bytes_by_system(network: &str, rows: &[Row]) -> Vec<Bar> {
    let bar = |label: String, megabytes: f64, colour: usize| Bar {
        label,
        value: format!("{megabytes:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        parts: vec![(colour, (10.0 * megabytes).max(1.0).log10())],
    };
    let published = PUBLISHED.iter().filter(|row| row.subject == network);
    let published = published.map(|row| {
        bar(format!("{}, {} (Table {})", row.system, row.servers, row.tables), row.online_megabytes, THEIRS)
    });
    let ours = rows
        .iter()
        .filter(|row| row.subject == network && row.transport == "tcp" && row.link == "none" && row.batch == 1);
    let ours =
        ours.map(|row| bar(format!("here {}, {}", row.version, row.parties), row.online_bytes() as f64 / 1e6, OURS));
    published.chain(ours).collect()
}

/// The bars, and the kinds that their colours stand for.
fn time_by_kind(rows: &[&Row]) -> (Vec<Bar>, Vec<String>) {
    let mut kinds: Vec<String> = rows.iter().flat_map(|row| row.seconds_by_kind.keys().cloned()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let bar = |row: &&Row| {
        let seconds = |kind: &String| row.seconds_by_kind.get(kind).copied().unwrap_or(0.0);
        Bar {
            label: format!("{} parties, {}, {}", row.parties, row.version, row.transport),
            value: format!("{:.1} ms", 1e3 * kinds.iter().map(seconds).sum::<f64>()),
            parts: kinds.iter().map(seconds).enumerate().collect(),
        }
    };
    (rows.iter().map(bar).collect(), kinds)
}

impl Chart {
    /// A chart that `draw` writes to a path under a title.
    pub fn save(
        path: PathBuf,
        title: String,
        draw: impl FnOnce(&Path, &str) -> Result<(), Box<dyn Error>>,
    ) -> Result<Self, String> {
        draw(&path, &title).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("written: {}", path.display());
        Ok(Self { title, path })
    }
}

fn draw(path: &Path, title: &str, bars: &[Bar], legend: &[String]) -> Result<(), Box<dyn Error>> {
    let height = TOP + BAR_HEIGHT * bars.len() as i32 + FOOT;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, horizontal: HPos| {
        ("sans-serif", size).into_text_style(&area).color(&BLACK).pos(Pos::new(horizontal, VPos::Center))
    };
    area.draw(&Text::new(title, (20, TOP / 2), style(18, HPos::Left)))?;
    let length = |bar: &Bar| bar.parts.iter().map(|(_, length)| length).sum::<f64>();
    let longest = bars.iter().map(length).fold(f64::MIN_POSITIVE, f64::max);
    for (bar, at) in bars.iter().zip(0..) {
        let top = TOP + at * BAR_HEIGHT;
        let middle = top + BAR_HEIGHT / 2;
        area.draw(&Text::new(bar.label.as_str(), (BARS.0 - 8, middle), style(14, HPos::Right)))?;
        let place = |length: f64| BARS.0 + (length / longest * f64::from(BARS.1)).round() as i32;
        let mut end = 0.0;
        for &(colour, length) in &bar.parts {
            let (left, right) = (place(end), place(end + length));
            let fill = COLOURS[colour % COLOURS.len()].filled();
            area.draw(&Rectangle::new([(left, top + 3), (right, top + BAR_HEIGHT - 3)], fill))?;
            end += length;
        }
        area.draw(&Text::new(bar.value.as_str(), (place(end) + 8, middle), style(14, HPos::Left)))?;
    }
    let step = (WIDTH - 40) / legend.len().max(1) as i32;
    for ((kind, at), colour) in legend.iter().zip(0..).zip(COLOURS.iter().cycle()) {
        let (left, middle) = (20 + at * step, height - FOOT / 2);
        area.draw(&Rectangle::new([(left, middle - 6), (left + 12, middle + 6)], colour.filled()))?;
        area.draw(&Text::new(kind.as_str(), (left + 18, middle), style(13, HPos::Left)))?;
    }
    area.present()?;
    Ok(())
}
