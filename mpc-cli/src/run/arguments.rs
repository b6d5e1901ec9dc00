//! The arguments of `mpc run`, which `mpc plan` takes too.

use std::borrow::Cow;
use std::ffi::OsString;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum};
use mpc_nn::{Correlations, Preprocessing};
use mpc_service::PrivateModel;
use serde::{Deserialize, Serialize};

use super::onnx;
use crate::arguments::{InputArguments, OutputArguments, TermsArguments, is_onnx};
use crate::failure::Failure;

/// Images per inference with `--accuracy`, unless `--batch` says otherwise.
const ACCURACY_BATCH: usize = 25;

/// Images with `--accuracy`, for which a model without a dealer is loaded.
const ACCURACY_IMAGES: usize = 450;

/// Headings of the help.
const IO: &str = "Inputs and outputs";
const HOW: &str = "How it runs";

/// The arguments of `mpc run` and `mpc plan`.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// The network: a name (an unknown one lists those there are), or an ONNX file.
    #[arg(default_value = "resnet32", value_name = "NAME|FILE.onnx")]
    pub model: OsString,

    /// How messages travel.
    #[arg(long, value_enum, default_value_t = TransportKind::Memory, help_heading = HOW)]
    pub transport: TransportKind,

    /// How many images to classify, one after the other in one session [default: 1, or all of --input].
    #[arg(long, value_name = "N", conflicts_with = "accuracy", help_heading = IO)]
    pub images: Option<usize>,

    /// The first image, counted from 0.
    #[arg(long, default_value_t = 0, value_name = "INDEX", conflicts_with = "accuracy", help_heading = IO)]
    pub first_image: usize,

    /// Images per inference: a batch shares its rounds [default: 1, or 25 with --accuracy].
    #[arg(long, value_name = "N", help_heading = IO)]
    pub batch: Option<usize>,

    /// The inputs. Of a network by name: images instead of the bundled samples, float32 of shape [N, channels, height,
    /// width] in an .npy file, normalised as for training (the digits: −1 is white, 1 black); or a folder with a folder
    /// of PNG or JPEG files for each class, read as the training script does, with --weights trained for these classes.
    /// Of an ONNX file: for each input a tensor (.npy, .npz) or an image (PNG, JPEG), which is resized; a tensor of more
    /// samples than the file takes at a time is several inferences, one after the other.
    #[arg(long, value_name = "[NAME=]FILE|FOLDER", conflicts_with = "accuracy", help_heading = IO)]
    pub input: Vec<OsString>,

    /// The party that owns an input, where it is not party 1.
    #[arg(long, value_name = "NAME=PARTY", help_heading = IO)]
    pub input_owner: Vec<String>,

    /// Where the U-Net's pictures go: the image, the private mask and the mask in the clear side by side [default:
    /// target/unet.png].
    #[arg(long, value_name = "FILE.png", help_heading = IO)]
    pub picture: Option<PathBuf>,

    /// Own weights instead of the bundled ones, with the tensor names of PyTorch.
    #[arg(long, value_name = "FILE.safetensors", help_heading = IO)]
    pub weights: Option<PathBuf>,

    /// When the parties draw correlations from the dealer, or make them.
    #[arg(long, value_enum, default_value_t = PreprocessingMode::Streamed, help_heading = HOW)]
    pub preprocessing: PreprocessingMode,

    /// Draw the correlations of each inference while the one before it is online: all before its first online message, in
    /// memory for two inferences.
    #[arg(long, conflicts_with = "preprocessing", help_heading = HOW)]
    pub pipeline: bool,

    /// Threads that each party and the dealer compute on: linear layers, ReLUs, functions and the expansion of seeds; all of them
    /// together with `--transport memory`.
    #[arg(long, default_value_t = NonZeroU8::MIN, value_name = "N", help_heading = HOW)]
    pub threads: NonZeroU8,

    /// How long a party waits for another one that makes no progress.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400), help_heading = HOW)]
    pub deadline: u64,

    /// Classifies all bundled digits that the model was not trained on, and prints how many labels agree.
    #[arg(long, help_heading = IO)]
    pub accuracy: bool,

    /// The shape of an input whose sizes an ONNX file leaves open, where no file of --input says it; without it they are 1.
    #[arg(long, value_name = "NAME=1x3x32x32", help_heading = IO)]
    pub shape: Vec<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub pixels: InputArguments,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub terms: TermsArguments,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// One process, with a thread for each party and the dealer.
    Memory,
    /// A process for each party and the dealer, linked by TCP on loopback.
    Tcp,
    /// The same over TLS: each process has a key of its own, and trusts the certificates of the others alone.
    Tls,
    /// The services of `mpc serve` and `mpc dealer` and a client as `mpc query`, with keys made for the occasion: what is
    /// installed between organisations, on one machine.
    Services,
}

/// When correlations are drawn from the dealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreprocessingMode {
    /// Layer by layer as they are used: memory is bounded by the largest layer.
    Streamed,
    /// All before the first online message: the online phase waits for no dealer.
    Ahead,
    /// As ahead, while the inference before is online.
    #[value(skip)]
    Pipelined,
}

impl PreprocessingMode {
    /// As the executor has it.
    pub fn order(self) -> Preprocessing {
        match self {
            Self::Streamed => Preprocessing::Streamed,
            Self::Ahead | Self::Pipelined => Preprocessing::Ahead,
        }
    }
}

/// The settings of `mpc run` without arguments.
impl Default for RunArguments {
    fn default() -> Self {
        /// A command line of these arguments alone.
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            run: RunArguments,
        }
        Line::try_parse_from(["run"]).expect("every argument has a default").run
    }
}

impl RunArguments {
    /// The network's name, or its file as people read it.
    pub fn name(&self) -> Cow<'_, str> {
        self.model.to_string_lossy()
    }

    /// The makers of correlations.
    pub fn correlations(&self) -> Correlations {
        let images = if self.accuracy { ACCURACY_IMAGES } else { self.images.unwrap_or(1) };
        let inferences = images.div_ceil(self.batch().max(1)).max(1);
        self.terms.correlations(u32::try_from(inferences).unwrap_or(u32::MAX))
    }

    /// The model as services would serve it, for sessions of as many inferences as run, and the files of its inputs.
    pub fn pack(&self) -> Result<(PrivateModel, Vec<OsString>), Failure> {
        let mut terms = self.terms.clone();
        if let Correlations::Own { inferences, .. } = self.correlations() {
            terms.session_inferences = Some(inferences);
        }
        if !is_onnx(&self.model) {
            return Ok((terms.pack(Path::new(&self.model), &self.shape)?, self.input.clone()));
        }
        let (network, files) = onnx::served(self)?;
        Ok((terms.pack_network(network, Path::new(&self.model))?, files))
    }

    /// When correlations are drawn.
    pub fn preprocessing_mode(&self) -> PreprocessingMode {
        if self.pipeline { PreprocessingMode::Pipelined } else { self.preprocessing }
    }

    /// Images per inference.
    pub fn batch(&self) -> usize {
        self.batch.unwrap_or(if self.accuracy { ACCURACY_BATCH } else { 1 })
    }
}
