//! Logs and figures hold no secret.

use std::fs;

use mpc_transport::tls::Identity;
use serde_json::Value;

use crate::faults::Running;
use crate::support::watched::Watched;
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

#[test]
fn an_operator_reads_figures_and_logs_as_json() {
    let site = Site::new();
    let dealer = site.start_dealer(None);
    let mut command = site.server_command(None, dealer.address);
    command.args(["--min-prepared", "1", "--log-format", "json"]);
    let mut server = Watched::start("acme", command);
    let get = |path: &str| server.get(path);
    assert_eq!((get("/healthz").status, get("/readyz").status), (200, 503));
    let query = Query { is_prepared: true, ..Query::new(&site, server.address, dealer.address) };
    assert_eq!(query.prepare(2).end().0, Some(0));
    assert_eq!(get("/readyz").status, 200);
    query.succeeds();
    server.process.await_log("session ended", 2);
    let figures = get("/metrics");
    assert!(figures.headers.contains("content-type: application/openmetrics-text"), "{}", figures.headers);
    let figures = String::from_utf8(figures.body).unwrap();
    assert!(figures.contains("mpc_sessions_total{work=\"prepared\",outcome=\"done\"} 1\n"), "{figures}");
    server.process.terminate();
    let (code, log) = server.process.end();
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let has = |key: &str| line[key].is_string();
        assert!(has("level") && has("timestamp") && has("message"), "{line}");
    }
    for secret in secrets(&site) {
        assert!(!log.contains(&secret) && !figures.contains(&secret), "{secret} is shown");
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
