//! Bytes either are a graph within the limits, which encodes to itself and is planned or refused, or are refused by name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_nn::{Graph, GraphLimits, Plan, Preprocessing, Settings};

/// Small enough that planning takes no time.
const LIMITS: GraphLimits = GraphLimits {
    bytes: 1 << 14,
    nodes: 100,
    tensor_elements: 1 << 16,
    total_elements: 1 << 18,
    multiplications: 1 << 30,
    comparisons: 1 << 20,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::from_bytes(bytes, &LIMITS) else { return };
    assert_eq!(Graph::from_bytes(&graph.to_bytes(), &LIMITS).as_ref(), Ok(&graph));
    if let Ok(plan) = Plan::<u64>::new(&graph, Settings::new(2)) {
        // All sizes within the limits are small, so nothing that is planned is huge.
        assert!(plan.memory_bytes(1, Preprocessing::Ahead) < 1 << 40);
        assert!(plan.dealer_memory_bytes() < 1 << 40);
    }
});
