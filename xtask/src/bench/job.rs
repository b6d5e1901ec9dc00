//! What is measured.

use mpc_models::Model;

/// The networks of the tables.
pub(super) const NETWORKS: [&str; 2] = ["resnet32", "minionn"];

/// The layers of the tables.
pub(super) const LAYERS: [&str; 7] = [
    "relu:1000",
    "relu:10000",
    "maxpool:1000",
    "maxpool:10000",
    "convolution:16x32x32",
    "convolution:32x16x16",
    "convolution:64x8x8",
];

/// Inferences of a layer in each session: the first one also pays for what the later ones find warm.
const LAYER_INFERENCES: u32 = 10;

/// A setting of `cargo xtask infer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// A network or layer.
    pub subject: &'static str,
    pub parties: u8,
    /// Table 5's v1; otherwise v2.
    pub owner_computes: bool,
    pub transport: &'static str,
    pub link: String,
    pub inferences: u32,
}

impl Job {
    fn new(subject: &'static str, parties: u8, owner_computes: bool, transport: &'static str, link: &str) -> Self {
        let inferences = if NETWORKS.contains(&subject) { 1 } else { LAYER_INFERENCES };
        Self { subject, parties, owner_computes, transport, link: link.to_owned(), inferences }
    }

    /// Table 5's name for who knows the weights.
    pub fn version(&self) -> &'static str {
        if self.owner_computes { "v1" } else { "v2" }
    }

    /// A name for the job that no other one has. Links that are imitated change neither bytes nor rounds.
    pub fn name(&self) -> String {
        let link = if self.link == "none" { String::new() } else { format!(", {}", self.link) };
        format!("{}, {} parties, {}, {}{link}", self.subject, self.parties, self.version(), self.transport)
    }

    /// The arguments that plan it.
    pub fn plan(&self) -> Vec<String> {
        let mut arguments = vec!["infer".to_owned(), "--plan".to_owned()];
        arguments.extend(self.common());
        arguments
    }

    /// The arguments that run it.
    pub fn run(&self) -> Vec<String> {
        let inferences = self.inferences.to_string();
        let own = ["infer", "--preprocessing", "ahead", "--transport", self.transport, "--link", &self.link];
        // Every wait includes the delays of imitated links.
        let more = ["--deadline", "120", "--batch", "1", "--images", &inferences];
        own.into_iter().chain(more).map(str::to_owned).chain(self.common()).collect()
    }

    fn common(&self) -> Vec<String> {
        let parties = self.parties.to_string();
        let mut arguments = ["--json", "--model", self.subject, "--parties", &parties].map(str::to_owned).to_vec();
        arguments.extend(self.owner_computes.then(|| "--owner-computes".to_owned()));
        arguments
    }
}

/// The networks that there are; a note for each other one.
pub(super) fn networks() -> Vec<&'static str> {
    let is_there = |name: &&str| {
        let known = Model::by_name(name).is_ok();
        if !known {
            eprintln!("note: {name} is not among the networks yet, its rows are left out");
        }
        known
    };
    NETWORKS.into_iter().filter(is_there).collect()
}

/// The jobs over a link: over imitated ones the networks only.
pub(super) fn jobs(networks: &[&'static str], link: &str) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &network in networks {
        jobs.extend(
            [(2, true), (2, false), (4, false)].map(|(parties, v1)| Job::new(network, parties, v1, "tcp", link)),
        );
        if link == "none" {
            jobs.extend([2, 4].map(|parties| Job::new(network, parties, false, "memory", link)));
        }
    }
    if link == "none" {
        jobs.extend(LAYERS.map(|layer| Job::new(layer, 2, false, "tcp", link)));
    }
    jobs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bench::published::PUBLISHED;

    #[test]
    fn names_differ() {
        let jobs: Vec<_> = ["none", "lan", "wan"].into_iter().flat_map(|link| jobs(&NETWORKS, link)).collect();
        assert_eq!(jobs.iter().map(Job::name).collect::<BTreeSet<_>>().len(), jobs.len());
    }

    #[test]
    fn every_published_row_has_a_job() {
        let jobs = jobs(&NETWORKS, "none");
        assert!(PUBLISHED.iter().all(|row| jobs.iter().any(|job| job.subject == row.subject)));
    }
}
