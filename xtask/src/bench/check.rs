//! Bytes and rounds, which are the same in every run: as planned, as measured and as expected.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::workspace::list;

/// The deterministic figures of one inference. Bytes are those on the wire, by party.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    /// From the dealer.
    pub preprocessing_bytes_received: Vec<u64>,
    pub preprocessing_rounds: u64,
    pub online_bytes_sent: Vec<u64>,
    pub online_bytes_received: Vec<u64>,
    pub online_rounds: u64,
}

/// The figures of each job by its name.
pub(super) type ByJob = BTreeMap<String, Figures>;

impl Figures {
    /// From the `phases` of `mpc run --json`, which are sums over so many inferences.
    pub fn from_phases(phases: &Value, inferences: u64) -> Result<Self, String> {
        let each = |value: &Value| {
            let sum = value.as_u64().filter(|sum| sum.is_multiple_of(inferences.max(1)));
            sum.map(|sum| sum / inferences.max(1)).ok_or_else(|| format!("{value} is no {inferences} equal numbers"))
        };
        let bytes =
            |phase: &str, what: &str| list(&phases[phase][what]).iter().map(each).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            preprocessing_bytes_received: bytes("preprocessing", "bytes_received")?,
            preprocessing_rounds: each(&phases["preprocessing"]["rounds"])?,
            online_bytes_sent: bytes("online", "bytes_sent")?,
            online_bytes_received: bytes("online", "bytes_received")?,
            online_rounds: each(&phases["online"]["rounds"])?,
        })
    }
}

/// The differences between what is expected, or planned, and what was found; a line each.
pub(super) fn differences(expected: &ByJob, found: &ByJob, kind: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (job, expected) in expected {
        let Some(found) = found.get(job) else {
            lines.push(format!("{job}: expected, but not {kind}"));
            continue;
        };
        let mut compare = |what: &str, expected: &[u64], found: &[u64]| {
            if expected != found {
                lines.push(format!("{job}: {what}: expected {expected:?}, {kind} {found:?}"));
            }
        };
        let (a, b) = (expected, found);
        compare("preprocessing bytes received", &a.preprocessing_bytes_received, &b.preprocessing_bytes_received);
        compare("preprocessing rounds", &[a.preprocessing_rounds], &[b.preprocessing_rounds]);
        compare("online bytes sent", &a.online_bytes_sent, &b.online_bytes_sent);
        compare("online bytes received", &a.online_bytes_received, &b.online_bytes_received);
        compare("online rounds", &[a.online_rounds], &[b.online_rounds]);
    }
    let extra = found.keys().filter(|job| !expected.contains_key(*job));
    lines.extend(extra.map(|job| format!("{job}: {kind}, but not expected")));
    lines
}

/// Reads the expectation.
pub(super) fn read(path: &Path) -> Result<ByJob, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}; make it with --bless", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Replaces the expectation.
pub(super) fn write(path: &Path, figures: &ByJob) -> Result<(), String> {
    let text = serde_json::to_string_pretty(figures).map_err(|error| error.to_string())? + "\n";
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures() -> Figures {
        Figures {
            preprocessing_bytes_received: vec![32, 500],
            preprocessing_rounds: 1,
            online_bytes_sent: vec![10, 20],
            online_bytes_received: vec![20, 10],
            online_rounds: 3,
        }
    }

    fn by_job(figures: Figures) -> ByJob {
        [("a".to_owned(), figures)].into()
    }

    #[test]
    fn equal_figures_have_no_differences() {
        assert_eq!(differences(&by_job(figures()), &by_job(figures()), "measured"), Vec::<String>::new());
    }

    #[test]
    fn every_figure_is_compared() {
        let others: [fn(&mut Figures); 5] = [
            |figures| figures.preprocessing_bytes_received[1] += 1,
            |figures| figures.preprocessing_rounds += 1,
            |figures| figures.online_bytes_sent[0] -= 1,
            |figures| figures.online_bytes_received.push(0),
            |figures| figures.online_rounds = 0,
        ];
        for change in others {
            let mut other = figures();
            change(&mut other);
            assert_eq!(differences(&by_job(figures()), &by_job(other), "measured").len(), 1);
        }
        let mut other = figures();
        other.online_rounds = 4;
        let lines = differences(&by_job(figures()), &by_job(other), "measured");
        assert_eq!(lines, ["a: online rounds: expected [3], measured [4]"]);
    }

    #[test]
    fn missing_and_additional_jobs_are_differences() {
        assert_eq!(differences(&by_job(figures()), &ByJob::new(), "planned"), ["a: expected, but not planned"]);
        assert_eq!(differences(&ByJob::new(), &by_job(figures()), "measured"), ["a: measured, but not expected"]);
    }

    #[test]
    fn sums_are_divided_by_the_inferences() {
        let phases = json!({
            "preprocessing": { "bytes_received": [64, 1000], "rounds": 2 },
            "online": { "bytes_sent": [20, 40], "bytes_received": [40, 20], "rounds": 6 },
        });
        assert_eq!(Figures::from_phases(&phases, 2), Ok(figures()));
        assert!(Figures::from_phases(&phases, 3).is_err());
        assert!(Figures::from_phases(&json!({}), 1).is_err());
    }
}
