//! Charts of cost against size, both logarithmic.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::chart::Chart;
use super::job::BATCHED;
use super::row::Row;
use super::sizes::{elements, relus};

const SIZE: (i32, i32) = (960, 480);
/// The plot's left, right, top and bottom.
const PLOT: [i32; 4] = [80, 720, 60, 420];

const COLOURS: [RGBColor; 4] =
    [RGBColor(0x33, 0x66, 0xaa), RGBColor(0xee, 0x88, 0x33), RGBColor(0x55, 0xaa, 0x66), RGBColor(0xbb, 0x44, 0x55)];

/// A name and points, each with a positive size and a positive cost.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// The cost of a size.
type Cost = fn(&Row) -> f64;

/// Writes the charts of what was measured in more than one size, and gives their titles and places.
pub(super) fn write(folder: &Path, rows: &[Row]) -> Result<Vec<Chart>, String> {
    let rows: Vec<_> = rows.iter().filter(|row| row.transport == "tcp" && row.link == "none").collect();
    let mut batches: Vec<_> =
        rows.iter().filter(|row| row.subject == BATCHED && row.parties == 2 && row.version == "v2").copied().collect();
    batches.sort_by_key(|row| row.batch);
    let of_image: [(&str, Cost); 4] = [
        ("preprocessing, ms", |row| 1e3 * row.per_image(row.preprocessing_seconds)),
        ("online, ms", |row| 1e3 * row.per_image(row.online_seconds)),
        ("in the clear, ms", |row| 1e3 * row.per_image(row.plain_seconds)),
        ("sent online, MB", |row| row.per_image(row.online_bytes() as f64) / 1e6),
    ];
    let title = "ResNet-32, 2 parties: cost of an image against the batch";
    let batches = save(folder.join("batches.svg"), title, &lines(&batches, |row| row.batch.into(), &of_image))?;
    let of_layer: [(&str, Cost); 3] = [
        ("preprocessing, ms", |row| 1e3 * row.preprocessing_seconds),
        ("online, ms", |row| 1e3 * row.inner_seconds),
        ("sent online, MB", |row| row.inner_bytes as f64 / 1e6),
    ];
    let relus: Vec<_> = relus(&rows).collect();
    let title = "ReLU, 2 parties: cost of a layer against its size";
    let relus = save(folder.join("relus.svg"), title, &lines(&relus, elements, &of_layer))?;
    Ok(batches.into_iter().chain(relus).collect())
}

fn lines(rows: &[&Row], size: fn(&Row) -> f64, costs: &[(&'static str, Cost)]) -> Vec<Line> {
    let line = |&(name, cost): &(&'static str, Cost)| {
        let points = rows.iter().map(|row| (size(row), cost(row)));
        Line { name, points: points.filter(|&(x, y)| x > 0.0 && y > 0.0).collect() }
    };
    costs.iter().map(line).collect()
}

/// Writes a chart, if there is more than one size.
fn save(path: PathBuf, title: &str, lines: &[Line]) -> Result<Option<Chart>, String> {
    if lines.iter().all(|line| line.points.len() < 2) {
        return Ok(None);
    }
    Chart::save(path, title.to_owned(), |path, title| draw(path, title, lines)).map(Some)
}

fn draw(path: &Path, title: &str, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, (SIZE.0 as u32, SIZE.1 as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, horizontal: HPos| {
        ("sans-serif", size).into_text_style(&area).color(&BLACK).pos(Pos::new(horizontal, VPos::Center))
    };
    area.draw(&Text::new(title, (20, PLOT[2] / 2), style(18, HPos::Left)))?;
    let points = || lines.iter().flat_map(|line| &line.points);
    let (sizes, costs) = (Axis::new(points().map(|point| point.0)), Axis::new(points().map(|point| point.1)));
    let [left, right, top, bottom] = PLOT;
    let x = |size: f64| left + (sizes.part(size) * f64::from(right - left)).round() as i32;
    let y = |cost: f64| bottom - (costs.part(cost) * f64::from(bottom - top)).round() as i32;
    let grey = RGBColor(0xdd, 0xdd, 0xdd);
    for power in costs.powers() {
        area.draw(&PathElement::new([(left, y(power)), (right, y(power))], grey))?;
        area.draw(&Text::new(power.to_string(), (left - 8, y(power)), style(13, HPos::Right)))?;
    }
    let mut marks: Vec<f64> = points().map(|point| point.0).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    for mark in marks {
        area.draw(&PathElement::new([(x(mark), top), (x(mark), bottom)], grey))?;
        area.draw(&Text::new(mark.to_string(), (x(mark), bottom + 16), style(13, HPos::Center)))?;
    }
    for ((line, colour), place) in lines.iter().zip(COLOURS.iter().cycle()).zip(0..) {
        let path: Vec<_> = line.points.iter().map(|&(size, cost)| (x(size), y(cost))).collect();
        for &point in &path {
            area.draw(&Circle::new(point, 4, colour.filled()))?;
        }
        area.draw(&PathElement::new(path, colour.stroke_width(2)))?;
        let (mark, middle) = (right + 30, top + 24 * place);
        area.draw(&Rectangle::new([(mark, middle - 6), (mark + 12, middle + 6)], colour.filled()))?;
        area.draw(&Text::new(line.name, (mark + 20, middle), style(14, HPos::Left)))?;
    }
    area.present()?;
    Ok(())
}

/// A logarithmic axis between two powers of ten.
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    /// An axis that holds all values, which must be positive.
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let low = low.log10().floor() as i32;
        Self { low, high: (high.log10().ceil() as i32).max(low + 1) }
    }

    /// Where a value is, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low..=self.high).map(|power| 10f64.powi(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_their_values() {
        let axis = Axis::new([0.02, 5.0, 300.0].into_iter());
        assert_eq!((axis.low, axis.high), (-2, 3));
        assert!((axis.part(1.0) - 0.4).abs() < 1e-12);
        assert_eq!(axis.powers().count(), 6);
        let one = Axis::new([10.0].into_iter());
        assert_eq!((one.low, one.high, one.part(10.0)), (1, 2, 0.0));
    }
}
