//! Bars on a terminal's stderr; log lines go above them. Where there is no terminal, nothing is drawn.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mpc_nn::{Plan, Step};
use mpc_ring::Ring;
use mpc_transport::{Phase, Traffic};

use crate::format::bytes;
use crate::logging::bars;

const TICK: Duration = Duration::from_millis(100);
const LAYERS: &str = "{prefix:<20} {bar:30.cyan/blue} {pos:>3}/{len} layers  {elapsed} (left {eta})  {msg}";
const COUNT: &str = "{prefix:<20} {bar:30.cyan/blue} {pos:>3}/{len} {msg}  {elapsed} (left {eta})";
const SPINNER: &str = "{prefix:<20} {spinner} {msg}  {elapsed}";

/// A line on the terminal that shows one thing after another.
pub struct Bar(ProgressBar);

/// The layers of a plan, as a bar shows them.
pub struct Layers(Vec<Layer>);

/// A layer, and what a party has sent and waited for online before it.
struct Layer {
    name: String,
    sent: u64,
    rounds: u64,
}

impl Layers {
    /// Of a plan, with what one party sends.
    pub fn new(plan: &Plan<impl Ring>, party: usize) -> Self {
        let (mut sent, mut rounds) = (0, 0);
        let layer = |step: &Step| {
            let layer = Layer { name: step.name.clone(), sent, rounds };
            let online = step.online.get(party);
            sent += online.map_or(0, Traffic::bytes_sent);
            rounds += online.map_or(0, |traffic| traffic.rounds);
            layer
        };
        Self(plan.steps().iter().map(layer).collect())
    }
}

impl Bar {
    /// Shows nothing yet.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Shows that something goes on.
    pub fn spin(&mut self, title: &str, message: &str) {
        self.show(ProgressBar::new_spinner(), SPINNER, title);
        self.0.set_message(message.to_owned());
    }

    /// Shows how many of something are done.
    pub fn count(&mut self, title: &str, len: u64, unit: &str) {
        self.show(ProgressBar::new(len), COUNT, title);
        self.0.set_message(unit.to_owned());
    }

    /// Shows the layers of an inference.
    pub fn layers(&mut self, title: &str, layers: &Layers) {
        self.show(ProgressBar::new(layers.0.len() as u64), LAYERS, title);
    }

    /// So much is done.
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    /// A layer begins.
    pub fn step(&self, layers: &Layers, phase: Phase, step: usize) {
        let Some(Layer { name, sent, rounds }) = layers.0.get(step) else { return };
        self.0.set_position(step as u64);
        self.0.set_message(match phase {
            Phase::Online => format!("{name}, {} sent, {rounds} rounds", bytes(*sent)),
            _ => format!("{name}: correlations"),
        });
    }

    /// Takes away what is shown.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }

    fn show(&mut self, bar: ProgressBar, template: &str, title: &str) {
        self.clear();
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        self.0 = bars().add(bar.with_style(style).with_prefix(title.to_owned()));
        self.0.enable_steady_tick(TICK);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
