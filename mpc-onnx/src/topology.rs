//! The order in which the nodes of a graph are visited: without dead ones, each after those that it reads from.

use std::collections::{BTreeMap, BTreeSet};

use rten_onnx::onnx::{GraphProto, NodeProto};

use crate::error::Reason;

/// The nodes that the outputs depend on, and who reads which value.
pub(crate) struct Order<'a> {
    /// Places of nodes, each after those that it reads from.
    pub(crate) nodes: Vec<usize>,
    /// For each value the places of the nodes that read it; the graph's outputs have the place `usize::MAX`.
    pub(crate) readers: BTreeMap<&'a str, Vec<usize>>,
}

/// A node's name, or that of its first output.
pub(crate) fn node_name(node: &NodeProto) -> String {
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    let name = name.or(node.output.first().map(String::as_str)).unwrap_or_default();
    // Names are shown, and a terminal obeys what is no text.
    name.chars().filter(|character| !character.is_control()).collect()
}

/// The values that a node reads, those of its subgraphs' nodes included.
fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
        let own: BTreeSet<&str> = own_names(graph).collect();
        let inner = graph.node.iter().flat_map(reads);
        let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
        names.extend(inner.chain(outputs).filter(|name| !own.contains(name)));
    }
    names
}

/// The values that a graph gives.
fn own_names(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().filter_map(|input| input.name.as_deref());
    let weights = graph.initializer.iter().filter_map(|weight| weight.name.as_deref());
    let outputs = graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
    inputs.chain(weights).chain(outputs).filter(|name| !name.is_empty())
}

/// Orders the nodes of `graph`; `outer` tells which values an enclosing graph gives.
///
/// # Errors
/// Duplicate and missing values, and cycles.
pub(crate) fn order<'a>(graph: &'a GraphProto, outer: impl Fn(&str) -> bool) -> Result<Order<'a>, Vec<Reason>> {
    let mut reasons = Vec::new();
    let mut producers: BTreeMap<&str, usize> = BTreeMap::new();
    let inputs: BTreeSet<&str> = graph.input.iter().filter_map(|input| input.name.as_deref()).collect();
    let mut weights = BTreeSet::new();
    let weight_names = graph.initializer.iter().filter_map(|weight| weight.name.as_deref());
    // A weight may be declared among the inputs as well, as old files do.
    let mut duplicates: Vec<&str> = weight_names.filter(|name| !weights.insert(*name)).collect();
    if inputs.len() < graph.input.len() {
        let mut seen = BTreeSet::new();
        duplicates
            .extend(graph.input.iter().filter_map(|input| input.name.as_deref()).filter(|name| !seen.insert(*name)));
    }
    for (place, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().map(String::as_str).filter(|name| !name.is_empty()) {
            if inputs.contains(output) || weights.contains(output) || producers.insert(output, place).is_some() {
                duplicates.push(output);
            }
        }
    }
    reasons.extend(duplicates.into_iter().map(|name| Reason::Duplicate { name: name.to_string() }));
    let known = |name: &str| inputs.contains(name) || weights.contains(name) || outer(name);
    let order = visit(graph, &producers, known, &mut reasons);
    if reasons.is_empty() { Ok(order) } else { Err(reasons) }
}

/// Depth first from the outputs, on a stack of its own.
fn visit<'a>(
    graph: &'a GraphProto,
    producers: &BTreeMap<&'a str, usize>,
    known: impl Fn(&str) -> bool,
    reasons: &mut Vec<Reason>,
) -> Order<'a> {
    const NEW: u8 = 0;
    const OPEN: u8 = 1;
    const DONE: u8 = 2;
    let mut order = Order { nodes: Vec::new(), readers: BTreeMap::new() };
    let mut states = vec![NEW; graph.node.len()];
    let mut stack: Vec<usize> = Vec::new();
    let find = |name: &'a str, reader: usize, order: &mut Order<'a>, reasons: &mut Vec<Reason>| {
        order.readers.entry(name).or_default().push(reader);
        let place = producers.get(name).copied();
        if place.is_none() && !known(name) {
            let reader = graph.node.get(reader).map_or_else(|| "outputs".to_string(), node_name);
            reasons.push(Reason::Missing { name: name.to_string(), reader });
        }
        place
    };
    let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
    for output in outputs {
        stack.extend(find(output, usize::MAX, &mut order, reasons));
    }
    // The first output's nodes come first.
    stack.reverse();
    while let Some(&place) = stack.last() {
        match states[place] {
            NEW => {
                states[place] = OPEN;
                for name in reads(&graph.node[place]).into_iter().rev() {
                    match find(name, place, &mut order, reasons) {
                        Some(source) if states[source] == NEW => stack.push(source),
                        Some(source) if states[source] == OPEN => {
                            reasons.push(Reason::Cycle { node: node_name(&graph.node[source]) });
                        }
                        _ => {}
                    }
                }
            }
            state => {
                stack.pop();
                if state == OPEN {
                    states[place] = DONE;
                    order.nodes.push(place);
                }
            }
        }
    }
    order
}
