//! A run's result for people.

use comfy_table::Table;

use super::arguments::{PreprocessingMode, RunArguments};
use super::subject::Meaning;
use super::summary::{LayerCost, OutputResult, PhaseCost, Phases, Summary};
use crate::format::{bytes, count, seconds};
use crate::table::table;

/// Layers in the table of the largest.
const LARGEST: usize = 8;

/// A run's result as text.
pub fn text(summary: &Summary, arguments: &RunArguments) -> String {
    let mut text = match summary.meaning {
        Meaning::Class if arguments.accuracy => accuracy(summary),
        Meaning::Class if summary.is_trained => image_rows(summary).to_string(),
        Meaning::Mask => masks(summary),
        _ => output_rows(summary).to_string(),
    };
    if !summary.is_trained {
        text += "\nThe weights are made up: the results mean nothing beyond being those in the clear.";
    }
    if arguments.output.quiet {
        return text + "\n";
    }
    text += &format!("\n\n{}\n", phases(summary));
    text += &format!("\nThe {LARGEST} largest layers by online time, over {}:\n", images(summary.count));
    text += &format!("{}\n\n{}\n", layers(summary), plan_line(summary));
    if let Some(peak) = summary.peak_memory_bytes {
        text += &format!("Peak memory: {}{}.\n", bytes(peak), by_process(summary));
    }
    text
}

/// The measured figures, which [`summarise`](super::summary::summarise) has found equal to the plan's.
fn plan_line(summary: &Summary) -> String {
    let (online, dealt) = (&summary.phases.online, &summary.phases.preprocessing.bytes_received);
    if summary.no_dealer {
        let Phases { setup, preprocessing, .. } = &summary.phases;
        let both_ways = |cost: &PhaseCost| bytes(cost.bytes_sent.iter().sum());
        return format!(
            "Measured as planned, at every party and step: {} bytes sent by a party in {} rounds online. Without a dealer: both \
             ways {} once for the model, and {} in {} rounds for the correlations.",
            count(largest(&online.bytes_sent)),
            count(online.rounds),
            both_ways(setup),
            both_ways(preprocessing),
            count(preprocessing.rounds),
        );
    }
    format!(
        "Measured as planned, at every party and step: {} bytes sent by a party in {} rounds online, {} bytes dealt to \
         the last party.",
        count(largest(&online.bytes_sent)),
        count(online.rounds),
        count(dealt.last().copied().unwrap_or(0)),
    )
}

fn images(number: usize) -> String {
    if number == 1 { "1 image".to_owned() } else { format!("{number} images") }
}

fn image_rows(summary: &Summary) -> Table {
    let mut rows = table(&["image", "shows", "private", "in the clear", "largest logit error"], 0);
    for image in &summary.images {
        let label = image.label.map_or_else(|| "?".to_owned(), |label| label.to_string());
        let (private, plain) = (image.predicted.to_string(), image.plain_predicted.to_string());
        rows.add_row([image.index.to_string(), label, private, plain, format!("{:.6}", image.max_logit_error)]);
    }
    rows
}

fn output_rows(summary: &Summary) -> Table {
    let mut rows = table(&["output", "shape", "largest magnitude", "largest error"], 2);
    for OutputResult { name, shape, max_magnitude, max_error } in &summary.outputs {
        rows.add_row([name.clone(), format!("{shape:?}"), format!("{max_magnitude:.4}"), format!("{max_error:.6}")]);
    }
    rows
}

fn masks(summary: &Summary) -> String {
    let percent = |part: Option<f64>| part.map_or_else(|| "?".to_owned(), |part| format!("{:.3} %", 100.0 * part));
    [
        format!("pixels that agree      {}", percent(summary.pixel_agreement)),
        format!("private IoU            {}", percent(summary.private_iou)),
        format!("IoU in the clear       {}", percent(summary.plain_iou)),
        format!("largest logit error    {:.6}", summary.max_logit_error),
    ]
    .join("\n")
}

fn accuracy(summary: &Summary) -> String {
    let percent =
        |accuracy: Option<f64>| accuracy.map_or_else(|| "?".to_owned(), |part| format!("{:.2} %", 100.0 * part));
    let time = summary.phases.setup.seconds + summary.phases.preprocessing.seconds + summary.phases.online.seconds;
    let mut lines = vec![
        format!("private accuracy       {}", percent(summary.private_accuracy)),
        format!("plaintext accuracy     {}", percent(summary.plain_accuracy)),
        format!("labels that agree      {} of {}", summary.labels_agreeing.unwrap_or(0), summary.count),
        format!("largest logit error    {:.6}", summary.max_logit_error),
        format!("time                   {}, {} for an image", seconds(time), seconds(time / summary.count as f64)),
    ];
    let differing = summary.images.iter().filter(|image| image.predicted != image.plain_predicted);
    lines.extend(differing.map(|image| {
        format!("image {}: private {}, in the clear {}", image.index, image.predicted, image.plain_predicted)
    }));
    lines.join("\n")
}

/// Phases with time, bytes and rounds; with a column for one image where there are several.
fn phases(summary: &Summary) -> Table {
    let is_several = summary.count > 1;
    let mut header = vec!["phase", "time", "sent by a party", "received by a party", "by the last party", "rounds"];
    if is_several {
        header.extend(["time per image", "sent per image"]);
    }
    let mut rows = table(&header, 1);
    let phases = &summary.phases;
    for (name, cost) in [("setup", &phases.setup), ("preprocessing", &phases.preprocessing), ("online", &phases.online)]
    {
        let mut row = phase_row(name, cost);
        if is_several && name == "setup" {
            row.extend(["once".to_owned(), "once".to_owned()]);
        } else if is_several {
            let images = summary.count as u64;
            row.push(seconds(cost.seconds / summary.count as f64));
            row.push(bytes(largest(&cost.bytes_sent) / images));
        }
        rows.add_row(row);
    }
    rows
}

fn phase_row(name: &str, cost: &PhaseCost) -> Vec<String> {
    let (last, others) = cost.bytes_received.split_last().map_or((0, &[][..]), |(&last, others)| (last, others));
    vec![
        name.to_owned(),
        seconds(cost.seconds),
        bytes(largest(&cost.bytes_sent)),
        bytes(largest(others)),
        bytes(last),
        cost.rounds.to_string(),
    ]
}

fn largest(values: &[u64]) -> u64 {
    values.iter().copied().max().unwrap_or(0)
}

fn layers(summary: &Summary) -> Table {
    let mut layers: Vec<&LayerCost> = summary.per_layer.iter().collect();
    layers.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let dealt = if summary.no_dealer { "received to make correlations" } else { "dealt to the last party" };
    let is_streamed = summary.preprocessing_mode == PreprocessingMode::Streamed;
    let mut header = vec!["layer", "kind", "online", "sent by a party", "rounds", dealt];
    if is_streamed {
        header.push("drawing them");
    }
    let mut rows = table(&header, 2);
    for layer in layers.into_iter().take(LARGEST) {
        let (sent, dealt) = (bytes(largest(&layer.bytes_sent)), bytes(layer.dealt_bytes));
        let mut row =
            vec![layer.name.clone(), layer.kind.to_owned(), seconds(layer.seconds), sent, count(layer.rounds), dealt];
        if is_streamed {
            row.push(seconds(layer.preprocessing_seconds));
        }
        rows.add_row(row);
    }
    rows
}

fn by_process(summary: &Summary) -> String {
    if summary.peak_memory_by_process.is_empty() {
        return String::new();
    }
    let each = summary.peak_memory_by_process.iter().map(|(node, peak)| format!("{node} {}", bytes(*peak)));
    format!(" ({})", each.collect::<Vec<_>>().join(", "))
}
