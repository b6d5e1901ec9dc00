//! What a user sees on stderr while a session goes on: bars on a terminal, else a line now and then.

use std::time::{Duration, Instant};

use crate::format::bytes;
use indicatif::{ProgressBar, ProgressStyle};
use mpc_nn::Plan;
use mpc_ring::Ring;
use mpc_service::{Event, Watch};
use mpc_transport::{Phase, Traffic};

use crate::logging::bars;

const TICK: Duration = Duration::from_millis(100);
const STEPS: &str = "{prefix:<18} {bar:30.cyan/blue} {pos:>3}/{len} layers  {elapsed} (left {eta})  {msg}";
const COUNT: &str = "{prefix:<18} {bar:30.cyan/blue} {pos:>3}/{len}  {elapsed} (left {eta})";
const SPINNER: &str = "{prefix:<18} {spinner} {msg}  {elapsed}";

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of a session.
pub struct Bars {
    bar: ProgressBar,
    /// For each step its name, and what this party has sent and waited for before it.
    steps: Vec<(String, u64, u64)>,
    count: u32,
    began: Instant,
    written: Option<Instant>,
}

impl Bars {
    /// Of `count` inferences of a plan.
    pub fn new<R: Ring>(plan: &Plan<R>, count: u32) -> Self {
        let (mut sent, mut rounds) = (0, 0);
        let own = plan.settings().parties - 1;
        let mut step = |step: &mpc_nn::Step| {
            let before = (step.name.clone(), sent, rounds);
            let online = step.online.get(own);
            sent += online.map_or(0, Traffic::bytes_sent);
            rounds += online.map_or(0, |traffic| traffic.rounds);
            before
        };
        let steps = plan.steps().iter().map(&mut step).collect();
        let mut bars = Self { bar: ProgressBar::hidden(), steps, count, began: Instant::now(), written: None };
        bars.bar = bars.show(ProgressBar::new_spinner(), SPINNER, "connecting");
        bars
    }

    fn show(&self, bar: ProgressBar, template: &str, prefix: &str) -> ProgressBar {
        self.bar.finish_and_clear();
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        let bar = bars().add(bar.with_style(style).with_prefix(prefix.to_owned()));
        bar.enable_steady_tick(TICK);
        bar
    }

    fn step(&mut self, inference: u32, phase: Phase, step: usize) {
        if step == 0 && phase == Phase::Preprocessing {
            let title = format!("inference {} of {}", inference + 1, self.count);
            self.bar = self.show(ProgressBar::new(self.steps.len() as u64), STEPS, &title);
        }
        if let Some((name, sent, rounds)) = self.steps.get(step) {
            self.bar.set_position(step as u64);
            let what = match phase {
                Phase::Online => format!("{name}, {} sent, {rounds} rounds", bytes(*sent)),
                _ => format!("{name}: correlations"),
            };
            self.bar.set_message(what);
        }
    }

    /// Where there is no terminal: a line at the end, and now and then before.
    fn line(&mut self, done: u32, what: &str) {
        let is_due = self.written.is_none_or(|written| written.elapsed() >= LINE_INTERVAL) || done == self.count;
        if bars().is_hidden() && is_due {
            self.written = Some(Instant::now());
            eprintln!("{done} of {} {what} after {:.2} s", self.count, self.began.elapsed().as_secs_f64());
        }
    }
}

impl Watch for Bars {
    fn see(&mut self, event: Event) {
        match event {
            Event::Connected => self.bar = self.show(ProgressBar::new_spinner(), SPINNER, "loading the model"),
            Event::Stored { inferences } => {
                if inferences == 1 {
                    self.bar = self.show(ProgressBar::new(self.count.into()), COUNT, "storing");
                }
                self.bar.set_position(inferences.into());
                self.line(inferences, "inferences stored");
            }
            Event::Step { inference, phase, step } => self.step(inference, phase, step),
            Event::Inferred { inference } => self.line(inference + 1, "inferences done"),
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
