//! The inputs of a query.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;

use clap::Args;
use mpc_models::tensors::Pixels;
use mpc_service::PublicModel;
use ndarray::ArrayD;

use crate::failure::Failure;
use crate::files::{by_name, inferences, input_files};

/// How images in files become numbers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Inputs and outputs")]
pub struct InputArguments {
    /// Of images: the mean that is subtracted from pixels between 0 and 1, one number or three.
    #[arg(long, value_name = "MEAN", value_delimiter = ',', allow_negative_numbers = true)]
    pub mean: Vec<f32>,
    /// Of images: the standard deviation that they are divided by, one number or three.
    #[arg(long, value_name = "DEVIATION", value_delimiter = ',')]
    pub deviation: Vec<f32>,
}

impl InputArguments {
    /// How pixels become numbers.
    pub fn pixels(&self) -> Pixels {
        Pixels { mean: self.mean.clone(), deviation: self.deviation.clone() }
    }

    /// The inputs of each inference, in the order of the network's. For a network of one input each file has its inferences;
    /// else all files are those of the same.
    pub fn read(&self, model: &PublicModel, files: &[OsString]) -> Result<Vec<Vec<ArrayD<f32>>>, Failure> {
        let names = model.input_names();
        let groups: Vec<_> = match &names[..] {
            [_] => files.chunks(1).collect(),
            _ => vec![files],
        };
        let mut all: Vec<Vec<ArrayD<f32>>> = Vec::new();
        // A file that is named again is not read again.
        let mut known: BTreeMap<&[OsString], Range<usize>> = BTreeMap::new();
        for group in groups {
            let parts: Vec<_> = match known.get(group).cloned() {
                Some(parts) => all[parts].to_vec(),
                None => {
                    let paths = by_name("input", group, &names)?;
                    let inputs = model.inputs.iter().map(|input| (&*input.name, input.rows, &*input.limits));
                    let files = input_files(&model.graph, inputs, &paths, &self.pixels())?;
                    let read = inferences(&files, |_| true)?.into_iter();
                    read.map(|inputs| inputs.into_iter().flatten().collect()).collect()
                }
            };
            known.insert(group, all.len()..all.len() + parts.len());
            all.extend(parts);
        }
        Ok(all)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use mpc_models::tensors::write_tensor;
    use mpc_service::{PrivateModel, Terms};

    use super::*;

    /// The bytes that this thread has read.
    fn bytes_read() -> usize {
        let counters = fs::read_to_string("/proc/thread-self/io").unwrap();
        counters.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }

    #[test]
    fn a_file_that_is_named_often_is_read_once() {
        const FEATURES: usize = 50_000;
        let mut builder = mpc_nn::GraphBuilder::new();
        let x = builder.input("x", &[1, FEATURES]).unwrap();
        let y = builder.relu("y", x).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = mpc_nn::Weights::for_graph(&graph, BTreeMap::new()).unwrap();
        let model = PrivateModel::new(mpc_nn::Network::new(graph, weights), Terms::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.npy", "b.npy"].map(|name| folder.path().join(name));
        for (path, samples) in paths.iter().zip([1, 2]) {
            let tensor = ArrayD::from_elem(vec![samples, FEATURES], samples as f64);
            write_tensor(path, &tensor, &[samples, FEATURES]).unwrap();
        }
        let files: Vec<_> = [0, 1, 0, 0, 1].iter().map(|&file| paths[file].clone().into_os_string()).collect();
        let arguments = InputArguments { mean: Vec::new(), deviation: Vec::new() };
        let before = bytes_read();
        let inputs = arguments.read(&model.public, &files).unwrap();
        let read = bytes_read() - before;
        let firsts: Vec<_> = inputs.iter().map(|inputs| inputs[0][[0, 0]]).collect();
        assert_eq!(firsts, [1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
        let once = 3 * FEATURES * size_of::<f32>();
        assert!((once..once + once / 2).contains(&read), "{read} bytes, of {once} in both files");
    }
}
