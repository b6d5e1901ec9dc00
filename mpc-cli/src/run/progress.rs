//! The progress of a run on stderr, for a user: bars on a terminal, else a line for each inference.

use std::ops::ControlFlow;
use std::time::Instant;

use mpc_nn::Plan;
use mpc_ring::Ring;
use mpc_transport::Phase;

use super::event::{Event, Node};
use super::watch::Watch;
use crate::logging::bars;
use crate::progress::{Bar, Layers};

/// The party whose steps are shown: the data owner waits for all others.
const SHOWN: usize = 1;

/// The progress of a run.
pub struct Progress {
    /// The bar of the work that goes on.
    bar: Bar,
    /// The images that are done, where there are several inferences.
    total: Bar,
    layers: Layers,
    batch: usize,
    inferences: usize,
    /// The inference that the slowest party is at, and when it began.
    current: Option<(usize, Instant)>,
}

impl Progress {
    /// For a number of inferences of a plan.
    pub fn new(plan: &Plan<impl Ring>, inferences: usize) -> Self {
        Self {
            bar: Bar::hidden(),
            total: Bar::hidden(),
            layers: Layers::new(plan, SHOWN),
            batch: plan.graph().batch(),
            inferences,
            current: None,
        }
    }

    /// The plaintext reference begins.
    pub fn plaintext(&mut self) {
        self.bar.count("plaintext reference", self.images(self.inferences), "images");
    }

    /// So many images of the plaintext reference are done.
    pub fn plaintext_done(&self, images: usize) {
        self.bar.set(images as u64);
    }

    /// The parties start.
    pub fn setup(&mut self) {
        self.bar.spin("setup", "connecting, sharing the weights");
    }

    fn images(&self, inferences: usize) -> u64 {
        (inferences * self.batch) as u64
    }

    fn begin(&mut self) {
        if self.inferences > 1 {
            self.total.count("all", self.images(self.inferences), "images");
        }
        self.begin_inference(0);
    }

    fn begin_inference(&mut self, inference: usize) {
        self.current = Some((inference, Instant::now()));
        self.bar.layers(&self.title(inference), &self.layers);
    }

    fn step(&self, inference: usize, phase: Phase, step: usize) {
        // The shown party may begin while another one is about to end the inference before.
        if self.current.is_some_and(|(current, _)| current == inference) {
            self.bar.step(&self.layers, phase, step);
        }
    }

    fn end_inference(&mut self, inference: usize) {
        if let (true, Some((_, began))) = (bars().is_hidden(), self.current) {
            eprintln!("{}: done in {:.2} s", self.title(inference), began.elapsed().as_secs_f64());
        }
        self.total.set(self.images(inference + 1));
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

impl Watch for Progress {
    fn event(&mut self, node: Node, event: &Event, is_last: bool) -> ControlFlow<()> {
        match event {
            Event::Loaded(_) if is_last => self.begin(),
            Event::Step { inference, phase, step } if node == Node::Party(SHOWN) => {
                self.step(*inference, *phase, *step);
            }
            Event::Inferred(inferred) if is_last => self.end_inference(inferred.inference),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
