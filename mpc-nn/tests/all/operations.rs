//! Every operation, alone: in floating point, as its ideal and privately, with bytes and rounds by the meter.

use std::collections::BTreeSet;

use mpc_nn::{
    Comparisons, ConvolutionOptions, Graph, GraphBuilder, GraphError, NodeId, Op, Pool, Preprocessing, Settings,
};
use mpc_protocols::function::Function;

use crate::harness::{calibrated, check};

/// The number of an operation in the encoding of a graph.
fn number(op: &Op) -> usize {
    usize::from(postcard::to_allocvec(op).unwrap()[0])
}

/// Whether there is an operation of this number: all its attributes can be zeros and empty lists.
fn exists(number: usize) -> bool {
    let mut bytes = [0; 256];
    bytes[0] = number as u8;
    postcard::take_from_bytes::<Op>(&bytes).is_ok()
}

/// A graph with one input and what is made of it: revealed as it is, for which all bits of the ring are read, and behind a
/// ReLU, which reads fewer. In tests the bits that nobody should read are noise. Of an index nothing is computed.
fn of<const N: usize>(
    shape: &[usize],
    make: impl FnOnce(&mut GraphBuilder, NodeId) -> Result<[NodeId; N], GraphError>,
) -> [Graph; 2] {
    let mut b = GraphBuilder::new();
    let x = b.input("x", shape).unwrap();
    let outputs = make(&mut b, x).unwrap();
    let whole = b.clone().finish(&outputs).unwrap();
    let narrow = outputs.into_iter().enumerate().map(|(place, output)| {
        let node = whole.outputs()[place];
        let is_index = matches!(whole.node(node).op(), Op::ArgMax | Op::RankedIndex);
        if is_index { output } else { b.relu(&format!("relu {place}"), output).unwrap() }
    });
    let narrow: Vec<_> = narrow.collect();
    [whole, b.finish(&narrow).unwrap()]
}

fn layers() -> Vec<[Graph; 2]> {
    let grouped =
        ConvolutionOptions { groups: 2, stride: [2, 1], padding: [1, 1, 0, 1], ..ConvolutionOptions::new(4, [3, 2]) };
    vec![
        of(&[1, 4, 6, 5], |b, x| Ok([b.convolution("y", x, grouped)?])),
        of(&[3, 5], |b, x| Ok([b.linear("y", x, 4, true)?])),
        of(&[3, 4], |b, x| {
            let y = b.linear_tied("y", x, 4, true, "tied")?;
            Ok([b.linear_tied("z", y, 4, true, "tied")?])
        }),
        of(&[2, 3, 4], |b, x| Ok([b.scale_channels("y", x, 3, 4)?])),
        of(&[2, 3, 4], |b, x| Ok([b.offset_channels("y", x, 3, 4)?])),
        of(&[2, 3], |b, x| {
            let y = b.parameter("y", &[2, 3])?;
            Ok([b.add("z", x, y)?])
        }),
        of(&[2, 3], |b, x| Ok([b.multiply("y", x, x)?, b.square("z", x)?])),
        of(&[2, 3, 3], |b, x| Ok([b.matrix_product("y", x, x)?])),
        of(&[2, 3], |b, x| {
            let y = b.mean("y", x, &[1])?;
            Ok([b.multiply("z", x, y)?])
        }),
    ]
}

/// As a layer normalisation has it.
fn standardised(b: &mut GraphBuilder, x: NodeId) -> Result<NodeId, GraphError> {
    let mean = b.mean("mean", x, &[1])?;
    let rounded = b.rounded("rounded", mean, 0)?;
    let negative = b.scale("negative", rounded, -1.0)?;
    let negative = b.gather("spread", negative, 1, &[0; 6])?;
    let centred = b.add("centred", x, negative)?;
    let squares = b.square("squares", centred)?;
    let variance = b.mean("variance", squares, &[1])?;
    let variance = b.offset("above", variance, 1e-5)?;
    let root = b.function("root", variance, Function::Power { exponent: -0.5 })?;
    b.multiply("y", centred, root)
}

fn comparisons() -> Vec<[Graph; 2]> {
    let overlapping = Pool { stride: [2, 1], padding: [1, 0, 1, 1], ..Pool::new([3, 2]) };
    vec![
        of(&[2, 5], |b, x| Ok([b.relu("y", x)?])),
        of(&[2, 5], |b, x| Ok([b.function("y", x, Function::Sigmoid)?])),
        of(&[1, 2, 5, 4], |b, x| Ok([b.max_pool("y", x, overlapping)?])),
        of(&[1, 2, 5, 4], |b, x| {
            Ok([b.average_pool("y", x, overlapping)?, b.average_pool("z", x, Pool::new([2, 2]))?])
        }),
        of(&[3, 5], |b, x| Ok([b.arg_max("y", x)?])),
        of(&[3, 5], |b, x| b.top_k("y", x, 2)),
        of(&[3, 5], |b, x| Ok([b.floor("y", x)?])),
        of(&[3, 5], |b, x| {
            let square = b.square("square", x)?;
            let mean = b.mean("mean", square, &[1])?;
            Ok([b.function("y", mean, Function::Power { exponent: -0.5 })?])
        }),
        of(&[2, 6], |b, x| Ok([standardised(b, x)?])),
        of(&[2, 6], |b, x| {
            let magnitude = b.function("magnitude", x, Function::Abs)?;
            let sum = b.sum("sum", magnitude, &[1])?;
            let above = b.offset("above", x, 1.5)?;
            let opposite = b.scale("below", above, -1.0)?;
            Ok([b.divide("part", x, sum, true)?, b.divide("quotient", x, opposite, false)?])
        }),
    ]
}

/// Whole numbers where they stay so, and where others read them, before and behind that.
fn whole_numbers() -> Vec<[Graph; 2]> {
    let rows = [vec![(0, 3.0), (4, -2.0)], vec![(1, 0.375)]];
    vec![
        of(&[3, 2], |b, x| {
            let whole = b.whole_input("whole", &[3, 7])?;
            let first = b.slice("first", whole, &[0, 0], &[3, 4], &[1, 1])?;
            let blocks = b.linear("blocks", first, 6, true)?;
            let blocks = b.reshape("by row", blocks, &[3, 3, 2])?;
            let second = b.gather("second", whole, 1, &[4, 5, 6])?;
            let second = b.reshape("row", second, &[3, 1, 3])?;
            let chosen = b.matrix_product("chosen", second, blocks)?;
            let chosen = b.reshape("flat", chosen, &[3, 2])?;
            let sum = b.add("sum", chosen, x)?;
            let turned = b.transpose("turned", second, &[0, 2, 1])?;
            let products = b.matrix_product("products", turned, second)?;
            let numbers = b.combine("numbers", whole, 1, &rows)?;
            Ok([sum, products, numbers])
        }),
        of(&[2, 3], |b, x| {
            let whole = b.whole_input("whole", &[2, 3])?;
            let product = b.multiply("product", whole, x)?;
            let linear = b.linear("linear", whole, 4, true)?;
            let numbers = b.combine("numbers", whole, 1, &rows[1..])?;
            let weighted = b.linear("weighted", numbers, 2, false)?;
            let moved = b.reshape("moved", whole, &[1, 2, 3])?;
            let factor = b.reshape("factor", x, &[1, 3, 2])?;
            Ok([product, linear, weighted, b.matrix_product("matrices", moved, factor)?])
        }),
    ]
}

fn linear_maps() -> Vec<[Graph; 2]> {
    let rows = [vec![(0, 0.75), (2, 0.25)], vec![(1, -1.5)]];
    vec![
        of(&[2, 3, 4], |b, x| Ok([b.sum("y", x, &[0, 2])?, b.mean("z", x, &[1])?])),
        of(&[2, 3], |b, x| {
            let y = b.square("y", x)?;
            Ok([b.add("z", x, y)?, b.concat("w", &[y, x], 1)?])
        }),
        of(&[2, 3], |b, x| Ok([b.scale("y", x, -0.3)?, b.offset("z", x, 1.25)?])),
        of(&[2, 3], |b, x| {
            let mean = b.mean("mean", x, &[1])?;
            Ok([b.rounded("y", mean, 6)?])
        }),
        of(&[2, 4, 3], |b, x| {
            Ok([b.cumulative_sum("y", x, 1, false, false)?, b.cumulative_sum("z", x, 2, true, true)?])
        }),
        of(&[2, 3], |b, x| Ok([b.combine("y", x, 1, &rows)?])),
        of(&[2, 3, 4], |b, x| Ok([b.reshape("y", x, &[4, 6])?, b.transpose("z", x, &[2, 0, 1])?])),
        of(&[2, 3, 4], |b, x| Ok([b.gather("y", x, 1, &[2, 0, 0])?])),
        of(&[2, 3], |b, x| Ok([b.pad("y", x, &[1, 0], &[0, 2])?])),
        of(&[5, 3], |b, x| Ok([b.slice("y", x, &[1, 0], &[5, 2], &[2, 1])?])),
    ]
}

#[test]
fn every_operation_in_floating_point_as_its_ideal_and_privately() {
    let graphs = [layers(), comparisons(), whole_numbers(), linear_maps()].concat().concat();
    let covered: BTreeSet<_> = graphs.iter().flat_map(Graph::nodes).map(|node| number(node.op())).collect();
    let all: BTreeSet<_> = (0..).take_while(|&number| exists(number)).collect();
    assert_eq!(covered, all, "an operation has no case above: by its place in `Op`");
    for graph in &graphs {
        for parties in 2..=4 {
            check::<u64>(graph, Settings::new(parties), 0.001, Preprocessing::Streamed);
        }
        let few_bytes = Settings { comparisons: Comparisons::FewBytes, ..Settings::new(2) };
        check::<u64>(graph, few_bytes, 0.001, Preprocessing::Streamed);
        // With bounds that the values just fit.
        check::<u64>(&calibrated(graph, 0), Settings::new(3), 0.001, Preprocessing::Streamed);
    }
}
