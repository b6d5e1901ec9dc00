//! What `cargo xtask infer` can be asked for.

use std::num::NonZeroU8;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mpc_models::tensors::Pixels;
use mpc_ring::RingBits;
use mpc_transport::LinkSettings;
use serde::{Deserialize, Serialize};

/// Images per inference with `--accuracy`, unless `--batch` says otherwise.
const ACCURACY_BATCH: usize = 25;

/// Runs a network privately: parties and a dealer compute on shares, and learn nothing.
///
/// Party 0 owns the model, party 1 the inputs and the result; a dealer provides random correlations and sees neither.
/// Without options, two parties and the dealer run in memory and classify a bundled handwritten digit with the bundled
/// ResNet-32. With an ONNX file, as PyTorch exports it, that network runs on the tensors or images of `--input`.
///
/// While it works, progress is shown on stderr if that is a terminal, else a line for each inference. At the end stdout
/// has the private results beside those of the same network in the clear, and the largest difference; then what each
/// phase cost and which layers were the largest. All bytes include the 4-byte headers of frames. That the measured bytes
/// and rounds are the planned ones is checked, and it is an error if not.
///
/// This command plays every role, so it reads weights and inputs itself to check them before anything starts and to
/// compute the results in the clear. With `--transport tcp` or `tls` each party and the dealer is a process of its own; of them
/// only party 0 reads the weights, only the owners of inputs read those, and all get the architecture alone.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct InferArguments {
    /// The network: a name (an unknown one lists those there are), or an ONNX file.
    #[arg(long, default_value = "resnet32", value_name = "NAME|FILE.onnx")]
    pub model: String,

    /// The number of parties, 2 to 8; the dealer comes on top.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    pub parties: u8,

    /// How messages travel.
    #[arg(long, value_enum, default_value_t = TransportKind::Memory)]
    pub transport: TransportKind,

    /// How many images to classify, one after the other in one session [default: 1, or all of --input].
    #[arg(long, value_name = "N", conflicts_with = "accuracy")]
    pub images: Option<usize>,

    /// The first image, counted from 0.
    #[arg(long, default_value_t = 0, value_name = "INDEX", conflicts_with = "accuracy")]
    pub first_image: usize,

    /// Images per inference: a batch shares its rounds [default: 1, or 25 with --accuracy].
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,

    /// The inputs. Of a network by name: images instead of the bundled samples, float32 of shape [N, channels, height,
    /// width] in an .npy file, normalised as for training (the digits: −1 is white, 1 black); or a folder with a folder
    /// of PNG or JPEG files for each class, read as the training script does, with --weights trained for these classes.
    /// Of an ONNX file: for each input a tensor (.npy, .npz) or an image (PNG, JPEG), which is resized.
    #[arg(long, value_name = "[NAME=]FILE|FOLDER", conflicts_with = "accuracy")]
    pub input: Vec<String>,

    /// Where to write an output as float32 .npy; without a name the first one. With an ONNX file.
    #[arg(long, value_name = "[NAME=]FILE.npy")]
    pub output: Vec<String>,

    /// The party that owns an input, where it is not party 1.
    #[arg(long, value_name = "NAME=PARTY")]
    pub input_owner: Vec<String>,

    /// Of images in files: the mean that is subtracted from pixels between 0 and 1, one number or three.
    #[arg(long, value_name = "MEAN", value_delimiter = ',', allow_negative_numbers = true)]
    pub mean: Vec<f32>,

    /// Of images in files: the standard deviation that they are divided by, one number or three.
    #[arg(long, value_name = "DEVIATION", value_delimiter = ',')]
    pub deviation: Vec<f32>,

    /// Where the U-Net's pictures go: the image, the private mask and the mask in the clear side by side.
    #[arg(long, value_name = "FILE.png", default_value = "target/unet.png")]
    pub picture: PathBuf,

    /// Own weights instead of the bundled ones, with the tensor names of PyTorch.
    #[arg(long, value_name = "FILE.safetensors")]
    pub weights: Option<PathBuf>,

    /// When the parties draw correlations from the dealer.
    #[arg(long, value_enum, default_value_t = PreprocessingMode::Streamed)]
    pub preprocessing: PreprocessingMode,

    /// Draw the correlations of each inference while the one before it is online: all before its first online message, in
    /// memory for two inferences.
    #[arg(long, conflicts_with = "preprocessing")]
    pub pipeline: bool,

    /// Threads that each party and the dealer use for convolutions; all of them together with `--transport memory`.
    #[arg(long, default_value_t = NonZeroU8::MIN, value_name = "N")]
    pub threads: NonZeroU8,

    /// The model owner computes with its weights in the clear instead of sharing them: less is sent, and the same is
    /// secret from the same parties.
    #[arg(long)]
    pub owner_computes: bool,

    /// Links to imitate: lan is 1 Gb/s and 0.5 ms, wan 100 Mb/s and 40 ms, one way.
    #[arg(long, value_enum, default_value_t = LinkKind::None, value_name = "LINK")]
    pub link: LinkKind,

    /// The bits of a ring element. 32 halves the bytes of linear layers, for networks with a small range: see `check`.
    #[arg(long, default_value_t = RingBits::Bits64, value_name = "BITS")]
    pub ring: RingBits,

    /// f, the binary digits after the point [default: 16, with --ring 32 10].
    #[arg(long, value_name = "F")]
    pub fractional_bits: Option<u32>,

    /// k, the bits in which values are compared: they must stay below 2^(k − 2 − f) [default: f + 16, for 2^14; with
    /// --ring 32 f + 10, for 2^8].
    #[arg(long, value_name = "K")]
    pub comparison_bits: Option<u32>,

    /// How long a party waits for another one that makes no progress.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,

    /// Prints what a run would cost, exactly, and runs nothing.
    #[arg(long)]
    pub plan: bool,

    /// Prints one JSON object on stdout, and nothing else there.
    #[arg(long)]
    pub json: bool,

    /// Classifies all bundled digits that the model was not trained on, and prints how many labels agree.
    #[arg(long)]
    pub accuracy: bool,
}

const AFTER_HELP: &str = "\
Examples:
  cargo xtask infer                                one digit, two parties in memory
  cargo xtask infer --images 5 --first-image 100   digits 100 to 104
  cargo xtask infer --transport tcp --parties 4    five processes over TCP: the dealer counts
  cargo xtask infer --transport tls                encrypted, and each side sure of the other
  cargo xtask infer --preprocessing ahead          all correlations before the first message
  cargo xtask infer --images 10 --pipeline         the next image's while this one's phase is online
  cargo xtask infer --owner-computes               the model owner uses its weights in the clear
  cargo xtask infer --accuracy                     all 450 held-out digits
  cargo xtask infer --model unet                   segments an image, and draws the masks
  cargo xtask infer --model net.onnx --input x.npy --output y.npy
                                                   your own network
  cargo xtask infer --plan --parties 3             bytes and rounds of every layer, runs nothing
  cargo xtask infer --json | python3 -m json.tool  for programs

Exit codes:
  0  everything ran, and every private label, mask or value is that of the plaintext model
  1  a run failed, a label differs, or bytes or rounds were not those of the plan
  2  wrong arguments, weights or inputs, found before anything started";

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

/// Links that messages are slowed down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// As they are.
    None,
    /// A local network.
    Lan,
    /// Between continents.
    Wan,
}

impl LinkKind {
    /// Latency and rate.
    pub fn settings(self) -> LinkSettings {
        match self {
            Self::None => LinkSettings::default(),
            Self::Lan => LinkSettings::LAN,
            Self::Wan => LinkSettings::WAN,
        }
    }
}

impl InferArguments {
    /// When correlations are drawn.
    pub fn preprocessing_mode(&self) -> PreprocessingMode {
        if self.pipeline { PreprocessingMode::Pipelined } else { self.preprocessing }
    }

    /// f.
    pub fn fractional_bits(&self) -> u32 {
        self.fractional_bits.unwrap_or(if self.ring == RingBits::Bits32 { 10 } else { 16 })
    }

    /// k.
    pub fn comparison_bits(&self) -> u32 {
        let integer_bits = if self.ring == RingBits::Bits32 { 10 } else { 16 };
        self.comparison_bits.unwrap_or(self.fractional_bits().saturating_add(integer_bits))
    }

    /// How pixels become numbers.
    pub fn pixels(&self) -> Pixels {
        Pixels { mean: self.mean.clone(), deviation: self.deviation.clone() }
    }

    /// Images per inference.
    pub fn batch(&self) -> usize {
        self.batch.unwrap_or(if self.accuracy { ACCURACY_BATCH } else { 1 })
    }
}
