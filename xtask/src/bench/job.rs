//! The jobs that are measured.

use std::fs;
use std::path::Path;

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

/// Larger ReLU layers, for the cost against the size.
pub(super) const LARGE_LAYERS: [&str; 2] = ["relu:100000", "relu:1000000"];

/// Correlations drawn as they are needed.
const STREAMED: &str = "streamed";

/// How a row without a dealer is named.
pub(super) const NO_DEALER: &str = "no dealer";

/// The networks and the layer that two parties run without a dealer, too.
const WITHOUT_DEALER: [&str; 3] = ["resnet32", "minionn", "relu:10000"];

/// The network whose cost is measured against the batch, and the batches; one of 1 is among the tables.
pub(super) const BATCHED: &str = "resnet32";
const BATCHES: [u32; 3] = [4, 16, 64];

/// A network for pictures of another size, with arbitrary weights on an arbitrary picture.
pub(super) const LARGE_NETWORK: &str = "resnet50";
const PICTURE: [usize; 4] = [1, 3, 224, 224];
const PICTURE_FILE: &str = "resnet50-input.npy";

/// Inferences of a layer in each session: the first one also pays for what the later ones find warm.
const LAYER_INFERENCES: u32 = 10;
/// The same of the largest layer.
const LARGE_INFERENCES: u32 = 3;

/// A setting of `mpc run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// A network or layer.
    pub subject: &'static str,
    pub parties: u8,
    /// Table 5's v1; otherwise v2.
    pub owner_computes: bool,
    /// Two parties make their correlations themselves.
    pub no_dealer: bool,
    pub transport: &'static str,
    pub link: String,
    /// When correlations are drawn.
    pub preprocessing: &'static str,
    /// Images of one inference.
    pub batch: u32,
    pub inferences: u32,
}

impl Job {
    fn new(subject: &'static str, parties: u8, owner_computes: bool, transport: &'static str, link: &str) -> Self {
        let inferences = match subject {
            "relu:1000000" => LARGE_INFERENCES,
            layer if layer.contains(':') => LAYER_INFERENCES,
            _ => 1,
        };
        // The largest network's do not have to be in memory all at once.
        let preprocessing = if subject == LARGE_NETWORK { STREAMED } else { "ahead" };
        let link = link.to_owned();
        Self {
            subject,
            parties,
            owner_computes,
            no_dealer: false,
            transport,
            link,
            preprocessing,
            batch: 1,
            inferences,
        }
    }

    /// By two parties without a dealer: one inference, as those after the first make fewer transfers.
    fn without_dealer(subject: &'static str, link: &str) -> Self {
        Self { no_dealer: true, inferences: 1, ..Self::new(subject, 2, true, "tcp", link) }
    }

    /// Whether it is one of the paper's settings, and not one of a larger size.
    pub fn is_of_tables(&self) -> bool {
        self.batch == 1 && (NETWORKS.contains(&self.subject) || (LAYERS.contains(&self.subject) && self.parties == 2))
    }

    /// Whether bytes and rounds are checked: not of the largest sizes, which show nothing that smaller ones do not.
    pub fn is_checked(&self) -> bool {
        self.is_of_tables() || self.batch == BATCHES[0] || [LARGE_LAYERS[0], LARGE_NETWORK].contains(&self.subject)
    }

    /// The same with correlations drawn as they are needed.
    pub fn streamed(&self) -> Self {
        Self { preprocessing: STREAMED, ..self.clone() }
    }

    /// Table 5's name for who knows the weights, or that there is no dealer.
    pub fn version(&self) -> &'static str {
        match (self.no_dealer, self.owner_computes) {
            (true, _) => NO_DEALER,
            (false, true) => "v1",
            (false, false) => "v2",
        }
    }

    /// A name for the job that no other one has. Links that are imitated change neither bytes nor rounds.
    pub fn name(&self) -> String {
        let link = if self.link == "none" { String::new() } else { format!(", {}", self.link) };
        let batch = if self.batch == 1 { String::new() } else { format!(", batch {}", self.batch) };
        format!("{}, {} parties, {}, {}{link}{batch}", self.subject, self.parties, self.version(), self.transport)
    }

    /// The arguments that plan it.
    pub fn plan(&self) -> Vec<String> {
        let mut arguments = vec!["plan".to_owned()];
        arguments.extend(self.common());
        arguments
    }

    /// The arguments that run it, with the file that [`write_picture`] writes to a folder.
    pub fn run(&self, folder: &Path) -> Vec<String> {
        let images = (self.inferences * self.batch).to_string();
        let own = ["run", "--preprocessing", self.preprocessing, "--transport", self.transport, "--link", &self.link];
        // Every wait includes the delays of imitated links.
        let more = ["--deadline", "120", "--images", &images];
        let mut arguments: Vec<_> = own.into_iter().chain(more).map(str::to_owned).chain(self.common()).collect();
        if self.subject == LARGE_NETWORK {
            arguments.extend(["--input".to_owned(), folder.join(PICTURE_FILE).display().to_string()]);
        }
        arguments
    }

    fn common(&self) -> Vec<String> {
        let (parties, batch) = (self.parties.to_string(), self.batch.to_string());
        // The same over every link.
        let comparisons = if self.no_dealer { "few-bytes" } else { "few-rounds" };
        let own = [self.subject, "--json", "--parties", &parties, "--batch", &batch, "--comparisons", comparisons];
        let mut arguments = own.map(str::to_owned).to_vec();
        let flags = [(self.owner_computes, "--owner-computes"), (self.no_dealer, "--no-dealer")];
        arguments.extend(flags.into_iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag.to_owned()));
        arguments
    }
}

/// The jobs over a link: over imitated ones those of the tables only.
pub(super) fn jobs(link: &str) -> Vec<Job> {
    let mut jobs = Vec::new();
    for network in NETWORKS {
        jobs.extend(
            [(2, true), (2, false), (4, false)].map(|(parties, v1)| Job::new(network, parties, v1, "tcp", link)),
        );
        if link == "none" {
            jobs.extend([2, 4].map(|parties| Job::new(network, parties, false, "memory", link)));
        }
    }
    jobs.extend(LAYERS.map(|layer| Job::new(layer, 2, false, "tcp", link)));
    jobs.extend(WITHOUT_DEALER.map(|subject| Job::without_dealer(subject, link)));
    if link == "none" {
        jobs.extend(LARGE_LAYERS.map(|layer| Job::new(layer, 2, false, "tcp", link)));
        jobs.extend(BATCHES.map(|batch| Job { batch, ..Job::new(BATCHED, 2, false, "tcp", link) }));
        jobs.push(Job::new(LARGE_NETWORK, 2, false, "tcp", link));
    }
    jobs
}

/// The jobs that are measured only beside another system: layers with four parties.
pub(super) fn jobs_beside() -> Vec<Job> {
    LAYERS.map(|layer| Job::new(layer, 4, false, "tcp", "none")).to_vec()
}

/// Writes the input of the large network: arbitrary numbers between −1 and 1, as NumPy writes them.
pub(super) fn write_picture(folder: &Path) -> Result<(), String> {
    let count: usize = PICTURE.iter().product();
    let [n, channels, height, width] = PICTURE;
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {channels}, {height}, {width}), }}");
    // The magic number, the version and the length take 10 bytes; all before the numbers is a multiple of 64.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(format!("{header:<0$}\n", padded - 1).bytes());
    bytes.extend((0..count).flat_map(|at| ((at * 7919 % 2003) as f32 / 1001.0 - 1.0).to_le_bytes()));
    let path = folder.join(PICTURE_FILE);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bench::published::PUBLISHED;

    #[test]
    fn names_differ() {
        let links = ["none", "lan", "wan"].into_iter().flat_map(jobs);
        let jobs: Vec<_> = links.chain(jobs_beside()).collect();
        assert_eq!(jobs.iter().map(Job::name).collect::<BTreeSet<_>>().len(), jobs.len());
    }

    #[test]
    fn every_published_row_has_a_job() {
        let jobs = jobs("none");
        assert!(PUBLISHED.iter().all(|row| jobs.iter().any(|job| job.subject == row.subject)));
    }
}
