//! A library without std that uses every crate of the workspace: `cargo xtask test --only no-std` checks it.
//!
//! It has its own panic handler. When anything that it depends on links std, there are two, and the check fails.

#![no_std]

extern crate alloc;

use alloc::vec;
use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;
use core::panic::PanicInfo;

use mpc_he::Linear;
use mpc_models::Model;
use mpc_nn::{Plan, Settings};
use mpc_ot::{Method, Schedule};
use mpc_protocols::Dealer;
use mpc_ring::FixedPoint;
use mpc_shares::{ArithmeticShares, Seed};
use mpc_transport::Agreement;

struct NoMemory;

// SAFETY: never gives any memory.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Something of each crate.
pub fn every_crate() {
    black_box(FixedPoint::new(16).encode::<u64>(1.0).is_ok());
    black_box(ArithmeticShares::from_elements(vec![1u64]));
    black_box(
        Linear::left_product(1, 1, 1)
            .and_then(|layer| mpc_he::Layout::search(&layer, mpc_he::Modulus::SMALLEST, 1, false))
            .is_ok(),
    );
    black_box(Agreement::new([0; 16]));
    black_box(Schedule::opening(Method::SILENT));
    black_box(Dealer::<u64>::new(2, Seed::from_bytes([0; 32])).is_ok());
    let graph = Model::by_name("resnet32").map(|model| model.graph(1));
    if let Ok(Ok(graph)) = graph {
        black_box(Plan::<u64>::new(&graph, Settings::new(2)).is_ok());
    }
}
