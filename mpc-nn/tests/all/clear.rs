//! The plaintext evaluation against loops that follow the definitions.

use std::collections::BTreeMap;

use mpc_nn::{
    ConvolutionOptions, EvaluateError, Graph, GraphBuilder, GraphError, NodeId, Op, Pool, Weights, WeightsError,
    evaluate, evaluate_with,
};
use ndarray::{ArrayD, IxDyn, array};
use proptest::prelude::*;

/// Small numbers that follow from a seed.
fn tensor(shape: &[usize], seed: u64) -> ArrayD<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    ArrayD::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f32 / 16_777_216.0 - 0.5) * 2.0
    })
}

fn tensors(graph: &Graph) -> BTreeMap<String, ArrayD<f32>> {
    let parameters = graph.parameters().into_iter().enumerate();
    parameters.map(|(seed, parameter)| (parameter.name, tensor(&parameter.shape, seed as u64 + 1))).collect()
}

/// A graph of one input and the node that `add` appends to it.
fn graph(
    shape: &[usize],
    add: impl FnOnce(&mut GraphBuilder, NodeId) -> Result<NodeId, GraphError>,
) -> Result<Graph, GraphError> {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", shape)?;
    let node = add(&mut builder, x)?;
    builder.finish(&[node])
}

fn run(graph: &Graph, input: &ArrayD<f32>) -> ArrayD<f32> {
    let weights = Weights::for_graph(graph, tensors(graph)).unwrap();
    evaluate(graph, &weights, std::slice::from_ref(input)).unwrap().remove(0)
}

fn assert_close(left: &ArrayD<f32>, right: &ArrayD<f32>) {
    assert_eq!(left.shape(), right.shape());
    for (&x, &y) in left.iter().zip(right) {
        assert!((x - y).abs() <= 1e-4 * (1.0 + y.abs()), "{x} is not {y}");
    }
}

/// The element at [b, c, y − top, x − left], or `None` in the padding.
fn at(input: &ArrayD<f32>, b: usize, c: usize, padded: [usize; 2], padding: [usize; 4]) -> Option<f32> {
    let y = padded[0].checked_sub(padding[0])?;
    let x = padded[1].checked_sub(padding[1])?;
    input.get(IxDyn(&[b, c, y, x])).copied()
}

fn naive_convolution(graph: &Graph, options: &ConvolutionOptions, input: &ArrayD<f32>) -> ArrayD<f32> {
    let parameters = tensors(graph);
    let weight = &parameters["c.weight"];
    let groups = options.groups;
    let (inputs, outputs) = (input.shape()[1] / groups, options.output_channels / groups);
    ArrayD::from_shape_fn(graph.node(graph.outputs()[0]).shape(), |index| {
        let mut sum = if options.bias { parameters["c.bias"][index[1]] } else { 0.0 };
        for (c, i, j) in triples(inputs, options.kernel[0], options.kernel[1]) {
            let y = index[2] * options.stride[0] + i * options.dilation[0];
            let x = index[3] * options.stride[1] + j * options.dilation[1];
            let channel = index[1] / outputs * inputs + c;
            let value = at(input, index[0], channel, [y, x], options.padding).unwrap_or(0.0);
            sum += value * weight[[index[1], c, i, j]];
        }
        sum
    })
}

fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

fn naive_pool(graph: &Graph, pool: &Pool, input: &ArrayD<f32>, is_maximum: bool) -> ArrayD<f32> {
    ArrayD::from_shape_fn(graph.node(graph.outputs()[0]).shape(), |index| {
        let mut inside = Vec::new();
        for (_, i, j) in triples(1, pool.kernel[0], pool.kernel[1]) {
            let down = index[2] * pool.stride[0] + i * pool.dilation[0];
            let corner = [down, index[3] * pool.stride[1] + j * pool.dilation[1]];
            inside.extend(at(input, index[0], index[1], corner, pool.padding));
        }
        let count = if pool.count_padding { pool.kernel[0] * pool.kernel[1] } else { inside.len() };
        let maximum = inside.iter().copied().fold(f32::MIN, f32::max);
        if is_maximum { maximum } else { inside.iter().sum::<f32>() / count as f32 }
    })
}

prop_compose! {
    fn any_convolution()(
        groups in 1usize..4,
        group_inputs in 1usize..4,
        group_outputs in 1usize..4,
        kernel in prop::array::uniform2(1usize..5),
        stride in prop::array::uniform2(1usize..4),
        padding in prop::array::uniform4(0usize..7),
        dilation in prop::array::uniform2(1usize..4),
        bias: bool,
    ) -> (usize, ConvolutionOptions) {
        let output_channels = groups * group_outputs;
        let options = ConvolutionOptions { output_channels, kernel, stride, padding, dilation, groups, bias };
        (groups * group_inputs, options)
    }
}

proptest! {
    #[test]
    fn convolution_follows_its_definition(
        (channels, options) in any_convolution(),
        batch in 1usize..3,
        size in prop::array::uniform2(1usize..10),
        seed: u64,
    ) {
        let shape = [batch, channels, size[0], size[1]];
        let Ok(graph) = graph(&shape, |b, x| b.convolution("c", x, options)) else { return Ok(()) };
        let input = tensor(&shape, seed);
        assert_close(&run(&graph, &input), &naive_convolution(&graph, &options, &input));
    }

    #[test]
    fn pools_follow_their_definition(
        size in prop::array::uniform2(1usize..10),
        kernel in prop::array::uniform2(1usize..5),
        stride in prop::array::uniform2(1usize..5),
        padding in prop::array::uniform4(0usize..4),
        dilation in prop::array::uniform2(1usize..3),
        count_padding: bool,
        seed: u64,
    ) {
        let pool = Pool { kernel, stride, padding, dilation, count_padding };
        let shape = [2, 3, size[0], size[1]];
        let input = tensor(&shape, seed);
        let Ok(maximum) = graph(&shape, |b, x| b.max_pool("p", x, pool)) else { return Ok(()) };
        assert_close(&run(&maximum, &input), &naive_pool(&maximum, &pool, &input, true));
        let mean = graph(&shape, |b, x| b.average_pool("p", x, pool)).unwrap();
        assert_close(&run(&mean, &input), &naive_pool(&mean, &pool, &input, false));
    }

    #[test]
    fn linear_follows_its_definition(batch in 1usize..4, inputs in 1usize..9, outputs in 1usize..9, seed: u64) {
        let graph = graph(&[batch, inputs], |b, x| b.linear("l", x, outputs, true)).unwrap();
        let (input, parameters) = (tensor(&[batch, inputs], seed), tensors(&graph));
        let expected = ArrayD::from_shape_fn(IxDyn(&[batch, outputs]), |index| {
            let products = (0..inputs).map(|i| input[[index[0], i]] * parameters["l.weight"][[index[1], i]]);
            products.sum::<f32>() + parameters["l.bias"][index[1]]
        });
        assert_close(&run(&graph, &input), &expected);
    }
}

#[test]
fn an_image_of_many_blocks() {
    let options = ConvolutionOptions { padding: [1; 4], ..ConvolutionOptions::new(5, [3, 3]) };
    let shape = [1, 16, 70, 130];
    let graph = graph(&shape, |b, x| b.convolution("c", x, options)).unwrap();
    let input = tensor(&shape, 7);
    assert_close(&run(&graph, &input), &naive_convolution(&graph, &options, &input));
}

#[test]
fn rearrangements() {
    let x = tensor(&[2, 4, 4, 5], 3);
    let flat = run(&graph(x.shape(), |b, x| b.flatten("f", x)).unwrap(), &x);
    assert_eq!(flat, x.to_shape((2, 80)).unwrap().into_owned().into_dyn());
    let halved = graph(x.shape(), |b, x| b.slice("s", x, &[0, 0, 0, 1], &[2, 4, 4, 5], &[1, 1, 2, 2])).unwrap();
    let halved = run(&halved, &x);
    assert_eq!(halved, x.slice(ndarray::s![.., .., ..;2, 1..;2]).into_owned().into_dyn());
    let padded = graph(x.shape(), |b, x| b.pad("p", x, &[0, 2, 0, 0], &[0, 1, 0, 3])).unwrap();
    let padded = run(&padded, &x);
    assert_eq!(padded.shape(), [2, 7, 4, 8]);
    assert_eq!(padded.slice(ndarray::s![.., 2..6, .., ..5]).into_dyn(), x);
    assert_eq!(padded.iter().filter(|&&value| value != 0.0).count(), x.len());
    let joined = run(&graph(x.shape(), |b, x| b.concat("c", &[x, x], 3)).unwrap(), &x);
    assert_eq!(joined.slice(ndarray::s![.., .., .., 5..]).into_dyn(), x);
    let means = run(&graph(x.shape(), |b, x| b.global_average_pool("g", x)).unwrap(), &x);
    assert!((means[[1, 2, 0, 0]] - x.slice(ndarray::s![1, 2, .., ..]).mean().unwrap()).abs() < 1e-6);
}

#[test]
fn a_residual_block_and_its_observer() {
    let options = ConvolutionOptions { padding: [1; 4], ..ConvolutionOptions::new(3, [3, 3]) };
    let shape = [2, 3, 6, 6];
    let block = graph(&shape, |b, x| {
        let hidden = b.convolution("c", x, options)?;
        let hidden = b.relu("relu1", hidden)?;
        let sum = b.add("add", hidden, x)?;
        b.relu("relu2", sum)
    });
    let block = block.unwrap();
    let first = graph(&shape, |b, x| b.convolution("c", x, options)).unwrap();
    let input = tensor(&shape, 11);
    let expected = naive_convolution(&first, &options, &input).mapv(|x| x.max(0.0)) + &input;
    assert_close(&run(&block, &input), &expected.mapv(|x| x.max(0.0)));

    let weights = Weights::for_graph(&block, tensors(&block)).unwrap();
    let mut seen = Vec::new();
    let observe = |id: NodeId, value: &ArrayD<f32>| {
        assert_eq!(block.node(id).shape(), value.shape());
        assert!(*block.node(id).op() != Op::Relu || value.iter().all(|&x| x >= 0.0));
        seen.push(block.node(id).name().to_owned());
    };
    evaluate_with(&block, &weights, &[input], observe).unwrap();
    assert_eq!(seen, ["x", "c", "relu1", "add", "relu2"]);
}

#[test]
fn unfit_inputs() {
    let graph = graph(&[1, 3, 32, 32], |b, x| b.relu("r", x)).unwrap();
    let weights = Weights::for_graph(&graph, BTreeMap::new()).unwrap();
    let error = |inputs: &[ArrayD<f32>]| evaluate(&graph, &weights, inputs).unwrap_err();
    assert_eq!(error(&[]), EvaluateError::InputCount { expected: 1, found: 0 });
    let (expected, found) = (vec![1, 3, 32, 32], vec![1, 3, 28, 28]);
    let shape_error = EvaluateError::InputShape { name: "x".into(), expected, found };
    assert_eq!(error(&[tensor(&[1, 3, 28, 28], 1)]), shape_error);
    let with = |value: f32| {
        let mut image = tensor(&[1, 3, 32, 32], 1);
        image[[0, 2, 5, 6]] = value;
        [image]
    };
    let (name, index) = (|| "x".to_owned(), || vec![0, 2, 5, 6]);
    assert_eq!(error(&with(f32::NAN)), EvaluateError::NotFinite { name: name(), index: index() });
    assert_eq!(error(&with(f32::NEG_INFINITY)), EvaluateError::NotFinite { name: name(), index: index() });
    assert_eq!(error(&with(-4e4)), EvaluateError::OutOfRange { name: name(), index: index() });
    assert!(evaluate(&graph, &weights, &with(-32768.0)).is_ok());
}

#[test]
fn a_fraction_in_an_input_of_whole_numbers_is_named() {
    let mut builder = GraphBuilder::new();
    let x = builder.whole_input("x", &[1, 3]).unwrap();
    let y = builder.relu("y", x).unwrap();
    let graph = builder.finish(&[y]).unwrap();
    let weights = Weights::for_graph(&graph, BTreeMap::new()).unwrap();
    let run = |x: ArrayD<f32>| evaluate(&graph, &weights, &[x]);
    assert_eq!(run(array![[0.0, -7.0, 3.0]].into_dyn()).unwrap(), [array![[0.0, 0.0, 3.0]].into_dyn()]);
    let error = run(array![[0.0, 1.0, 0.5]].into_dyn()).unwrap_err();
    assert_eq!(error, EvaluateError::NotWhole { name: "x".into(), index: vec![0, 2] });
}

#[test]
fn unfit_weights() {
    let graph = graph(&[1, 2], |b, x| b.linear("l", x, 2, true)).unwrap();
    let good = || -> BTreeMap<String, ArrayD<f32>> {
        let weight = array![[1.0, 2.0], [3.0, 4.0]].into_dyn();
        [("l.weight".to_owned(), weight), ("l.bias".to_owned(), array![5.0, 6.0].into_dyn())].into()
    };
    let error = |tensors| Weights::for_graph(&graph, tensors).unwrap_err();
    let name = || "l.weight".to_owned();

    let mut tensors = good();
    tensors.remove("l.weight");
    assert_eq!(error(tensors), WeightsError::Missing { name: name(), expected: vec![2, 2] });
    let mut tensors = good();
    tensors.insert(name(), array![[1.0, 2.0]].into_dyn());
    assert_eq!(error(tensors), WeightsError::Shape { name: name(), expected: vec![2, 2], found: vec![1, 2] });
    let mut tensors = good();
    tensors.insert("other".to_owned(), array![1.0].into_dyn());
    assert_eq!(error(tensors), WeightsError::Unknown { name: "other".into() });
    for (value, finite) in [(f32::NAN, false), (f32::INFINITY, false), (32769.0, true)] {
        let mut tensors = good();
        tensors.get_mut("l.weight").unwrap()[[1, 0]] = value;
        let (name, index) = (name(), vec![1, 0]);
        let expected =
            if finite { WeightsError::OutOfRange { name, index } } else { WeightsError::NotFinite { name, index } };
        assert_eq!(error(tensors), expected);
    }
}

#[test]
fn weights_are_in_row_major_order_and_not_shown() {
    let graph = graph(&[1, 2], |b, x| b.linear("l", x, 2, false)).unwrap();
    let transposed = array![[1.25f32, 2.0], [3.0, 4.0]].reversed_axes().into_dyn();
    let weights = Weights::for_graph(&graph, [("l.weight".to_owned(), transposed)].into()).unwrap();
    assert_eq!(weights.get("l.weight").unwrap().as_slice(), Some([1.25, 3.0, 2.0, 4.0].as_slice()));
    assert!(!format!("{weights:?}").contains("1.25"));
    let outputs = evaluate(&graph, &weights, &[array![[1.0, 10.0]].into_dyn()]).unwrap();
    assert_eq!(outputs[0], array![[31.25, 42.0]].into_dyn());
}

#[test]
fn weights_of_another_graph_and_overflow() {
    let small = graph(&[1, 2], |b, x| b.linear("l", x, 2, false)).unwrap();
    let large = graph(&[1, 2], |b, x| b.linear("l", x, 3, false)).unwrap();
    let weights = Weights::for_graph(&small, tensors(&small)).unwrap();
    let error = evaluate(&large, &weights, &[tensor(&[1, 2], 1)]).unwrap_err();
    assert_eq!(error, EvaluateError::Weights { name: "l.weight".into(), expected: vec![3, 2] });

    let deep = graph(&[1, 1], |b, x| (0..9).try_fold(x, |x, layer| b.linear(&format!("l{layer}"), x, 1, false)));
    let deep = deep.unwrap();
    let largest = deep.parameters().into_iter().map(|p| (p.name, ArrayD::from_elem(p.shape, 32768.0))).collect();
    let weights = Weights::for_graph(&deep, largest).unwrap();
    let error = evaluate(&deep, &weights, &[array![[32768.0]].into_dyn()]).unwrap_err();
    assert_eq!(error, EvaluateError::Overflow { name: "l7".into() });
}

/// The output of one node over an input of 0, 1, 2, … in the given shape.
fn counted(shape: &[usize], add: impl FnOnce(&mut GraphBuilder, NodeId) -> Result<NodeId, GraphError>) -> ArrayD<f32> {
    let graph = graph(shape, add).unwrap();
    let len = shape.iter().product();
    run(&graph, &ArrayD::from_shape_vec(shape, (0..len).map(|x: usize| x as f32).collect()).unwrap())
}

#[test]
fn tensors_of_any_rank() {
    let shape = [2, 3, 2];
    assert_eq!(counted(&shape, |b, x| b.sum("s", x, &[0, 2])), array![[[14.0], [22.0], [30.0]]].into_dyn());
    assert_eq!(counted(&shape, |b, x| b.mean("m", x, &[1])), array![[[2.0, 3.0]], [[8.0, 9.0]]].into_dyn());
    assert_eq!(counted(&[2, 2], |b, x| b.transpose("t", x, &[1, 0])), array![[0.0, 2.0], [1.0, 3.0]].into_dyn());
    assert_eq!(counted(&[1, 3], |b, x| b.gather("g", x, 1, &[2, 0, 2])), array![[2.0, 0.0, 2.0]].into_dyn());
    assert_eq!(counted(&[1, 3], |b, x| b.arg_max("a", x)), array![[2.0]].into_dyn());
    assert_eq!(counted(&[3], |b, x| b.scale("s", x, -0.5)), array![0.0, -0.5, -1.0].into_dyn());
    assert_eq!(counted(&[3], |b, x| b.offset("o", x, 1.5)), array![1.5, 2.5, 3.5].into_dyn());
    assert_eq!(counted(&[3], |b, x| b.square("s", x)), array![0.0, 1.0, 4.0].into_dyn());
    assert_eq!(counted(&[4], |b, x| b.reshape("r", x, &[2, 2])), array![[0.0, 1.0], [2.0, 3.0]].into_dyn());
    let halves = [vec![(0, 0.5), (1, 0.5)], vec![(2, 2.0)]];
    assert_eq!(counted(&[3], |b, x| b.combine("c", x, 0, &halves)), array![0.5, 4.0].into_dyn());
}

#[test]
fn products_of_tensors() {
    let scaled = counted(&[2, 3], |b, x| {
        let factors = b.slice("factors", x, &[0, 1], &[2, 2], &[1, 1])?;
        b.multiply("m", x, factors)
    });
    assert_eq!(scaled, array![[0.0, 1.0, 2.0], [12.0, 16.0, 20.0]].into_dyn());
    let product = counted(&[1, 2, 2], |b, x| b.matrix_product("p", x, x));
    assert_eq!(product, array![[[2.0, 3.0], [6.0, 11.0]]].into_dyn());
}
