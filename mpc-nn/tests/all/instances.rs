//! All that a debug build compiles for every ring runs in each of them.

use mpc_nn::instances::run;
use mpc_ring::RingBits;

#[test]
fn a_network_runs_in_every_ring() {
    for ring in [RingBits::Bits32, RingBits::Bits64, RingBits::Bits128] {
        run(ring, 2).unwrap();
    }
}
