//! The progress of a session on stderr, for a user: bars on a terminal, else a line now and then.

use std::time::{Duration, Instant};

use mpc_nn::Plan;
use mpc_ring::Ring;
use mpc_service::{Event, Watch};
use mpc_transport::Phase;

use crate::logging::bars;
use crate::progress::{Bar, Layers};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of a session.
pub struct SessionProgress {
    bar: Bar,
    layers: Layers,
    count: u32,
    began: Instant,
    written: Option<Instant>,
}

impl SessionProgress {
    /// Of `count` inferences of a plan.
    pub fn new<R: Ring>(plan: &Plan<R>, count: u32) -> Self {
        let layers = Layers::new(plan, plan.settings().parties - 1);
        let mut bar = Bar::hidden();
        bar.spin("connecting", "");
        Self { bar, layers, count, began: Instant::now(), written: None }
    }

    fn step(&mut self, inference: u32, phase: Phase, step: usize) {
        if step == 0 && phase == Phase::Preprocessing {
            self.bar.layers(&format!("inference {} of {}", inference + 1, self.count), &self.layers);
        }
        self.bar.step(&self.layers, phase, step);
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

impl Watch for SessionProgress {
    fn see(&mut self, event: Event) {
        match event {
            Event::Connected => self.bar.spin("loading the model", ""),
            Event::Stored { inferences } => {
                if inferences == 1 {
                    self.bar.count("storing", self.count.into(), "inferences");
                }
                self.bar.set(inferences.into());
                self.line(inferences, "inferences stored");
                if inferences == self.count {
                    self.bar.spin("completing the batch", "");
                }
            }
            Event::Step { inference, phase, step } => self.step(inference, phase, step),
            Event::Inferred { inference } => self.line(inference + 1, "inferences done"),
            _ => {}
        }
    }
}
