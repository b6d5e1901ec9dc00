//! The networks that can be run: those of `mpc-models`, and single layers for measurements.

use mpc_models::{Model, UnknownModel};
use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, GraphError, Pool};
use ndarray::{ArrayD, IxDyn};

/// A network, or a layer between an input and an output.
#[derive(Clone, Copy, Debug)]
pub enum Network {
    /// A network of the registry.
    Model(&'static Model),
    /// A single layer, with arbitrary weights and inputs.
    Layer(Layer),
}

/// A single layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `relu:N`: N ReLUs.
    Relu(usize),
    /// `maxpool:N`: windows of 2×2 side by side over N values, in channels of 10×10.
    MaxPool(usize),
    /// `convolution:CxHxW`: as many filters of 3×3 as channels, and an output of the input's size.
    Convolution([usize; 3]),
}

/// The side of a channel that is pooled.
const POOLED_SIDE: usize = 10;

impl Network {
    /// The network or layer of that name.
    pub fn by_name(name: &str) -> Result<Self, UnknownModel> {
        Layer::parse(name).map_or_else(|| Model::by_name(name).map(Self::Model), |layer| Ok(Self::Layer(layer)))
    }

    /// The graph for a batch of inputs.
    pub fn graph(&self, batch: usize) -> Result<Graph, GraphError> {
        match self {
            Self::Model(model) => model.graph(batch),
            Self::Layer(layer) => layer.graph(batch),
        }
    }
}

impl Layer {
    fn parse(name: &str) -> Option<Self> {
        let (kind, sizes) = name.split_once(':')?;
        let sizes = sizes.split('x').map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>()?;
        match (kind, &sizes[..]) {
            ("relu", &[inputs]) => Some(Self::Relu(inputs)),
            ("maxpool", &[inputs]) if inputs.is_multiple_of(POOLED_SIDE.pow(2)) => Some(Self::MaxPool(inputs)),
            ("convolution", &[channels, height, width]) => Some(Self::Convolution([channels, height, width])),
            _ => None,
        }
    }

    /// The shape of one input.
    pub fn input(&self) -> Vec<usize> {
        match *self {
            Self::Relu(inputs) => vec![inputs],
            Self::MaxPool(inputs) => vec![inputs / POOLED_SIDE.pow(2), POOLED_SIDE, POOLED_SIDE],
            Self::Convolution(input) => input.to_vec(),
        }
    }

    fn graph(&self, batch: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[&[batch], &self.input()[..]].concat())?;
        let y = match *self {
            Self::Relu(_) => builder.relu("relu", x)?,
            Self::MaxPool(_) => builder.max_pool("maxpool", x, Pool::new([2, 2]))?,
            Self::Convolution([channels, ..]) => {
                let options = ConvolutionOptions { padding: [1; 4], ..ConvolutionOptions::new(channels, [3, 3]) };
                builder.convolution("convolution", x, options)?
            }
        };
        builder.finish(&[y])
    }
}

/// Arbitrary inputs of a layer, between −1 and 1; always the same.
pub fn made_up_inputs(layer: Layer, count: usize) -> ArrayD<f32> {
    // SplitMix64: nothing secret hangs on them.
    let mut state = 0u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    ArrayD::from_shape_simple_fn(IxDyn(&[&[count], &layer.input()[..]].concat()), &mut next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_by_name() {
        let shapes = [("relu:1000", vec![1, 1000]), ("maxpool:1000", vec![1, 10, 5, 5])];
        for (name, shape) in shapes.into_iter().chain([("convolution:16x32x32", vec![1, 16, 32, 32])]) {
            let network = Network::by_name(name).unwrap();
            let graph = network.graph(1).unwrap();
            assert_eq!(graph.node(graph.outputs()[0]).shape(), shape);
        }
        for name in ["relu", "relu:", "relu:x", "maxpool:150", "convolution:3x3", "tanh:4"] {
            assert!(Network::by_name(name).is_err(), "{name}");
        }
        assert!(matches!(Network::by_name("resnet32").unwrap(), Network::Model(_)));
    }
}
