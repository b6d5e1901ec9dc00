//! The order of the steps: those that wait for nothing of each other run in the same rounds.
//!
//! A step waits for the values that it reads as earlier steps have left them, and a step that changes a value in place also for
//! those that read it before. Of the steps that could send next, the one with the longest way in rounds to the end of the plan
//! goes first, and every other that takes no more rounds joins it (list scheduling; Graham, "Bounds on multiprocessing timing
//! anomalies", SIAM J. Appl. Math. 17, 1969, with the critical path as priority). What a party does alone comes just before the
//! step that needs it, so that no value is there for longer than in the graph's own order.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use mpc_transport::Traffic;

use super::settings::Settings;
use super::step::{Action, Step};
use crate::graph::{Graph, NodeId};

/// The most elements of steps that run together: beyond them it is bytes that take the time, and memory that ends first.
const MAX_ELEMENTS: usize = 1 << 22;

/// The steps in the order in which they run, with what those of one group share of their traffic.
pub(super) fn order(graph: &Graph, steps: Vec<Step>, settings: &Settings) -> Vec<Step> {
    let groups = Schedule::new(graph, &steps, settings).groups();
    let mut places = vec![0; steps.len()];
    for (place, &step) in groups.iter().flatten().enumerate() {
        places[step] = place;
    }
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(steps.len());
    for group in &groups {
        let members = group.iter().filter_map(|&step| steps[step].take());
        ordered.extend(members.enumerate().map(|(at, step)| moved(step, at > 0, &places)));
    }
    for range in groups_of(&ordered) {
        share_rounds(&mut ordered[range]);
    }
    ordered
}

/// The step behind those of its group, with the new places of its branches.
fn moved(mut step: Step, is_joined: bool, places: &[usize]) -> Step {
    step.is_joined = is_joined;
    step.branches.iter_mut().for_each(|branch| *branch = places[*branch]);
    step.branches.sort_unstable();
    step
}

/// The steps of each group, which run in the same rounds.
pub(crate) fn groups_of(steps: &[Step]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if step.is_joined => group.end = index + 1,
            _ => groups.push(index..index + 1),
        }
    }
    groups
}

/// A frame and a round are the first's that still takes part in them.
fn share_rounds(group: &mut [Step]) {
    let mut before = 0;
    for step in group {
        let rounds = rounds(step);
        let own = rounds.saturating_sub(before);
        before = before.max(rounds);
        if own < rounds {
            step.online.iter_mut().for_each(|traffic| *traffic = in_rounds(*traffic, own));
        }
    }
}

/// The bytes of a protocol of exchanges, and the frames of `rounds` of its rounds.
fn in_rounds(traffic: Traffic, rounds: u64) -> Traffic {
    let frames = |all: u64| all / traffic.rounds.max(1) * rounds;
    Traffic {
        frames_sent: frames(traffic.frames_sent),
        frames_received: frames(traffic.frames_received),
        rounds,
        ..traffic
    }
}

fn rounds(step: &Step) -> u64 {
    step.online.iter().map(|traffic| traffic.rounds).max().unwrap_or(0)
}

/// For each step the values that no later one reads.
pub(crate) fn last_reads(graph: &Graph, steps: &[Step]) -> Vec<Vec<NodeId>> {
    let mut read: BTreeSet<NodeId> = graph.outputs().iter().copied().collect();
    let mut last: Vec<Vec<NodeId>> = vec![Vec::new(); steps.len()];
    for (step, last) in steps.iter().zip(&mut last).rev() {
        for &input in graph.node(step.node).inputs() {
            if read.insert(input) {
                last.push(input);
            }
        }
    }
    last
}

/// Steps by what they wait for.
struct Schedule<'a> {
    steps: &'a [Step],
    /// The earlier steps that each waits for.
    needed: Vec<Vec<usize>>,
    /// The later steps that wait for each.
    waiting: Vec<Vec<usize>>,
    /// For each step how many it still waits for.
    missing: Vec<usize>,
    /// The rounds from each step to the end of the plan.
    way: Vec<u64>,
    /// Whether the model owner's layers have rounds of their own.
    is_owners: bool,
    is_placed: Vec<bool>,
    /// Those that send, and wait for nothing more.
    ready: BTreeSet<usize>,
}

impl<'a> Schedule<'a> {
    fn new(graph: &Graph, steps: &'a [Step], settings: &Settings) -> Self {
        let needed = needed(graph, steps);
        let mut waiting = vec![Vec::new(); steps.len()];
        for (step, needed) in needed.iter().enumerate() {
            needed.iter().for_each(|&needed: &usize| waiting[needed].push(step));
        }
        let mut way = vec![0; steps.len()];
        for step in (0..steps.len()).rev() {
            let behind = waiting[step].iter().map(|&later| way[later]).max().unwrap_or(0);
            way[step] = rounds(&steps[step]) + behind;
        }
        let missing = needed.iter().map(Vec::len).collect();
        let (is_owners, is_placed) = (settings.clear_owner().is_some(), vec![false; steps.len()]);
        Self { steps, needed, waiting, missing, way, is_owners, is_placed, ready: BTreeSet::new() }
    }

    /// The steps in order; those of one group run together.
    fn groups(mut self) -> Vec<Vec<usize>> {
        let mut groups = Vec::new();
        let free = (0..self.steps.len()).filter(|&step| self.needed[step].is_empty());
        self.release(free.collect());
        while let Some(group) = self.next_group() {
            let alone = self.unplaced(group.iter().flat_map(|&member| self.needed[member].iter().copied()).collect());
            groups.extend(alone.into_iter().map(|step| vec![step]));
            for &member in &group {
                self.is_placed[member] = true;
                self.ready.remove(&member);
            }
            let behind = group.iter().flat_map(|&member| self.done(member)).collect();
            groups.push(group);
            self.release(behind);
        }
        groups.extend((0..self.steps.len()).filter(|&step| !self.is_placed[step]).map(|step| vec![step]));
        groups
    }

    /// Counts a step as done, and gives those that wait for nothing more.
    fn done(&mut self, step: usize) -> Vec<usize> {
        let mut free = Vec::new();
        for &later in &self.waiting[step] {
            self.missing[later] -= 1;
            if self.missing[later] == 0 {
                free.push(later);
            }
        }
        free
    }

    /// Steps that wait for nothing more: what a party does alone is as good as done.
    fn release(&mut self, mut free: Vec<usize>) {
        while let Some(step) = free.pop() {
            match self.steps[step].action {
                // Outputs come last.
                Action::Reveal { .. } => {}
                _ if self.sends(step) => {
                    self.ready.insert(step);
                }
                _ => free.extend(self.done(step)),
            }
        }
    }

    fn sends(&self, step: usize) -> bool {
        matches!(self.steps[step].action, Action::Share { .. }) || rounds(&self.steps[step]) > 0
    }

    /// Whether a step only exchanges messages that all parties send alike.
    fn joins(&self, step: usize) -> bool {
        match self.steps[step].action {
            Action::Share { .. } => false,
            Action::Linear { .. } => !self.is_owners,
            _ => true,
        }
    }

    fn next_group(&self) -> Option<Vec<usize>> {
        let is_input = |step: usize| matches!(self.steps[step].action, Action::Share { .. });
        let first = self.ready.iter().copied().max_by_key(|&step| (is_input(step), self.way[step], Reverse(step)))?;
        let mut group = vec![first];
        if self.joins(first) {
            let elements = |step: usize| self.steps[step].shape.iter().product::<usize>();
            let mut left = MAX_ELEMENTS.saturating_sub(elements(first));
            for &step in self.ready.iter().filter(|&&step| step != first && self.joins(step)) {
                if rounds(&self.steps[step]) <= rounds(&self.steps[first]) && elements(step) <= left {
                    left -= elements(step);
                    group.push(step);
                }
            }
        }
        group.sort_unstable();
        Some(group)
    }

    /// Those of the steps, and of what they wait for, that have no place yet, in the graph's order.
    fn unplaced(&mut self, mut steps: Vec<usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        while let Some(step) = steps.pop() {
            if !core::mem::replace(&mut self.is_placed[step], true) {
                found.insert(step);
                steps.extend_from_slice(&self.needed[step]);
            }
        }
        found
    }
}

/// For each step the earlier ones that it waits for.
fn needed(graph: &Graph, steps: &[Step]) -> Vec<Vec<usize>> {
    let mut first = vec![None; steps.len()];
    for (index, step) in steps.iter().enumerate() {
        step.branches.iter().for_each(|&branch| first[branch] = Some(index));
    }
    let mut writers: Vec<Option<usize>> = vec![None; graph.nodes().len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes().len()];
    let mut all = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let node = step.node.index();
        let mut needed = BTreeSet::new();
        if step.action.in_place() {
            needed.extend(writers[node]);
            needed.append(&mut readers[node].drain(..).collect());
        } else {
            for input in graph.node(step.node).inputs() {
                needed.extend(writers[input.index()]);
                readers[input.index()].push(index);
            }
            // What an earlier step does has been done by then.
            needed.extend(first[index]);
        }
        writers[node] = Some(index);
        all.push(needed.into_iter().collect());
    }
    all
}
