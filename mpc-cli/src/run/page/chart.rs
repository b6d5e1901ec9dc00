//! Bars by layer.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::html::escape;

const WIDTH: i32 = 720;
/// Where bars begin, and what they have at most.
const BARS: (i32, i32) = (230, 390);
const BAR_HEIGHT: i32 = 22;
/// The bars of a chart; the rest is one more.
const SHOWN: usize = 15;
/// The longest name that is drawn, in characters.
const LONGEST_NAME: usize = 30;

/// A bar with its label, and what is written behind it.
#[derive(Clone, Debug)]
pub struct Bar {
    /// The layer.
    pub label: String,
    /// How long it is.
    pub length: f64,
    /// The same for people.
    pub value: String,
}

/// A chart of the longest bars and, in one, of the others; `show` is how their sum is written. The page's style colours it.
pub fn bars(title: &str, mut bars: Vec<Bar>, show: impl Fn(f64) -> String) -> String {
    bars.retain(|bar| bar.length > 0.0);
    bars.sort_by(|a, b| b.length.total_cmp(&a.length));
    if bars.len() > SHOWN {
        let others = bars.split_off(SHOWN);
        let length = others.iter().map(|bar| bar.length).sum();
        bars.push(Bar { label: format!("{} others", others.len()), length, value: show(length) });
    }
    let drawn = draw(&bars).unwrap_or_else(|error| format!("<p>{}</p>", escape(&error)));
    format!("<figure>\n<figcaption>{}</figcaption>\n{drawn}\n</figure>\n", escape(title))
}

fn draw(bars: &[Bar]) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let mut text = String::new();
    let size = (WIDTH as u32, BAR_HEIGHT as u32 * bars.len().max(1) as u32);
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    let style = |horizontal| ("sans-serif", 13).into_text_style(&area).pos(Pos::new(horizontal, VPos::Center));
    let longest = bars.iter().map(|bar| bar.length).fold(f64::MIN_POSITIVE, f64::max);
    for (bar, at) in bars.iter().zip(0..) {
        let (top, right) = (at * BAR_HEIGHT, BARS.0 + (bar.length / longest * f64::from(BARS.1)).round() as i32);
        let middle = top + BAR_HEIGHT / 2;
        let label = Text::new(shortened(&bar.label), (BARS.0 - 8, middle), style(HPos::Right));
        let value = Text::new(bar.value.clone(), (right + 8, middle), style(HPos::Left));
        let bar = Rectangle::new([(BARS.0, top + 3), (right, top + BAR_HEIGHT - 3)], BLUE.filled());
        area.draw(&label)
            .and_then(|()| area.draw(&bar))
            .and_then(|()| area.draw(&value))
            .map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))?;
    drop(area);
    Ok(text)
}

/// The end of a name that is too long: names of layers differ there.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST_NAME {
        return name.to_owned();
    }
    "…".chars().chain(name.chars().skip(length - LONGEST_NAME + 1)).collect()
}
