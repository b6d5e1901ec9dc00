//! The openings of layers that read one input.

use mpc_nn::plan::Action;
use mpc_nn::{Plan, Settings};
use rten_onnx::onnx::{DataType, GraphProto};

use crate::models::{floats, graph, imported, info, ints, node, open};

/// Queries, keys and values as PyTorch exports them: each reshapes the same input for its layer, or transposes it first.
fn plan(is_transposed: bool) -> Plan<u64> {
    let (mut nodes, mut initializer, mut output) = (Vec::new(), Vec::new(), Vec::new());
    for name in ["q", "k", "v"] {
        let (weight, turned) = (format!("{name}.weight"), format!("{name}.turned"));
        initializer.push(floats(&weight, &[4, 3], &[0.25; 12]));
        if is_transposed {
            let mut transpose = node("Transpose", &["x"], &[&turned]);
            transpose.attribute = vec![ints("perm", &[0, 2, 1])];
            nodes.push(transpose);
        }
        nodes.push(node("MatMul", &[if is_transposed { &turned } else { "x" }, &weight], &[name]));
        output.push(open(name));
    }
    let sizes = if is_transposed { [2, 4, 5] } else { [2, 5, 4] };
    let input = vec![info("x", DataType::FLOAT, &sizes.map(Some))];
    let network = imported(GraphProto { input, output, ..graph(nodes, initializer) }).unwrap();
    Plan::new(&network.graph, Settings::new(2)).unwrap()
}

#[test]
fn queries_keys_and_values_open_their_input_once() {
    for is_transposed in [false, true] {
        let plan = plan(is_transposed);
        let layers: Vec<_> = plan.steps().iter().filter(|step| matches!(step.action, Action::Linear { .. })).collect();
        let sent: Vec<_> = layers.iter().map(|step| step.online[0].payload_sent).collect();
        assert_eq!(sent, [40 * 8, 0, 0]);
        assert_eq!(layers.iter().map(|step| step.online[0].rounds).sum::<u64>(), 1);
    }
}
