//! The order of the steps: those that wait for nothing of each other run in the same rounds.
//!
//! A step waits for the values that it reads as earlier steps have left them, and a step that changes a value in place also for
//! those that read it before. Of the steps that could send next, the one with the longest way in rounds to the end of the plan
//! goes first (list scheduling; Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17, 1969, with the
//! critical path as priority). Beside it run others, each with what waits for it alone, for as many rounds as the first takes.
//! A step that a party does alone comes just before the one that needs it, so that no value is there for longer than in the
//! graph's own order.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use mpc_protocols::joint::own_rounds;

use super::settings::Settings;
use super::step::{Action, Step};
use crate::graph::{Graph, NodeId};

/// The most elements of steps that run together: beyond them it is bytes that take the time, and memory that ends first.
const MAX_ELEMENTS: usize = 1 << 22;

/// A step's number, and the way of its group where others run beside it.
type Place = (usize, Option<usize>);

/// The steps in the order in which they run, with what those of one group share of their traffic.
pub(super) fn order(graph: &Graph, steps: Vec<Step>, settings: &Settings) -> Vec<Step> {
    let order = Schedule::new(graph, &steps, settings).order();
    let mut places = vec![0; steps.len()];
    for (place, &(step, _)) in order.iter().enumerate() {
        places[step] = place;
    }
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let placed = order.iter().filter_map(|&(step, way)| Some(moved(steps[step].take()?, way, &places)));
    let mut ordered: Vec<Step> = placed.collect();
    ordered.chunk_by_mut(is_one_group).for_each(share_rounds);
    set_last_reads(graph, &mut ordered);
    ordered
}

/// The step with its way, and the new places of its branches, whose order stays that of its correlations.
fn moved(mut step: Step, way: Option<usize>, places: &[usize]) -> Step {
    step.way = way;
    step.branches.iter_mut().for_each(|branch| *branch = places[*branch]);
    step
}

/// The steps of each group: a step alone, or ways that run in the same rounds.
pub(crate) fn groups_of(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(is_one_group)
}

/// The ways of a group.
pub(crate) fn ways_of(group: &[Step]) -> Vec<&[Step]> {
    group.chunk_by(is_one_way).collect()
}

fn is_one_group(step: &Step, next: &Step) -> bool {
    step.way.is_some() && step.way <= next.way
}

fn is_one_way(step: &Step, next: &Step) -> bool {
    step.way == next.way
}

/// A frame and a round are the first way's that takes part in them.
fn share_rounds(group: &mut [Step]) {
    let mut before = 0;
    for way in group.chunk_by_mut(is_one_way) {
        let mut at = 0;
        for step in way {
            let rounds = rounds(step);
            let own = own_rounds(before, at, rounds);
            if own < rounds {
                step.online.iter_mut().for_each(|traffic| *traffic = traffic.in_rounds(own));
            }
            at += rounds;
        }
        before = before.max(at);
    }
}

fn rounds(step: &Step) -> u64 {
    step.online.iter().map(|traffic| traffic.rounds).max().unwrap_or(0)
}

/// Notes at each step the values that no later one reads.
fn set_last_reads(graph: &Graph, steps: &mut [Step]) {
    let mut read: BTreeSet<NodeId> = graph.outputs().iter().copied().collect();
    for step in steps.iter_mut().rev() {
        let inputs = graph.node(step.node).inputs().iter().copied();
        step.last_reads = inputs.filter(|&input| read.insert(input)).collect();
    }
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
    to_end: Vec<u64>,
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
        let mut to_end = vec![0; steps.len()];
        for step in (0..steps.len()).rev() {
            let behind = waiting[step].iter().map(|&later| to_end[later]).max().unwrap_or(0);
            to_end[step] = rounds(&steps[step]) + behind;
        }
        let missing = needed.iter().map(Vec::len).collect();
        let (is_owners, is_placed) = (settings.clear_owner().is_some(), vec![false; steps.len()]);
        Self { steps, needed, waiting, missing, to_end, is_owners, is_placed, ready: BTreeSet::new() }
    }

    /// The steps in order, with their ways.
    fn order(mut self) -> Vec<Place> {
        let mut order: Vec<Place> = Vec::new();
        let free = (0..self.steps.len()).filter(|&step| self.needed[step].is_empty());
        self.release(free.collect());
        while let Some(ways) = self.next_group() {
            let group: BTreeSet<usize> = ways.iter().flatten().copied().collect();
            group.iter().for_each(|&step| self.is_placed[step] = true);
            let alone = self.unplaced(group.iter().flat_map(|&step| self.needed[step].iter().copied()).collect());
            order.extend(alone.into_iter().map(|step| (step, None)));
            let is_one = ways.len() == 1;
            for (number, way) in ways.iter().enumerate() {
                order.extend(way.iter().map(|&step| (step, if is_one { None } else { Some(number) })));
            }
            let sent: Vec<usize> = group.into_iter().filter(|&step| !self.is_alone(step)).collect();
            for step in sent {
                self.ready.remove(&step);
                let behind = self.done(step);
                self.release(behind);
            }
        }
        order.extend((0..self.steps.len()).filter(|&step| !self.is_placed[step]).map(|step| (step, None)));
        order
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
            if self.is_alone(step) {
                free.extend(self.done(step));
            // Outputs come last, and what ran behind another step of its way is counted as done by its group.
            } else if !self.is_output(step) && !self.is_placed[step] {
                self.ready.insert(step);
            }
        }
    }

    /// Whether a party does a step without the others.
    fn is_alone(&self, step: usize) -> bool {
        !self.is_input(step) && !self.is_output(step) && rounds(&self.steps[step]) == 0
    }

    fn is_input(&self, step: usize) -> bool {
        matches!(self.steps[step].action, Action::Share { .. })
    }

    fn is_output(&self, step: usize) -> bool {
        matches!(self.steps[step].action, Action::Reveal { .. })
    }

    /// Whether a step exchanges messages that all parties send alike, and no others.
    fn joins(&self, step: usize) -> bool {
        let is_owners = self.is_owners && matches!(self.steps[step].action, Action::Linear { .. });
        rounds(&self.steps[step]) > 0 && !self.is_input(step) && !self.is_output(step) && !is_owners
    }

    /// The ways that run next.
    fn next_group(&self) -> Option<Vec<Vec<usize>>> {
        let first =
            self.ready.iter().copied().max_by_key(|&step| (self.is_input(step), self.to_end[step], Reverse(step)))?;
        let mut ways = vec![vec![first]];
        if self.joins(first) {
            let mut left = MAX_ELEMENTS.saturating_sub(self.elements(first));
            for &step in self.ready.iter().filter(|&&step| step != first && self.joins(step)) {
                if self.fits(step, rounds(&self.steps[first]), left) {
                    ways.push(self.way_from(step, rounds(&self.steps[first]), &mut left));
                }
            }
        }
        Some(ways)
    }

    fn elements(&self, step: usize) -> usize {
        self.steps[step].shape.iter().product()
    }

    fn fits(&self, step: usize, rounds_left: u64, elements_left: usize) -> bool {
        rounds(&self.steps[step]) <= rounds_left && self.elements(step) <= elements_left
    }

    /// A step and what waits for it alone, as far as rounds and elements are left, with what a party does alone in between.
    fn way_from(&self, step: usize, mut rounds_left: u64, elements_left: &mut usize) -> Vec<usize> {
        let (mut missing, mut known, mut sent) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut next = Some(step);
        while let Some(step) = next {
            rounds_left -= rounds(&self.steps[step]);
            *elements_left -= self.elements(step);
            sent.push(step);
            let mut free = vec![step];
            while let Some(step) = free.pop() {
                known.insert(step);
                for &later in &self.waiting[step] {
                    let missing = missing.entry(later).or_insert(self.missing[later]);
                    *missing -= 1;
                    if *missing == 0 && self.is_alone(later) {
                        free.push(later);
                    }
                }
            }
            let ready = missing.iter().filter(|&(&later, &missing)| missing == 0 && self.joins(later));
            let fitting = ready.map(|(&later, _)| later).filter(|later| !known.contains(later));
            let fitting = fitting.filter(|&later| self.fits(later, rounds_left, *elements_left));
            next = fitting.max_by_key(|&later| (self.to_end[later], Reverse(later)));
        }
        // Of what a party does alone only what the way itself reads.
        let mut way = BTreeSet::new();
        while let Some(step) = sent.pop() {
            if way.insert(step) {
                sent.extend(self.needed[step].iter().filter(|needed| known.contains(needed)));
            }
        }
        way.into_iter().collect()
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
            needed.extend(readers[node].drain(..));
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
