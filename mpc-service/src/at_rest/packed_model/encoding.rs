//! The bytes of a public part, which anybody may have written.

use mpc_nn::graph::MAX_RANK;
use mpc_nn::{EncodingError, GraphLimits};
use serde::{Deserialize, Serialize};

use super::{PackError, PublicModel, Tensor};
use crate::terms::{Reveal, Terms};

/// The most inputs or outputs.
const MAX_TENSORS: usize = 1024;
/// The longest name of an input or output, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// A public part behind its first bytes.
#[derive(Serialize)]
pub(super) struct Encoded {
    pub(super) graph: Vec<u8>,
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<Tensor>,
    pub(super) terms: Terms,
}

impl Encoded {
    /// Reads what somebody wrote: no more tensors are made than a model may have, however many follow, and what is said of them
    /// is no longer than a graph may be.
    pub(super) fn read(bytes: &[u8], from: &str, limits: &GraphLimits) -> Result<Self, PackError> {
        let wrong = |reason: String| PackError::Format { file: from.to_owned(), reason };
        let (graph, rest) = next(bytes).map_err(wrong)?;
        let (limit, found) = (limits.bytes as u64, rest.len() as u64);
        if found > limit {
            let what = "what is said of inputs and outputs";
            let source = Box::new(EncodingError::TooLarge { what, unit: "bytes", limit, found });
            return Err(PackError::TooLarge { file: from.to_owned(), source });
        }
        Self::behind_graph(graph, rest).map_err(wrong)
    }

    fn behind_graph(graph: Vec<u8>, rest: &[u8]) -> Result<Self, String> {
        let (inputs, rest) = Self::tensors(rest)?;
        let (outputs, rest) = Self::tensors(rest)?;
        let (terms, rest) = next(rest)?;
        if rest.is_empty() { Ok(Self { graph, inputs, outputs, terms }) } else { Err("bytes after its end".to_owned()) }
    }

    fn tensors(bytes: &[u8]) -> Result<(Vec<Tensor>, &[u8]), String> {
        let (count, _): (u64, _) = next(bytes)?;
        if count > MAX_TENSORS as u64 {
            return Err(format!("it names {count} inputs or outputs, at most {MAX_TENSORS} are taken"));
        }
        next(bytes)
    }
}

/// The next value of an encoding, and the bytes behind it.
fn next<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<(T, &'b [u8]), String> {
    postcard::take_from_bytes(bytes).map_err(|_| "cut short, or damaged".to_owned())
}

/// Whether names, shapes and limits of what was read fit its graph.
pub(super) fn check(model: &PublicModel) -> Result<(), String> {
    let PublicModel { graph, inputs, outputs, terms } = model;
    for (what, tensors, nodes) in [("inputs", inputs, graph.inputs()), ("outputs", outputs, graph.outputs())] {
        if tensors.len() != nodes.len() || tensors.len() > MAX_TENSORS {
            return Err(format!("it names {} {what}, the network has {}", tensors.len(), nodes.len()));
        }
        if tensors.iter().any(|tensor| tensor.name.len() > MAX_NAME_BYTES || tensor.name.contains(char::is_control)) {
            return Err(format!("one of its {what} has a name that is too long, or no text"));
        }
    }
    for (input, &node) in inputs.iter().zip(graph.inputs()) {
        let elements = elements(input);
        let places = input.rows.map_or(1, |rows| rows.len());
        if elements.and_then(|elements| elements.checked_mul(places)) != Some(graph.node(node).len()) {
            return Err(format!("its input `{}` has a shape that the network does not take", input.name));
        }
        if !input.limits.is_empty() && Some(input.limits.len()) != elements {
            return Err(format!("its input `{}` has limits of another number of elements", input.name));
        }
    }
    for (output, &node) in outputs.iter().zip(graph.outputs()) {
        let elements = elements(output);
        // A class has the shape of the scores that it is of.
        let fits = match terms.reveal {
            Reveal::Full => elements == Some(graph.node(node).len()),
            Reveal::Class => elements.is_some(),
        };
        if !fits || output.rows.is_some() || !output.limits.is_empty() {
            return Err(format!("its output `{}` has a shape that the network does not give", output.name));
        }
    }
    Ok(())
}

/// The elements of a tensor before any become rows, if its shape is one that a graph may have.
fn elements(tensor: &Tensor) -> Option<usize> {
    let shape = Some(&tensor.shape).filter(|shape| shape.len() <= MAX_RANK)?;
    shape.iter().try_fold(1usize, |elements, &size| elements.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mpc_nn::{GraphBuilder, Network, OneHot, Weights};

    use super::super::PUBLIC_MAGIC;
    use super::*;

    /// A network that takes two numbers of three rows each.
    fn model(reveal: Reveal) -> PublicModel {
        let mut builder = GraphBuilder::new();
        let x = builder.whole_input("x", &[2, 3]).unwrap();
        let y = builder.relu("y", x).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = Weights::for_graph(&graph, BTreeMap::new()).unwrap();
        let mut network = Network::new(graph, weights);
        (network.inputs[0].shape, network.inputs[0].encoding) = (vec![2], mpc_nn::Encoding::OneHot(OneHot::whole(3)));
        PublicModel::new(&network, Terms { reveal, ..Terms::default() }).unwrap()
    }

    fn read(model: &PublicModel) -> Result<PublicModel, PackError> {
        PublicModel::from_bytes(&model.to_bytes(), "mallory", &GraphLimits::default())
    }

    fn with_input(change: impl Fn(&mut Tensor)) -> Result<PublicModel, PackError> {
        let mut model = model(Reveal::Full);
        change(&mut model.inputs[0]);
        read(&model)
    }

    fn with_output(reveal: Reveal, change: impl Fn(&mut Tensor)) -> Result<PublicModel, PackError> {
        let mut model = model(reveal);
        change(&mut model.outputs[0]);
        read(&model)
    }

    #[test]
    fn limits_are_one_for_each_element_or_none() {
        assert_eq!(with_input(|input| input.limits = vec![3, 2]).unwrap().inputs[0].limits, [3, 2]);
        assert!(with_input(|_| ()).is_ok());
        for wrong in [1, 3, 1 << 20] {
            let error = with_input(|input| input.limits = vec![0; wrong]).unwrap_err().to_string();
            assert!(error.contains("`x` has limits of another number of elements"), "{error}");
        }
    }

    #[test]
    fn shapes_are_those_of_the_graph_and_have_as_many_axes_as_one_may_have() {
        let axes = |count: usize| [vec![1; count - 1], vec![2]].concat();
        assert!(with_input(|input| input.shape = axes(MAX_RANK)).is_ok());
        for wrong in [axes(MAX_RANK + 1), axes(1 << 20), vec![3], vec![usize::MAX, 2], vec![1 << 63, 4], vec![]] {
            let error = with_input(|input| input.shape.clone_from(&wrong)).unwrap_err().to_string();
            assert!(error.contains("`x` has a shape that the network does not take"), "{error}");
        }
        let no_shape = |read: Result<PublicModel, PackError>| {
            let error = read.unwrap_err().to_string();
            assert!(error.contains("`y` has a shape that the network does not give"), "{error}");
        };
        assert!(with_output(Reveal::Full, |output| output.shape = vec![3, 2]).is_ok());
        // Of the second the product is six where it overflows.
        for wrong in [vec![2], vec![5, 0xcccc_cccc_cccc_ccce], [vec![1; MAX_RANK], vec![6]].concat()] {
            no_shape(with_output(Reveal::Full, |output| output.shape.clone_from(&wrong)));
        }
        assert!(with_output(Reveal::Class, |_| ()).is_ok());
        no_shape(with_output(Reveal::Class, |output| output.shape = vec![usize::MAX, 2]));
        no_shape(with_output(Reveal::Full, |output| output.limits = vec![1; 6]));
    }

    #[test]
    fn more_is_not_read_of_inputs_and_outputs_than_of_a_graph() {
        let limits = GraphLimits::default();
        let text = "a".repeat(limits.bytes);
        let error = with_input(|input| input.name.clone_from(&text)).unwrap_err();
        assert!(matches!(&error, PackError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains("what is said of inputs and outputs has 4194"), "{error}");
    }

    #[test]
    fn a_file_with_a_million_names_is_refused_before_they_are_read() {
        let graph = model(Reveal::Full).graph.to_bytes();
        let count = 1u64 << 20;
        let mut bytes = postcard::to_extend(&graph, PUBLIC_MAGIC.to_vec()).unwrap();
        bytes = postcard::to_extend(&count, bytes).unwrap();
        // Empty names, shapes and limits, of no classes.
        bytes.extend(std::iter::repeat_n(0, 4 * count as usize));
        let Err(PackError::Format { reason, .. }) = PublicModel::from_bytes(&bytes, "mallory", &GraphLimits::NONE)
        else {
            panic!("a million inputs");
        };
        assert!(reason.contains("names 1048576 inputs or outputs"), "{reason}");
    }
}
