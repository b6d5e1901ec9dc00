//! Groups of arguments that several commands take.

mod inputs;
mod limits;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::files::{by_name, check_destinations};
use clap::{Args, ValueEnum};
use mpc_models::Model;
use mpc_nn::{Comparisons, Correlations, Network, Transfers};
use mpc_onnx::OnnxFile;
use mpc_ring::RingBits;
use mpc_service::{Client, Owner, PrivateModel, PublicModel, Reveal, RevealTo, Terms, Topology};
use mpc_transport::LinkSettings;

use crate::failure::Failure;
use crate::inspect::{input_shapes, named_shapes};
use crate::keys::{KeyArguments, certificate, peer, peers};
use crate::link::LinkArgument;
use crate::output::print;
use crate::run::error::InputError;
use crate::stop;
use crate::widths::bounded;

pub use inputs::InputArguments;
pub use limits::{LimitArguments, NetworkLimitArgument, PublicModelArguments};

/// The terms of a model's use.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Terms")]
pub struct TermsArguments {
    /// The number of computing parties, 2 to 8; the dealer comes on top.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    pub parties: u8,
    /// All parties are servers that hold neither model nor data: the owners send them shares. Without it the model owner is
    /// party 0 and the data owner the last one.
    #[arg(long)]
    pub outsourced: bool,
    /// The part of the outputs that is revealed.
    #[arg(long, value_enum, default_value_t = RevealArgument::Full, value_name = "WHAT")]
    pub reveal: RevealArgument,
    /// The owners that learn what is revealed.
    #[arg(long, value_enum, default_value_t = RevealToArgument::DataOwner, value_name = "WHO")]
    pub reveal_to: RevealToArgument,
    /// The model owner computes with its weights in the clear: less is sent, and the same is secret from the same parties.
    #[arg(long)]
    pub owner_computes: bool,
    /// No dealer: two parties make their correlations themselves, over a second link, with oblivious transfers and encrypted
    /// layers. A model owner that is a party computes with its weights in the clear.
    #[arg(long)]
    pub no_dealer: bool,
    /// How oblivious transfers are extended without a dealer: silent sends 0.7 bits for each and assumes that learning parity
    /// with noise is hard, silent-few-bytes 0.2 bits in up to twice the time, softspoken sends 15 bits and does not assume it.
    #[arg(long, value_enum, default_value_t = TransferKind::Silent, requires = "no_dealer", value_name = "METHOD")]
    pub ot: TransferKind,
    /// For how many inferences a session without a dealer is expected to make correlations: with more of them, more is sent once
    /// and less for each [default: 1; of `mpc run` as many as it runs].
    #[arg(long, requires = "no_dealer", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub session_inferences: Option<u32>,
    /// The variant of comparisons: few-rounds takes 3 rounds for each, few-bytes 4, and little more than half of the
    /// correlations; auto is the faster one over --link [default: with --link auto; else few-rounds, with --no-dealer few-bytes].
    #[arg(long, value_enum, value_name = "VARIANT")]
    pub comparisons: Option<ComparisonKind>,
    /// The link between all who take part, by which --comparisons auto chooses, and which `mpc run` imitates: lan is 1 Gb/s
    /// and a round trip of 1 ms, wan 100 Mb/s and 80 ms; or a round trip and a rate, such as 40ms,100Mbit.
    #[arg(long, default_value_t, value_name = "none|lan|wan|RTT,RATE")]
    pub link: LinkArgument,
    /// The bits of a ring element: 32, 64 or 128.
    #[arg(long, default_value_t = RingBits::Bits64, value_name = "BITS")]
    pub ring: RingBits,
    /// f, the binary digits after the point [default: 16, with --ring 32 10].
    #[arg(long, value_name = "F")]
    pub fractional_bits: Option<u32>,
    /// How large the values of each layer may become: a file of `mpc check --calibrate`, or `calibrated` for what comes with a
    /// network by name. Less is sent; what is larger all the same gives wrong results [default: as --comparison-bits says].
    #[arg(long, value_name = "FILE.json|calibrated")]
    pub widths: Option<PathBuf>,
    /// k, the bits in which values are compared: they must stay below 2^(k − 2 − f) [default: f + 16; with --ring 32 f + 10].
    #[arg(long, value_name = "K")]
    pub comparison_bits: Option<u32>,
}

/// An ONNX file imported for inputs of the given shapes, or a network by name with the weights that come with it.
///
/// # Errors
/// [`Failure`].
pub fn network(model: &Path, shapes: &[String]) -> Result<Network, Failure> {
    if is_onnx(model) {
        return Ok(OnnxFile::open(model)?.import(&input_shapes(&named_shapes(shapes)?))?);
    }
    let usage = |reason: String| Failure::Usage(reason);
    let name = model.to_string_lossy();
    let known = Model::by_name(&name).map_err(|error| usage(format!("{name} ends not in .onnx, and {error}")))?;
    let missing = || usage(format!("no weights come with `{name}`; export it with yours to an ONNX file"));
    let bytes = known.bundled_weights().ok_or_else(missing)?;
    if !shapes.is_empty() {
        return Err(usage("--shape is for ONNX files".to_owned()));
    }
    let graph = known.graph(1).map_err(|error| usage(error.to_string()))?;
    known.network(graph, bytes).map_err(|error| usage(error.to_string()))
}

/// Whether a model is an ONNX file, by its ending.
pub fn is_onnx(model: impl AsRef<Path>) -> bool {
    ends_in(model.as_ref(), "onnx")
}

/// Whether a report is to be a page, by its ending.
pub fn is_page(report: &Path) -> bool {
    ends_in(report, "html")
}

fn ends_in(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

/// How oblivious transfers are extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransferKind {
    /// From parity with noise, in the least time.
    Silent,
    /// From parity with noise, with the fewest bytes.
    SilentFewBytes,
    /// From pseudo-random generators alone.
    #[value(name = "softspoken")]
    SoftSpoken,
}

/// A variant of comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ComparisonKind {
    /// Rounds online.
    FewRounds,
    /// Bytes of correlations.
    FewBytes,
    /// The faster one over the link.
    Auto,
}

/// The part of the outputs that is revealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RevealArgument {
    /// All numbers of all outputs.
    Full,
    /// The place of the largest number of the first output, and nothing else.
    Class,
}

/// The owners that learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RevealToArgument {
    /// The data owner alone.
    DataOwner,
    /// The model owner alone.
    ModelOwner,
    /// Both.
    Both,
}

impl From<RevealToArgument> for RevealTo {
    fn from(argument: RevealToArgument) -> Self {
        match argument {
            RevealToArgument::DataOwner => Self::DataOwner,
            RevealToArgument::ModelOwner => Self::ModelOwner,
            RevealToArgument::Both => Self::Both,
        }
    }
}

impl TermsArguments {
    /// The terms.
    pub fn terms(&self) -> Terms {
        let is_small = self.ring == RingBits::Bits32;
        let fractional_bits = self.fractional_bits.unwrap_or(if is_small { 10 } else { 16 });
        let integer_bits = if is_small { 10 } else { 16 };
        Terms {
            setting: if self.outsourced { Topology::Outsourced } else { Topology::Direct },
            parties: self.parties,
            ring: self.ring,
            fractional_bits,
            comparison_bits: self.comparison_bits.unwrap_or(fractional_bits.saturating_add(integer_bits)),
            owner_computes: self.owner_computes(),
            reveal: match self.reveal {
                RevealArgument::Full => Reveal::Full,
                RevealArgument::Class => Reveal::Class,
            },
            reveal_to: self.reveal_to.into(),
            correlations: self.correlations(1),
            comparisons: self.comparisons(),
        }
    }

    /// Whether the model owner computes with its weights in the clear: without a dealer that is so where it is a party.
    fn owner_computes(&self) -> bool {
        self.owner_computes || (self.no_dealer && !self.outsourced)
    }

    /// The makers of correlations, for sessions of `inferences` inferences unless the arguments say otherwise.
    pub fn correlations(&self, inferences: u32) -> Correlations {
        if !self.no_dealer {
            return Correlations::Dealt;
        }
        let transfers = match self.ot {
            TransferKind::Silent => Transfers::Silent,
            TransferKind::SilentFewBytes => Transfers::SilentFewBytes,
            TransferKind::SoftSpoken => Transfers::SoftSpoken,
        };
        Correlations::Own { transfers, inferences: self.session_inferences.unwrap_or(inferences) }
    }

    /// The variant of comparisons where no link chooses it: without a dealer few bytes, unless the arguments say otherwise.
    fn comparisons(&self) -> Comparisons {
        match self.comparisons {
            Some(ComparisonKind::FewRounds) => Comparisons::FewRounds,
            Some(ComparisonKind::FewBytes) => Comparisons::FewBytes,
            Some(ComparisonKind::Auto) | None => Comparisons::for_makers(self.correlations(1)),
        }
    }

    /// The link over which the faster variant of comparisons is taken, if none is asked for.
    ///
    /// # Errors
    /// [`InputError::Named`] where there is to be a choice without a link.
    pub fn choosing_by(&self) -> Result<Option<LinkSettings>, InputError> {
        match (self.comparisons, self.link.0) {
            (Some(ComparisonKind::Auto), None) => Err(InputError::Named(
                "the link is missing that comparisons are chosen by: give --link lan, wan, or a round trip and a rate, such as \
                 --link 40ms,100Mbit"
                    .to_owned(),
            )),
            (Some(ComparisonKind::Auto) | None, link) => Ok(link),
            (Some(_), _) => Ok(None),
        }
    }

    /// A network's public part on these terms.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn publish(&self, network: &Network) -> Result<PublicModel, Failure> {
        self.chosen(PublicModel::new(network, self.terms())?)
    }

    /// A network packed on these terms.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn packed(&self, network: Network) -> Result<PrivateModel, Failure> {
        let PrivateModel { public, weights } = PrivateModel::new(network, self.terms())?;
        Ok(PrivateModel { public: self.chosen(public)?, weights })
    }

    fn chosen(&self, model: PublicModel) -> Result<PublicModel, Failure> {
        match self.choosing_by()? {
            Some(link) => Ok(model.faster_over(link)?),
            None => Ok(model),
        }
    }

    /// Whether all of them hold for a run between threads or processes, too.
    pub fn are_plain(&self) -> bool {
        !self.outsourced && self.reveal == RevealArgument::Full && self.reveal_to == RevealToArgument::DataOwner
    }

    /// The packed model of an ONNX file, or of a network by name.
    pub fn pack(&self, model: &Path, shapes: &[String]) -> Result<PrivateModel, Failure> {
        self.pack_network(network(model, shapes)?, model)
    }

    /// The packed model of a network from that file or of that name.
    pub fn pack_network(&self, mut network: Network, model: &Path) -> Result<PrivateModel, Failure> {
        network.graph = bounded(self.widths.as_deref(), model, network.graph)?;
        self.packed(network)
    }
}

/// Whom a data owner works with.
#[derive(Clone, Debug, Args)]
pub struct ConnectArguments {
    /// This side's key and certificate.
    #[command(flatten)]
    pub key: KeyArguments,
    /// A server and the certificate that it must have; of several, in the order of their parties. One with several machines
    /// has several addresses, with commas between, which are tried in turn (docs/scale.md).
    #[arg(long, required = true, value_name = "HOST:PORT=FILE.crt")]
    pub connect: Vec<String>,
    /// The dealer and the certificate that it must have; not where correlations are prepared, or the two parties make them.
    #[arg(long, value_name = "HOST:PORT=FILE.crt")]
    pub dealer: Option<String>,
    /// The owners that may learn the result: nothing is sent where the model's terms name others.
    #[arg(long, value_enum, default_value_t = RevealToArgument::DataOwner, value_name = "WHO")]
    pub reveal_to: RevealToArgument,
    /// The owner of an outsourced model; needed where several have left one of the same plan with the servers.
    #[arg(long, value_name = "FILE.crt")]
    pub model_owner: Option<PathBuf>,
}

impl ConnectArguments {
    /// The client.
    pub fn client(&self) -> Result<Client, Failure> {
        let endpoint = self.key.endpoint()?;
        let dealer = self.dealer.as_deref().map(|text| peer("dealer", text)).transpose()?;
        let model_owner = self.model_owner.as_deref().map(certificate).transpose()?;
        Ok(Client {
            endpoint,
            servers: peers("connect", &self.connect)?,
            dealer,
            reveal_to: self.reveal_to.into(),
            model_owner: model_owner.as_ref().map(Owner::from),
        })
    }
}

/// Where the result goes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Inputs and outputs")]
pub struct OutputArguments {
    /// Where to write an output as float32 .npy; without a name the first one. Of several inferences one after the other.
    #[arg(short, long, value_name = "[NAME=]FILE.npy")]
    pub output: Vec<OsString>,
    /// Where to write what was planned and measured, as JSON; of `mpc run` as a page with charts, if the name ends in .html.
    #[arg(long, value_name = "FILE.json|FILE.html")]
    pub report: Option<PathBuf>,
    /// Prints one JSON object on stdout, and nothing else there.
    #[arg(long)]
    pub json: bool,
    /// Prints the result alone, and no tables.
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
}

impl OutputArguments {
    /// The files by the names of the outputs.
    pub fn destinations(&self, model: &PublicModel) -> Result<BTreeMap<String, PathBuf>, Failure> {
        let files = by_name("output", &self.output, &model.output_names())?;
        check_destinations(files.values())?;
        Ok(files)
    }
}

/// Listens at an address, and gives the one that it has: port 0 takes a free one.
pub fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = mpc_service::listen(address)?;
    let address = listener.local_addr().map_err(|error| Failure::Own(error.to_string()))?;
    Ok((listener, address))
}

/// Where a service listens, and when it stops besides at SIGTERM.
#[derive(Clone, Debug, Args)]
pub struct ListenArguments {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Stops at the end of standard input, too: for a program that starts this one.
    #[arg(long, hide = true)]
    pub stop_with_input: bool,
}

impl ListenArguments {
    /// Listens, says where, and gives what is complete when the service is to stop.
    pub fn start(&self) -> Result<(TcpListener, impl Future<Output = ()>), Failure> {
        let (listener, address) = listen(self.listen)?;
        let stop = stop::requested(self.stop_with_input)?;
        print(&format!("listening on {address}\n"))?;
        Ok((listener, stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_of_models() {
        assert!(is_onnx("net.onnx") && is_onnx("a/b.ONNX") && !is_onnx("resnet32") && !is_onnx("relu:10"));
    }
}
