//! What a user sees on stderr while a run goes on: bars on a terminal, else a line for each inference.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mpc_nn::{Plan, Step};
use mpc_ring::Ring;
use mpc_transport::{Phase, Traffic};

use super::event::{Event, Node};
use crate::format::bytes;

/// The party whose steps are shown: the data owner waits for all others.
const SHOWN: usize = 1;

const TICK: Duration = Duration::from_millis(100);
const STEPS: &str = "{prefix:<20} {bar:30.cyan/blue} {pos:>3}/{len} steps   {elapsed}  {msg}";
const IMAGES: &str = "{prefix:<20} {bar:30.cyan/blue} {pos:>3}/{len} images  {elapsed}";
const SPINNER: &str = "{prefix:<20} {spinner} {msg}  {elapsed}";

/// The progress of a run.
pub struct Progress {
    bars: MultiProgress,
    /// What goes on.
    bar: ProgressBar,
    /// The images that are done, where there are several inferences.
    total: ProgressBar,
    steps: Vec<StepLabel>,
    batch: usize,
    inferences: usize,
    /// The inference that the slowest party is at, and when it began.
    current: Option<(usize, Instant)>,
}

/// What is shown of a step.
struct StepLabel {
    name: String,
    /// Bytes that the shown party has sent online before this step.
    sent: u64,
}

impl Progress {
    /// For a number of inferences of a plan.
    pub fn new(plan: &Plan<impl Ring>, inferences: usize) -> Self {
        let mut sent = 0;
        let label = |step: &Step| {
            let label = StepLabel { name: step.name.clone(), sent };
            sent += step.online.get(SHOWN).map_or(0, Traffic::bytes_sent);
            label
        };
        Self {
            bars: MultiProgress::new(),
            bar: ProgressBar::hidden(),
            total: ProgressBar::hidden(),
            steps: plan.steps().iter().map(label).collect(),
            batch: plan.graph().batch(),
            inferences,
            current: None,
        }
    }

    /// The plaintext reference begins.
    pub fn plaintext(&mut self) {
        self.bar = self.show(ProgressBar::new(self.images(self.inferences)), IMAGES, "plaintext reference");
    }

    /// So many images of the plaintext reference are done.
    pub fn plaintext_done(&self, images: usize) {
        self.bar.set_position(images as u64);
    }

    /// The parties start.
    pub fn setup(&mut self) {
        self.bar.finish_and_clear();
        self.bar = self.show(ProgressBar::new_spinner(), SPINNER, "setup");
        self.bar.set_message("connecting, sharing the weights");
    }

    /// Shows an event. `is_last` says that no party is behind: the phase is over.
    pub fn event(&mut self, node: Node, event: &Event, is_last: bool) {
        match event {
            Event::Loaded(_) if is_last => self.begin(),
            Event::Step { inference, phase, step } if node == Node::Party(SHOWN) => {
                self.step(*inference, *phase, *step);
            }
            Event::Inferred(inferred) if is_last => self.end_inference(inferred.inference),
            _ => {}
        }
    }

    /// Takes away what is shown.
    pub fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.total.finish_and_clear();
    }

    fn images(&self, inferences: usize) -> u64 {
        (inferences * self.batch) as u64
    }

    fn show(&self, bar: ProgressBar, template: &str, prefix: &str) -> ProgressBar {
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        let bar = self.bars.add(bar.with_style(style).with_prefix(prefix.to_owned()));
        bar.enable_steady_tick(TICK);
        bar
    }

    fn begin(&mut self) {
        self.bar.finish_and_clear();
        if self.inferences > 1 {
            self.total = self.show(ProgressBar::new(self.images(self.inferences)), IMAGES, "all");
        }
        self.begin_inference(0);
    }

    fn begin_inference(&mut self, inference: usize) {
        self.current = Some((inference, Instant::now()));
        self.bar.finish_and_clear();
        self.bar = self.show(ProgressBar::new(self.steps.len() as u64), STEPS, &self.title(inference));
    }

    fn step(&self, inference: usize, phase: Phase, step: usize) {
        let Some(StepLabel { name, sent }) = self.steps.get(step) else { return };
        // The shown party may begin while another one is about to end the inference before.
        if self.current.is_some_and(|(current, _)| current == inference) {
            self.bar.set_position(step as u64);
            self.bar.set_message(format!("{phase}: {name}, {} sent by a party", bytes(*sent)));
        }
    }

    fn end_inference(&mut self, inference: usize) {
        if let (true, Some((_, began))) = (self.bars.is_hidden(), self.current) {
            eprintln!("{}: done in {:.2} s", self.title(inference), began.elapsed().as_secs_f64());
        }
        self.total.set_position(self.images(inference + 1));
        if inference + 1 < self.inferences {
            self.begin_inference(inference + 1);
        }
    }

    fn title(&self, inference: usize) -> String {
        let (first, images) = (inference * self.batch + 1, self.images(self.inferences));
        match self.batch {
            1 => format!("image {first} of {images}"),
            _ => format!("images {first}-{} of {images}", first + self.batch - 1),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
