//! Logs hold no secret.

use std::fs;

use mpc_transport::tls::Identity;

use crate::faults::Running;
use crate::support::{Query, Site};

#[test]
fn logs_hold_no_secrets() {
    let site = Site::new();
    let mut running = Running::new(&site);
    let query = Query { is_prepared: true, ..running.query(&site) };
    let (code, mut logs) = query.prepare(2).end();
    assert_eq!(code, Some(0), "{logs}");
    for query in [&query, &running.query(&site)] {
        logs += &query.start().end().1;
    }
    // One that fails, too.
    logs += &Query { key: "stranger", ..running.query(&site) }.start().end().1;
    for service in [&mut running.server, &mut running.dealer] {
        service.process.terminate();
        logs += &service.process.end().1;
    }
    assert!(logs.contains("DEBUG"), "nothing is logged");
    for secret in secrets(&site) {
        assert!(!logs.contains(&secret), "the logs hold {secret}:\n{logs}");
    }
}

/// Keys and inputs in the forms in which they could be printed.
fn secrets(site: &Site) -> Vec<String> {
    let mut secrets = Vec::new();
    for name in ["acme", "clinic", "dealer", "stranger"] {
        let text = fs::read_to_string(site.path(&format!("{name}.key"))).unwrap();
        secrets.extend(text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
        let read = |end: &str| fs::read_to_string(site.path(&format!("{name}.{end}"))).unwrap();
        let derived = Identity::from_pem(&read("crt"), &read("key")).unwrap().derive_key("store");
        secrets.push(derived.iter().map(|byte| format!("{byte:02x}")).collect());
        secrets.push(derived.iter().map(u8::to_string).collect::<Vec<_>>().join(", "));
    }
    for value in site.sample(0) {
        let scaled = (f64::from(value) * 65536.0).round() as i64;
        // A short number may be another one's.
        secrets.extend([format!("{value}")].into_iter().filter(|text| text.len() > 8));
        secrets.push(format!("{:08x}", value.to_bits()));
        secrets.push(format!("{:016x}", scaled as u64));
    }
    secrets
}
