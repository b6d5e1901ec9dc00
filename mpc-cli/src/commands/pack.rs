//! `mpc pack`.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::arguments::TermsArguments;
use crate::failure::Failure;
use crate::output::print;

/// Packs a network: what everybody may know of it in one file, the weights in another.
///
/// The public part holds the architecture, the names of inputs and outputs, and the terms: who computes, how precisely, and
/// who learns what. It goes to all who take part, and holds no tensor of weights. The private part stays with the model owner.
#[derive(Debug, Args)]
pub struct PackArguments {
    /// The network: an ONNX file, or the name of one that comes with weights, such as resnet32 or unet.
    #[arg(value_name = "FILE.onnx|NAME")]
    model: PathBuf,
    /// Where the public part goes, and the private one.
    #[arg(short, long, num_args = 2, required = true, value_names = ["PUBLIC", "PRIVATE"])]
    output: Vec<PathBuf>,
    /// The shape of an input whose sizes the file leaves open; without it they are 1.
    #[arg(long, value_name = "NAME=1x3x32x32")]
    shape: Vec<String>,
    #[command(flatten)]
    terms: TermsArguments,
}

/// Runs the command.
pub fn run(arguments: &PackArguments) -> Result<(), Failure> {
    let model = arguments.terms.pack(&arguments.model, &arguments.shape)?;
    let [public, private] = &arguments.output[..] else {
        return Err(Failure::Usage("--output takes two files: the public part and the private one".to_owned()));
    };
    model.write(private)?;
    let written = fs::write(public, model.public.to_bytes());
    written.map_err(|error| Failure::Own(format!("{}: {error}", public.display())))?;
    let digest = model.public.digest()?;
    print(&format!(
        "{}: for all who take part\n{}: keep it secret\nplan {digest}\n",
        public.display(),
        private.display()
    ))
}
