//! Shape inference of every operation, and what a builder refuses.

use mpc_nn::graph::MAX_ELEMENTS;
use mpc_nn::{
    ConvolutionOptions, EncodingError, Graph, GraphBuilder, GraphError, GraphLimits, NodeId, Op, Owner, ParameterKind,
    Plan, Pool, Recipients, Roles, Settings, WeightKnowledge,
};
use proptest::prelude::*;

fn with_input(shape: &[usize]) -> (GraphBuilder, NodeId) {
    let mut builder = GraphBuilder::new();
    let input = builder.input("x", shape).unwrap();
    (builder, input)
}

/// The shape of the node that `add` appends to an input of the given shape.
fn inferred(
    shape: &[usize],
    add: impl FnOnce(&mut GraphBuilder, NodeId) -> Result<NodeId, GraphError>,
) -> Result<Vec<usize>, GraphError> {
    let (mut builder, input) = with_input(shape);
    let node = add(&mut builder, input)?;
    Ok(builder.finish(&[node])?.node(node).shape().to_vec())
}

#[test]
fn convolution() {
    let options = ConvolutionOptions { stride: [2, 1], padding: [1, 0, 2, 1], ..ConvolutionOptions::new(6, [3, 2]) };
    assert_eq!(inferred(&[2, 3, 8, 9], |b, x| b.convolution("c", x, options)).unwrap(), [2, 6, 5, 9]);
    let dilated = ConvolutionOptions { dilation: [2, 3], ..ConvolutionOptions::new(6, [3, 2]) };
    assert_eq!(inferred(&[2, 3, 8, 9], |b, x| b.convolution("c", x, dilated)).unwrap(), [2, 6, 4, 6]);
}

#[test]
fn convolution_that_does_not_fit() {
    let good = ConvolutionOptions::new(4, [3, 3]);
    let bad = [
        ConvolutionOptions { kernel: [9, 3], ..good },
        ConvolutionOptions { kernel: [0, 3], ..good },
        ConvolutionOptions { stride: [0, 1], ..good },
        ConvolutionOptions { dilation: [1, 0], ..good },
        ConvolutionOptions { groups: 0, ..good },
        ConvolutionOptions { groups: 3, ..good },
        ConvolutionOptions { output_channels: 0, ..good },
        ConvolutionOptions { output_channels: usize::MAX, ..good },
        ConvolutionOptions { padding: [usize::MAX, 1, 1, 1], ..good },
    ];
    for options in bad {
        let error = inferred(&[1, 4, 8, 8], |b, x| b.convolution("c", x, options)).unwrap_err();
        assert!(matches!(error, GraphError::Convolution { .. }), "{options:?}: {error}");
    }
    let error = inferred(&[1, 4, 8], |b, x| b.convolution("c", x, good)).unwrap_err();
    assert_eq!(error, GraphError::Rank { name: "c".into(), expected: 4, found: vec![1, 4, 8] });
}

#[test]
fn huge_tensors_are_refused() {
    let error = GraphBuilder::new().input("x", &[1, MAX_ELEMENTS + 1]).unwrap_err();
    assert!(matches!(error, GraphError::TooLarge { .. }));
    let error = GraphBuilder::new().input("x", &[usize::MAX, usize::MAX]).unwrap_err();
    assert!(matches!(error, GraphError::TooLarge { .. }));
    let error = inferred(&[1, 1 << 20], |b, x| b.linear("l", x, 1 << 20, true)).unwrap_err();
    assert!(matches!(error, GraphError::TooLarge { .. }));
    let wide = ConvolutionOptions { padding: [0, 1 << 26, 0, 1 << 26], ..ConvolutionOptions::new(1, [1, 1 << 26]) };
    let error = inferred(&[1, 1, 1, 1], |b, x| b.convolution("c", x, wide)).unwrap_err();
    assert!(matches!(error, GraphError::TooLarge { .. }));
    let error = inferred(&[1, 4], |b, x| b.pad("p", x, &[0, usize::MAX], &[0, 1])).unwrap_err();
    assert!(matches!(error, GraphError::Bounds { axis: 1, .. }));
    let error = inferred(&[1, 4], |b, x| b.pad("p", x, &[0, 1 << 40], &[0, 1])).unwrap_err();
    assert!(matches!(error, GraphError::TooLarge { .. }));
}

#[test]
fn input() {
    let error = |shape: &[usize]| GraphBuilder::new().input("x", shape).unwrap_err();
    assert!(matches!(error(&[]), GraphError::AxisCount { .. }));
    assert!(matches!(error(&[1; 9]), GraphError::AxisCount { .. }));
    assert!(matches!(error(&[1, 0, 2]), GraphError::Empty { .. }));
}

#[test]
fn linear_and_flatten() {
    assert_eq!(inferred(&[2, 3, 4, 5], |b, x| b.flatten("f", x)).unwrap(), [2, 60]);
    assert_eq!(inferred(&[2], |b, x| b.flatten("f", x)).unwrap(), [2, 1]);
    assert_eq!(inferred(&[2, 7], |b, x| b.linear("l", x, 5, false)).unwrap(), [2, 5]);
    assert!(matches!(inferred(&[2, 7], |b, x| b.linear("l", x, 0, false)), Err(GraphError::Empty { .. })));
    assert!(matches!(inferred(&[2, 7, 1], |b, x| b.linear("l", x, 5, false)), Err(GraphError::Rank { .. })));
}

#[test]
fn pools() {
    let pool = Pool { stride: [2, 2], padding: [1, 1, 0, 0], ..Pool::new([3, 3]) };
    assert_eq!(inferred(&[2, 3, 8, 9], |b, x| b.max_pool("p", x, pool)).unwrap(), [2, 3, 4, 4]);
    assert_eq!(inferred(&[2, 3, 8, 9], |b, x| b.average_pool("p", x, pool)).unwrap(), [2, 3, 4, 4]);
    assert_eq!(inferred(&[2, 3, 8, 9], |b, x| b.global_average_pool("p", x)).unwrap(), [2, 3, 1, 1]);
    let bad = [
        Pool { kernel: [0, 3], ..pool },
        Pool { kernel: [10, 3], ..pool },
        Pool { stride: [0, 1], ..pool },
        Pool { padding: [3, 0, 0, 0], ..pool },
        Pool { padding: [0, 0, 0, usize::MAX], ..pool },
        Pool { kernel: [usize::MAX; 2], padding: [usize::MAX - 1; 4], ..pool },
        Pool { kernel: [1 << 20; 2], padding: [(1 << 20) - 1; 4], ..pool },
    ];
    for pool in bad {
        let error = inferred(&[2, 3, 8, 9], |b, x| b.max_pool("p", x, pool)).unwrap_err();
        assert!(matches!(error, GraphError::Pool { .. }), "{pool:?}: {error}");
    }
    assert!(matches!(inferred(&[2, 3, 8], |b, x| b.global_average_pool("p", x)), Err(GraphError::Rank { .. })));
}

#[test]
fn add_and_concat() {
    let (mut builder, x) = with_input(&[2, 3, 4]);
    let y = builder.input("y", &[2, 5, 4]).unwrap();
    assert!(matches!(builder.add("a", x, y), Err(GraphError::Mismatch { .. })));
    assert!(matches!(builder.concat("c", &[x, y], 2), Err(GraphError::Mismatch { .. })));
    assert!(matches!(builder.concat("c", &[x, x], 3), Err(GraphError::Axis { axis: 3, rank: 3, .. })));
    assert!(matches!(builder.concat("c", &[], 1), Err(GraphError::NoInput { .. })));
    let stacked = builder.concat("stacked", &[x, x], 0).unwrap();
    assert_eq!(builder.shape(stacked).unwrap(), [4, 3, 4]);
    let joined = builder.concat("c", &[x, y, x], 1).unwrap();
    assert_eq!(builder.shape(joined).unwrap(), [2, 11, 4]);
    let sum = builder.add("a", joined, joined).unwrap();
    assert_eq!(builder.shape(sum).unwrap(), [2, 11, 4]);
}

#[test]
fn pad_and_slice() {
    assert_eq!(inferred(&[2, 3, 4], |b, x| b.pad("p", x, &[0, 1, 0], &[0, 0, 2])).unwrap(), [2, 4, 6]);
    assert_eq!(inferred(&[2, 3, 5], |b, x| b.slice("s", x, &[0, 1, 0], &[2, 3, 5], &[1, 1, 2])).unwrap(), [2, 2, 3]);
    let bad_pads: [[&[usize]; 2]; 3] = [[&[usize::MAX, 0, 0], &[0, 0, 0]], [&[0, 0], &[0, 0, 0]], [&[0, 0, 0], &[]]];
    for [before, after] in bad_pads {
        let error = inferred(&[2, 3, 5], |b, x| b.pad("p", x, before, after)).unwrap_err();
        assert!(matches!(error, GraphError::Bounds { .. }));
    }
    let bad_slices =
        [([0, 2, 0], [2, 2, 5], [1, 1, 1]), ([0, 0, 0], [2, 3, 6], [1, 1, 1]), ([0, 0, 0], [2, 3, 5], [1, 1, 0])];
    for (start, stop, step) in bad_slices {
        let error = inferred(&[2, 3, 5], |b, x| b.slice("s", x, &start, &stop, &step)).unwrap_err();
        assert!(matches!(error, GraphError::Bounds { .. }));
    }
    assert!(inferred(&[2, 3, 5], |b, x| b.slice("s", x, &[0; 2], &[2, 3, 5], &[1; 3])).is_err());
}

#[test]
fn names_and_ids() {
    let (mut builder, x) = with_input(&[1, 2]);
    assert_eq!(builder.relu("x", x), Err(GraphError::DuplicateName { name: "x".into() }));
    assert_eq!(builder.relu("", x), Err(GraphError::EmptyName));
    let y = builder.relu("y", x).unwrap();
    assert_eq!(GraphBuilder::new().relu("r", y), Err(GraphError::UnknownNode { name: "r".into(), index: 1 }));
    assert_eq!(GraphBuilder::new().finish(&[y]), Err(GraphError::UnknownNode { name: "outputs".into(), index: 1 }));
    assert_eq!(builder.clone().finish(&[]), Err(GraphError::NoOutput));
    assert_eq!(builder.finish(&[y, y]), Err(GraphError::DuplicateOutput { name: "y".into() }));
}

#[test]
fn dead_nodes_are_left_out() {
    let (mut builder, x) = with_input(&[1, 2]);
    builder.linear("dead", x, 3, true).unwrap();
    let y = builder.relu("y", x).unwrap();
    let z = builder.add("z", x, y).unwrap();
    let graph = builder.clone().finish(&[z, y]).unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name()).collect();
    assert_eq!(names, ["x", "y", "z"]);
    assert_eq!(graph.outputs(), [graph.find("z").unwrap(), graph.find("y").unwrap()]);
    assert_eq!(graph.node(graph.find("z").unwrap()).inputs(), [graph.inputs()[0], graph.find("y").unwrap()]);
    assert_eq!(graph.find("dead"), None);
    builder.input("unused", &[1, 1]).unwrap();
    assert_eq!(builder.finish(&[z]), Err(GraphError::UnusedInput { name: "unused".into() }));
}

fn residual_block(batch: usize) -> Graph {
    let options = ConvolutionOptions { padding: [1; 4], ..ConvolutionOptions::new(4, [3, 3]) };
    let (mut builder, x) = with_input(&[batch, 4, 6, 6]);
    let hidden = builder.convolution("conv1", x, options).unwrap();
    let hidden = builder.relu("relu1", hidden).unwrap();
    let hidden = builder.convolution("conv2", hidden, ConvolutionOptions { bias: false, ..options }).unwrap();
    let sum = builder.add("add", hidden, x).unwrap();
    let output = builder.relu("relu2", sum).unwrap();
    builder.finish(&[output]).unwrap()
}

#[test]
fn parameters_and_counts_of_a_residual_block() {
    let graph = residual_block(3);
    let parameters = graph.parameters();
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["conv1.weight", "conv1.bias", "conv2.weight"]);
    assert_eq!(parameters[0].shape, [4, 4, 3, 3]);
    assert_eq!(parameters[1].shape, [4]);
    assert_eq!(parameters[1].kind, ParameterKind::Bias);
    assert_eq!(graph.node(parameters[2].node).name(), "conv2");
    assert_eq!(graph.batch(), 3);
    assert_eq!(graph.relu_count(), 3 * 2 * 4 * 36);
    assert_eq!(graph.multiplications(), 3 * 2 * 36 * 4 * 4 * 9);
    assert_eq!(graph.node(graph.outputs()[0]).len(), 3 * 4 * 36);
    assert!(matches!(graph.node(graph.outputs()[0]).op(), Op::Relu));
}

#[test]
fn the_encoding_tells_graphs_apart() {
    let encode = |graph: &Graph| postcard::to_allocvec(graph).unwrap();
    assert_eq!(encode(&residual_block(1)), encode(&residual_block(1)));
    assert_ne!(encode(&residual_block(1)), encode(&residual_block(2)));
}

proptest! {
    #[test]
    fn windows_lie_inside_and_are_never_empty(
        size in prop::array::uniform2(1usize..12),
        kernel in prop::array::uniform2(1usize..6),
        stride in prop::array::uniform2(1usize..6),
        padding in prop::array::uniform4(0usize..6),
        dilation in prop::array::uniform2(1usize..4),
        count_padding: bool,
    ) {
        let pool = Pool { kernel, stride, padding, dilation, count_padding };
        let Ok(shape) = inferred(&[1, 1, size[0], size[1]], |b, x| b.max_pool("p", x, pool)) else { return Ok(()) };
        for output in (0..shape[2]).flat_map(|row| (0..shape[3]).map(move |column| [row, column])) {
            let [rows, columns] = pool.window(output, size);
            prop_assert!(rows.len() > 0 && rows.clone().all(|row| row < size[0]));
            prop_assert!(columns.len() > 0 && columns.clone().all(|column| column < size[1]));
            prop_assert!(pool.divisor(output, size) >= rows.len() * columns.len());
        }
    }

    #[test]
    fn no_sizes_make_a_builder_panic(
        shape in prop::collection::vec(any_size(), 0..6),
        kernel in prop::array::uniform2(any_size()),
        stride in prop::array::uniform2(any_size()),
        padding in prop::array::uniform4(any_size()),
        dilation in prop::array::uniform2(any_size()),
        groups in any_size(),
        output_channels in any_size(),
        list in prop::collection::vec(any_size(), 0..6),
    ) {
        let mut builder = GraphBuilder::new();
        let Ok(x) = builder.input("x", &shape) else { return Ok(()) };
        let options = ConvolutionOptions { output_channels, kernel, stride, padding, dilation, groups, bias: true };
        let pool = Pool { kernel, stride, padding, dilation, count_padding: false };
        let results = [
            builder.convolution("convolution", x, options),
            builder.linear("linear", x, output_channels, true),
            builder.max_pool("max", x, pool),
            builder.average_pool("average", x, pool),
            builder.global_average_pool("global", x),
            builder.concat("concat", &[x, x], groups),
            builder.flatten("flatten", x),
            builder.pad("pad", x, &list, &shape),
            builder.slice("slice", x, &list, &shape, &list),
        ];
        for node in results.into_iter().flatten() {
            prop_assert!(builder.shape(node).unwrap().iter().product::<usize>() <= MAX_ELEMENTS);
            let graph = builder.clone().finish(&[node]).unwrap();
            prop_assert!(graph.parameters().len() <= 2);
            let _ = graph.multiplications();
        }
    }
}

fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..8, 1 => any::<usize>(), 1 => (0u32..usize::BITS).prop_map(|bits| 1 << bits)]
}

#[test]
fn a_graph_that_is_read_is_built_anew() {
    let graph = residual_block(2);
    let bytes = postcard::to_allocvec(&graph).unwrap();
    assert_eq!(postcard::from_bytes::<Graph>(&bytes).unwrap(), graph);
    // Whatever is changed, what is read is an error or a graph that a builder makes.
    for at in 0..bytes.len() {
        for flip in [1, 2, 4, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            if let Ok(read) = postcard::from_bytes::<Graph>(&changed) {
                assert_eq!(postcard::from_bytes::<Graph>(&postcard::to_allocvec(&read).unwrap()).unwrap(), read);
            }
        }
        assert!(postcard::from_bytes::<Graph>(&bytes[..at]).is_err());
    }
}

#[test]
fn graphs_from_untrusted_bytes() {
    let graph = residual_block(2);
    let bytes = graph.to_bytes();
    let limits = GraphLimits::default();
    assert_eq!(Graph::from_bytes(&bytes, &limits).unwrap(), graph);
    for at in 0..bytes.len() {
        for flip in [1, 2, 4, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            match Graph::from_bytes(&changed, &limits) {
                Ok(read) => assert_eq!(Graph::from_bytes(&read.to_bytes(), &limits).unwrap(), read),
                Err(error) => assert!(at >= 6 || matches!(error, EncodingError::Kind { .. }), "{error}"),
            }
        }
        assert!(Graph::from_bytes(&bytes[..at], &limits).is_err());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(Graph::from_bytes(&longer, &limits), Err(EncodingError::Malformed { .. })));
    // A number of nodes that is not there takes no memory.
    let huge = [&bytes[..6], &[0xff; 9], &[1]].concat();
    assert!(matches!(Graph::from_bytes(&huge, &limits), Err(EncodingError::TooLarge { unit: "nodes", .. })));
    assert!(matches!(Graph::from_bytes(&huge, &GraphLimits::NONE), Err(EncodingError::Malformed { .. })));
}

#[test]
fn graphs_beyond_a_limit_are_refused_by_name() {
    let graph = residual_block(1);
    let bytes = graph.to_bytes();
    // Five values of 144 elements, weights of 144, a bias of 4; two convolutions, and two ReLUs.
    let (products, elements) = (graph.multiplications(), 5 * 144 + 2 * 144 + 4);
    let exact = GraphLimits {
        bytes: bytes.len(),
        nodes: 6,
        tensor_elements: 144,
        total_elements: elements + 144,
        multiplications: products,
        comparisons: 2 * 144,
    };
    assert_eq!(Graph::from_bytes(&bytes, &exact).unwrap(), graph);
    let refused = |limits: GraphLimits| match Graph::from_bytes(&bytes, &limits) {
        Err(EncodingError::TooLarge { unit, limit, found, .. }) => (unit, found - limit),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(GraphLimits { bytes: exact.bytes - 1, ..exact }), ("bytes", 1));
    assert_eq!(refused(GraphLimits { nodes: 5, ..exact }), ("nodes", 1));
    assert_eq!(refused(GraphLimits { tensor_elements: 143, ..exact }), ("elements in one tensor", 1));
    assert_eq!(refused(GraphLimits { total_elements: exact.total_elements - 1, ..exact }), ("elements in all", 1));
    assert_eq!(refused(GraphLimits { multiplications: products - 1, ..exact }), ("multiplications", 1));
    assert_eq!(refused(GraphLimits { comparisons: 287, ..exact }), ("comparisons", 1));
}

/// The number of comparisons or multiplications that a graph of one node is refused for, its limit being 0.
fn counted(shape: &[usize], unit: &str, add: impl FnOnce(&mut GraphBuilder, NodeId) -> NodeId) -> u64 {
    let (mut builder, x) = with_input(shape);
    let node = add(&mut builder, x);
    let bytes = builder.finish(&[node]).unwrap().to_bytes();
    let limits = GraphLimits { multiplications: 0, comparisons: 0, ..GraphLimits::NONE };
    match Graph::from_bytes(&bytes, &limits) {
        Err(EncodingError::TooLarge { unit: named, found, .. }) if named == unit => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_counts_towards_the_limits() {
    let comparisons = "comparisons";
    assert_eq!(counted(&[2, 9], comparisons, |b, x| b.relu("y", x).unwrap()), 18);
    assert_eq!(counted(&[2, 9], comparisons, |b, x| b.arg_max("y", x).unwrap()), 18);
    assert_eq!(counted(&[2, 9], comparisons, |b, x| b.top_k("y", x, 2).unwrap()[0]), 18 * 4 * 5 / 2);
    let overlapping = Pool { stride: [1, 1], ..Pool::new([3, 3]) };
    assert_eq!(counted(&[1, 2, 5, 5], comparisons, |b, x| b.max_pool("y", x, overlapping).unwrap()), 2 * 9 * 9);
    let products = "multiplications";
    assert_eq!(counted(&[2, 9], products, |b, x| b.square("y", x).unwrap()), 18);
    assert_eq!(counted(&[2, 3, 3], products, |b, x| b.matrix_product("y", x, x).unwrap()), 2 * 3 * 3 * 3);
    assert_eq!(counted(&[2, 9], products, |b, x| b.linear("y", x, 5, true).unwrap()), 2 * 9 * 5);
    // The windows of a maximum are all there at once.
    let huge = Pool { padding: [(1 << 10) - 1; 4], stride: [1, 1], ..Pool::new([1 << 10; 2]) };
    assert!(matches!(inferred(&[1, 1, 512, 512], |b, x| b.max_pool("p", x, huge)), Err(GraphError::TooLarge { .. })));
}

#[test]
fn settings_from_untrusted_bytes() {
    let recipients = Recipients::new(&[Owner::Party(2), Owner::Outside]).unwrap();
    let mut roles = Roles { recipients: Some(recipients), ..Roles::new(Owner::Outside, 2) };
    roles.input_owners[3] = Some(Owner::Party(1));
    let settings = Settings { roles, weights: WeightKnowledge::Shared, fractional_bits: 12, ..Settings::new(3) };
    let bytes = settings.to_bytes();
    assert_eq!(Settings::from_bytes(&bytes).unwrap(), settings);
    for at in 0..bytes.len() {
        for flip in 1..=255 {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            if let Ok(read) = Settings::from_bytes(&changed) {
                assert_eq!(Settings::from_bytes(&read.to_bytes()).unwrap(), read);
                // Possible or not, a plan is made of them or an error.
                let _ = Plan::<u64>::new(&residual_block(1), read);
            }
        }
        assert!(Settings::from_bytes(&bytes[..at]).is_err());
    }
    assert!(Settings::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    assert!(matches!(Settings::from_bytes(&residual_block(1).to_bytes()), Err(EncodingError::Kind { .. })));
}
