//! The findings of a check.

use serde::Serialize;

use crate::precision::Departure;
use crate::table::table;
use crate::widths::bound;

/// A layer's values over all samples.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) smallest: f64,
    pub(super) largest: f64,
    /// The largest difference of plain fixed point to floating point.
    pub(super) fixed_point_error: f64,
    /// The largest difference of the private run to floating point.
    pub(super) private_error: f64,
    pub(super) departs: bool,
    /// The magnitude that its values must stay below, and whether that comes from a calibration.
    pub(super) bound: f64,
    pub(super) calibrated: bool,
    /// The largest difference of values that it compares with each other.
    pub(super) compared: Option<f64>,
    /// Whether its values reach the bound, or what it compares differs by that of all values.
    pub(super) out_of_range: bool,
}

impl Layer {
    pub(super) fn magnitude(&self) -> f64 {
        self.largest.max(-self.smallest)
    }

    /// Whether its values reach their bound.
    pub(super) fn reaches_bound(&self) -> bool {
        self.magnitude() >= self.bound
    }

    /// The largest difference of values that it compares, where that reaches the bound of all values.
    pub(super) fn spread(&self, bound: f64) -> Option<f64> {
        self.compared.filter(|&compared| compared >= bound)
    }
}

/// The part of the samples that each run classifies right.
#[derive(Clone, Debug, Serialize)]
pub struct Accuracy {
    pub(super) floating_point: f64,
    pub(super) fixed_point: f64,
    pub(super) private: f64,
}

/// The findings of a check, for tables and as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub(super) model: String,
    pub(super) fractional_bits: u32,
    pub(super) comparison_bits: u32,
    /// The bound that every magnitude must stay below.
    pub(super) bound: f64,
    pub(super) largest_magnitude: f64,
    /// The smallest k that leaves a factor of two above the largest magnitude.
    pub(super) smallest_comparison_bits: u32,
    pub(super) first_departing: Option<String>,
    /// Its reason, of the first inference in which one departs.
    pub(super) departure: Option<Departure>,
    /// Whether every private run gave results.
    pub(super) has_private: bool,
    pub(super) accuracy: Option<Accuracy>,
    /// The file that the calibration was written to.
    pub(super) calibration: Option<String>,
    /// The k that its bounds need.
    pub(super) calibrated_comparison_bits: Option<u32>,
    pub(super) layers: Vec<Layer>,
}

const NO_RESULT: &str = "A private run gave no result: one of its values was beyond the range of fixed point. \
                         Give --comparison-bits a larger number.";

/// The findings for people.
pub(super) fn text(report: &Report) -> String {
    let header = ["layer", "kind", "smallest", "largest", "bound", "fixed-point error", "private error", ""];
    let mut rows = table(&header, 2);
    for layer in &report.layers {
        let remark = match (layer.out_of_range, layer.departs) {
            (true, _) => "out of range",
            (false, true) => "departs",
            _ => "",
        };
        rows.add_row([
            layer.name.clone(),
            layer.kind.to_owned(),
            format!("{:.4}", layer.smallest),
            format!("{:.4}", layer.largest),
            bound(layer.bound.is_finite().then_some(layer.bound), layer.calibrated),
            format!("{:.6}", layer.fixed_point_error),
            if layer.private_error.is_nan() { "none".to_owned() } else { format!("{:.6}", layer.private_error) },
            remark.to_owned(),
        ]);
    }
    let verdict = match &report.first_departing {
        None if !report.has_private => NO_RESULT.to_owned(),
        Some(name) => format!("`{name}` is the first layer that departs from floating point."),
        None => "No layer departs from floating point.".to_owned(),
    };
    let mut lines = vec![rows.to_string(), String::new(), verdict];
    lines.extend(report.departure.iter().map(|departure| format!("{departure}.")));
    for layer in report.layers.iter().filter(|layer| layer.out_of_range) {
        let Layer { name, bound, .. } = layer;
        if layer.reaches_bound() {
            lines.push(format!("`{name}` reaches {:.4}, and must stay below {bound}.", layer.magnitude()));
        }
        let bound = report.bound;
        if let Some(compared) = layer.spread(bound) {
            lines.push(format!(
                "Values that `{name}` compares differ by {compared:.4}, and must differ by less than {bound}."
            ));
        }
    }
    if let Some(file) = &report.calibration {
        let needed = report.calibrated_comparison_bits.filter(|&bits| bits > report.comparison_bits);
        let needed = needed.map(|bits| format!(" with --comparison-bits {bits}")).unwrap_or_default();
        lines.push(format!("{file}: how large the values of each layer become, for --widths{needed}"));
    }
    lines.push(format!(
        "The largest magnitude is {:.4}; with f = {} and k = {} all must stay below {}. k = {} would do.",
        report.largest_magnitude,
        report.fractional_bits,
        report.comparison_bits,
        report.bound,
        report.smallest_comparison_bits
    ));
    if let Some(Accuracy { floating_point, fixed_point, private }) = &report.accuracy {
        let [float, fixed, private] =
            [floating_point, fixed_point, private].map(|part| format!("{:.2} %", 100.0 * part));
        lines.push(format!("Accuracy: {float} in floating point, {fixed} in fixed point, {private} privately."));
    }
    lines.join("\n") + "\n"
}
