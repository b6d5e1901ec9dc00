//! Bounds of single values: what they spare, and what is refused.

use std::collections::BTreeMap;

use mpc_nn::{
    Calibration, EncodingError, Graph, GraphBuilder, GraphError, GraphLimits, Plan, PlanError, Settings, Weights,
    in_process,
};
use mpc_protocols::function::Function;
use ndarray::ArrayD;

/// A linear layer, a ReLU and another layer.
fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 40]).unwrap();
    let hidden = b.linear("hidden", x, 30, true).unwrap();
    let relu = b.relu("relu", hidden).unwrap();
    let y = b.linear("y", relu, 2, true).unwrap();
    b.finish(&[y]).unwrap()
}

fn bounded(node: &str, largest: f64, margin: u8) -> Result<Graph, GraphError> {
    let mut calibration = Calibration::new(&graph(), margin);
    calibration.largest.insert(node.to_owned(), largest);
    graph().with_bounds(&calibration)
}

fn plan(graph: &Graph) -> Plan<u64> {
    Plan::new(graph, Settings::new(2)).unwrap()
}

#[test]
fn a_bound_narrows_what_is_compared_and_what_is_opened_for_it() {
    let (whole, narrow) = (plan(&graph()), plan(&bounded("hidden", 5.0, 1).unwrap()));
    let widths = |plan: &Plan<u64>| plan.steps().iter().map(|step| step.width).collect::<Vec<_>>();
    // k = 16 + 2 + 3 + 1, and f + 6 bits of an input's weights.
    assert_eq!(widths(&whole)[..3], [54, 54, 64]);
    assert_eq!(widths(&narrow)[..3], [44, 44, 64]);
    let bounds = |plan: &Plan<u64>| plan.steps().iter().find_map(|step| step.bound(plan.settings()));
    assert_eq!((bounds(&whole), bounds(&narrow)), (Some(16_384.0), Some(16.0)));
    // 10 bits an input of 54, and 22 + 8 bits of a ReLU instead of 32 + 12.
    let [whole, narrow] = [&whole, &narrow].map(|plan| plan.online(1));
    assert_eq!(whole.payload_sent - narrow.payload_sent, 40 * 10 / 8 + 30 * 10 / 8 + 4 * 4);
    assert_eq!(whole.rounds, narrow.rounds);
}

#[test]
fn an_exponential_reaches_its_bound() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 4]).unwrap();
    let y = b.function("y", x, Function::Exp).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let weights = Weights::for_graph(&graph, BTreeMap::new()).unwrap();
    for (largest, margin) in [(Some(1000.0), 0), (Some(130.0), 1), (None, 0)] {
        let mut calibration = Calibration::new(&graph, margin);
        calibration.largest.insert("x".to_owned(), 9.7);
        calibration.largest.extend(largest.map(|largest| ("y".to_owned(), largest)));
        let graph = graph.clone().with_bounds(&calibration).unwrap();
        let plan = plan(&graph);
        let bound = graph.node(y).bound().unwrap_or(plan.settings().bound());
        let inputs = [1.0, 0.99, 0.5, 0.25].map(|part| (bound * part * 0.998).ln() as f32);
        let inputs = [ArrayD::from_shape_vec(vec![1, 4], inputs.to_vec()).unwrap()];
        let private = in_process::infer(&plan, &weights, &inputs).unwrap().remove(0);
        for (x, y) in inputs[0].iter().zip(&private) {
            let exact = f64::from(*x).exp();
            assert!((y - exact).abs() < exact / 2000.0, "bound {bound}: e^{x} gave {y}, not {exact}");
        }
    }
}

#[test]
fn parties_with_other_bounds_have_another_plan() {
    let digests = [None, Some(0.9), Some(1.5)]
        .map(|largest| plan(&largest.map_or_else(graph, |largest| bounded("hidden", largest, 1).unwrap())).digest());
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn graphs_keep_their_bounds() {
    let graph = bounded("hidden", 5.0, 1).unwrap();
    let read = Graph::from_bytes(&graph.to_bytes(), &GraphLimits::default()).unwrap();
    assert_eq!(read, graph);
    assert_eq!(read.node(read.find("hidden").unwrap()).bound(), Some(16.0));
    let class = graph.with_class_only(graph.outputs()[0]).unwrap();
    assert_eq!(class.node(class.find("hidden").unwrap()).bound(), Some(16.0));
}

#[test]
fn a_bound_that_cannot_be_is_refused() {
    for (node, largest, margin) in [
        ("nothing", 1.0, 1),
        ("hidden", f64::NAN, 1),
        ("hidden", -1.0, 1),
        ("hidden", f64::INFINITY, 1),
        ("hidden", 1.0, 41),
    ] {
        assert!(matches!(bounded(node, largest, margin), Err(GraphError::Bound { .. })), "{node} {largest} {margin}");
    }
    // Bytes of a graph end each node with its bound.
    let (bytes, unbounded) = (bounded("hidden", 0.9, 3).unwrap().to_bytes(), graph().to_bytes());
    let place = bytes.iter().zip(&unbounded).position(|(x, y)| x != y).unwrap();
    assert_eq!(bytes[place..place + 2], [1, 3]);
    let mut changed = bytes;
    changed[place + 1] = 64;
    let read = Graph::from_bytes(&changed, &GraphLimits::default());
    assert!(matches!(read, Err(EncodingError::Graph(GraphError::Bound { .. }))), "{read:?}");
}

#[test]
fn the_calibration_of_another_network_is_refused() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 40]).unwrap();
    let hidden = b.linear("hidden", x, 31, true).unwrap();
    let other = b.finish(&[hidden]).unwrap();
    let refused = graph().with_bounds(&Calibration::new(&other, 1));
    assert_eq!(refused.unwrap_err(), GraphError::OtherCalibration);
}

/// Values that are larger than any may be need a larger k.
#[test]
fn a_bound_beyond_that_of_all_values_has_no_plan() {
    let graph = bounded("hidden", 20_000.0, 0).unwrap();
    let refused = Plan::<u64>::new(&graph, Settings::new(2)).unwrap_err();
    assert!(matches!(&refused, PlanError::Unsupported { layer, .. } if layer == "hidden"), "{refused}");
    let larger = Settings { comparison_bits: 33, ..Settings::new(2) };
    Plan::<u64>::new(&graph, larger).unwrap();
}
