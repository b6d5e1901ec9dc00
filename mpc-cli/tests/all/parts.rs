//! Results of several inferences in one session, as they come.

use std::fs;

use mpc_models::arrays::read_npy;

use crate::faults::Running;
use crate::support::proxy::{Direction, Fault, Plan, Proxy};
use crate::support::{Process, Query, Site};

/// Inferences of a session.
const COUNT: usize = 6;

#[test]
fn the_results_before_a_failure_are_left_and_named() {
    let site = Site::new();
    let running = Running::new(&site);
    let proxy = Proxy::new(running.server.address);
    let query = Query { count: COUNT, server: proxy.address, ..running.query(&site) };
    let [output, report] = ["y.npy", "y.json"].map(|name| site.path(name));
    let parts = site.path("y.npy.parts");
    let ask = || Process::start("clinic", query.command(&output, &report)).end();
    let (code, log) = ask();
    assert_eq!(code, Some(0), "{log}");
    let whole = read_npy(&fs::read(&output).unwrap()).unwrap();
    assert!(!parts.exists(), "all of them are in one file");
    fs::remove_file(&output).unwrap();
    fs::remove_file(&report).unwrap();
    // The same again, but for its end.
    let direction = Direction::Back;
    let after = proxy.passed(direction) * 3 / 4;
    proxy.spoil(Some(Plan { fault: Fault::Drop, direction, after }));
    let (code, log) = ask();
    assert_eq!(code, Some(4), "{log}");
    let done = (1..COUNT).find(|done| log.contains(&format!("{done} of {COUNT} inferences had ended")));
    let done = done.unwrap_or_else(|| panic!("{log}"));
    assert!(log.contains(&format!("their results are in {}", parts.display())), "{log}");
    assert!(!output.exists() && !report.exists());
    assert_eq!(fs::read_dir(&parts).unwrap().count(), done);
    for (inference, expected) in whole.outer_iter().enumerate().take(done) {
        let part = read_npy(&fs::read(parts.join(format!("{inference:06}.npy"))).unwrap()).unwrap();
        assert!(part.iter().zip(expected).all(|(part, whole)| (part - whole).abs() < 0.001), "inference {inference}");
    }
    // What a later session gives is not mixed with it.
    proxy.spoil(None);
    let (code, log) = ask();
    assert_eq!(code, Some(0), "{log}");
    assert!(output.exists() && !parts.exists());
}
