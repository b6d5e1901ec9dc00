//! Staircases: each step is at its threshold, and nowhere else.

use mpc_protocols::function::{Function, FunctionPlan, FunctionShape};

use super::function::{plan, private, sweep};

#[test]
fn stairs_are_exact() {
    for (first, last, width) in [(0, 0, 16384.0), (1, 3, 4096.0), (1, 15, 1.0), (-7, 8, 0.5)] {
        let function = Function::Stairs { first, last, width };
        let plan = plan::<u64>(function, 0, 16, 0, 32);
        let x = sweep(&plan, 16, 0, 2_000);
        let plan = FunctionPlan::new::<u64>(FunctionShape { len: x.len(), ..*plan.shape() }).unwrap();
        for (x, y) in x.iter().zip(private::<u64>(&plan, &x, 3)) {
            assert_eq!(y as f64 / 65_536.0, function.evaluate(*x as f64 / 65_536.0), "stairs of {x}");
        }
    }
}

/// A product of whole numbers is exactly at a step, from which more than two parties round some units down.
#[test]
fn stairs_behind_a_truncation_are_right_at_each_step() {
    let function = Function::Stairs { first: 1, last: 15, width: 1.0 };
    let steps: Vec<i64> = (0..16).cycle().take(640).collect();
    let x: Vec<_> = steps.iter().map(|step| step << 32).collect();
    for parties in [2, 3, 5, 8] {
        let plan = plan::<u64>(function, x.len(), 16, 16, 32);
        let found: Vec<_> = private::<u64>(&plan, &x, parties).into_iter().map(|y| y as i64 >> 16).collect();
        assert_eq!(found, steps, "{parties} parties");
    }
}
