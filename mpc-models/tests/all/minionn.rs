//! The shape of MiniONN's network, and what its loader refuses.

use mpc_models::{LoadError, load_minionn, minionn};
use mpc_nn::{Op, Pool};

#[test]
fn counts() {
    let graph = minionn(1, 10).unwrap();
    assert_eq!(graph.relu_count(), 173_056);
    assert_eq!(graph.multiplications(), 61_089_792);
    let convolutions = graph.nodes().iter().filter(|node| matches!(node.op(), Op::Convolution { bias: true, .. }));
    assert_eq!(convolutions.count(), 7);
    let parameters = graph.parameters();
    assert_eq!(parameters.len(), 16);
    assert_eq!(parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum::<usize>(), 164_954);
    assert_eq!(graph.node(graph.outputs()[0]).shape(), [1, 10]);
    assert_eq!(minionn(7, 10).unwrap().relu_count(), 7 * 173_056);
    assert!(minionn(0, 10).is_err());
    assert!(minionn(usize::MAX, 10).is_err());
}

#[test]
fn names_and_shapes() {
    let graph = minionn(2, 10).unwrap();
    let node = |name: &str| graph.node(graph.find(name).unwrap());
    assert_eq!(node("conv1").shape(), [2, 64, 32, 32]);
    assert_eq!(node("relu2").shape(), [2, 64, 32, 32]);
    assert_eq!(node("pool1").shape(), [2, 64, 16, 16]);
    assert_eq!(node("conv4").shape(), [2, 64, 16, 16]);
    assert_eq!(node("pool2").shape(), [2, 64, 8, 8]);
    assert_eq!(node("conv5").shape(), [2, 64, 8, 8]);
    assert_eq!(node("relu7").shape(), [2, 16, 8, 8]);
    assert_eq!(node("flatten").shape(), [2, 1024]);
    assert_eq!(node("pool2").op(), &Op::AveragePool(Pool::new([2, 2])));
    let shapes = graph.parameters().into_iter().map(|parameter| (parameter.name, parameter.shape));
    let shapes = shapes.collect::<Vec<_>>();
    assert!(shapes.contains(&("conv5.weight".into(), vec![64, 64, 3, 3])));
    assert!(shapes.contains(&("conv7.weight".into(), vec![16, 64, 1, 1])));
    assert!(shapes.contains(&("linear.bias".into(), vec![10])));
}

#[test]
fn no_weights() {
    let empty = [&2u64.to_le_bytes()[..], b"{}"].concat();
    let error = load_minionn(&empty, &minionn(1, 10).unwrap()).unwrap_err();
    assert_eq!(error, LoadError::Missing { name: "conv1.weight".into(), expected: vec![64, 3, 3, 3] });
}

#[cfg(feature = "bundled")]
#[test]
fn weights_of_another_network() {
    let bytes = mpc_models::resnet32::BUNDLED_WEIGHTS;
    let error = load_minionn(bytes, &minionn(1, 10).unwrap()).unwrap_err();
    assert!(matches!(error, LoadError::Shape { name, .. } if name == "conv1.weight"));
}
