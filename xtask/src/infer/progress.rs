//! What a user sees on stderr while a run goes on: bars on a terminal, else a line for each inference.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mpc_nn::Plan;
use mpc_transport::Phase;

use super::event::{Event, Node};
use super::format::bytes;

/// The party whose steps are shown: the data owner waits for all others.
const SHOWN: Node = Node::Party(1);

const TICK: Duration = Duration::from_millis(100);
const STEPS: &str = "{prefix:<24} {bar:30.cyan/blue} {pos:>3}/{len} steps  {msg}  {elapsed}";
const SPINNER: &str = "{spinner} {prefix:<22} {msg}  {elapsed}";
const IMAGES: &str = "{prefix:<24} {bar:30.cyan/blue} {pos:>3}/{len} images  {elapsed}";

/// The progress of a run.
pub struct Progress {
    bar: ProgressBar,
    steps: Vec<StepLabel>,
    batch: usize,
    inferences: usize,
    /// When the current inference began.
    began: Instant,
}

/// What is shown of a step.
struct StepLabel {
    name: String,
    /// Bytes that the shown party has sent online before this step.
    sent: u64,
}

impl Progress {
    /// For a number of inferences of a plan.
    pub fn new(plan: &Plan<u64>, inferences: usize) -> Self {
        let mut sent = 0;
        let label = |step: &mpc_nn::Step| {
            let label = StepLabel { name: step.name.clone(), sent };
            sent += step.online.get(1).map_or(0, |traffic| traffic.bytes_sent());
            label
        };
        Self {
            bar: ProgressBar::hidden(),
            steps: plan.steps().iter().map(label).collect(),
            batch: plan.graph().batch(),
            inferences,
            began: Instant::now(),
        }
    }

    /// The plaintext reference begins.
    pub fn plaintext(&mut self) {
        let images = (self.batch * self.inferences) as u64;
        self.show(ProgressBar::new(images), IMAGES, "plaintext reference".to_owned());
    }

    /// So many images of the plaintext reference are done.
    pub fn plaintext_done(&self, images: usize) {
        self.bar.set_position(images as u64);
    }

    /// The parties start.
    pub fn setup(&mut self) {
        self.show(ProgressBar::new_spinner(), SPINNER, "setup".to_owned());
        self.bar.set_message("connecting, sharing the weights");
    }

    /// Shows an event. `is_last` says that no party is behind: the phase is over.
    pub fn event(&mut self, node: Node, event: &Event, is_last: bool) {
        match event {
            Event::Loaded(_) if is_last => self.begin_inference(0),
            Event::Step { inference, phase, step } if node == SHOWN => self.step(*inference, *phase, *step),
            Event::Inferred(inferred) if is_last => self.end_inference(inferred.inference),
            _ => {}
        }
    }

    /// Takes away what is shown.
    pub fn clear(&mut self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self, bar: ProgressBar, template: &str, prefix: String) {
        self.bar.finish_and_clear();
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        self.bar = bar.with_style(style).with_prefix(prefix);
        self.bar.enable_steady_tick(TICK);
    }

    fn begin_inference(&mut self, inference: usize) {
        self.began = Instant::now();
        self.show(ProgressBar::new(self.steps.len() as u64), STEPS, self.title(inference));
    }

    fn step(&self, inference: usize, phase: Phase, step: usize) {
        let Some(StepLabel { name, sent }) = self.steps.get(step) else { return };
        // The shown party may begin while another one is about to end the inference before.
        self.bar.set_prefix(self.title(inference));
        self.bar.set_position(step as u64);
        let doing = if phase == Phase::Preprocessing { "drawing correlations" } else { "online" };
        self.bar.set_message(format!("{name} ({doing}), {} sent by each", bytes(*sent)));
    }

    fn end_inference(&mut self, inference: usize) {
        if self.bar.is_hidden() {
            let seconds = self.began.elapsed().as_secs_f64();
            eprintln!("{}: done in {seconds:.2} s", self.title(inference));
        }
        if inference + 1 < self.inferences {
            self.begin_inference(inference + 1);
        }
    }

    fn title(&self, inference: usize) -> String {
        let (first, images) = (inference * self.batch + 1, self.inferences * self.batch);
        match self.batch {
            1 => format!("image {first} of {images}"),
            _ => format!("images {first}-{} of {images}", first + self.batch - 1),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
