//! The table of networks.

#[cfg(feature = "bundled")]
use super::sample_set::SampleSet;
use super::{Model, ModelInput, Task};
use crate::breast_cancer::{self, breast_cancer};
use crate::lenet::{self, lenet};
use crate::minionn::{self, minionn};
use crate::mobilenetv2::{self, mobilenetv2};
use crate::resnet;
use crate::resnet32::{self, resnet32};
use crate::squeezenet::{self, squeezenet};
use crate::unet::{self, unet};
use crate::vgg16::{self, vgg16};
use crate::weights::LoadError;

/// Weights or a calibration, where the feature has them compiled in.
macro_rules! bundled {
    ($bytes:expr) => {{
        #[cfg(feature = "bundled")]
        let bytes: Option<&'static [u8]> = Some($bytes);
        #[cfg(not(feature = "bundled"))]
        let bytes: Option<&'static [u8]> = None;
        bytes
    }};
}

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "resnet32",
        description: "ResNet-32 for 32×32 colour images in 10 classes: 68.9 million multiplications, 303,104 ReLUs",
        inputs: &image(&resnet32::INPUT),
        task: Task::Classification,
        classes: resnet32::CLASSES,
        graph: resnet32,
        load: resnet32::load_resnet32,
        bundled: bundled!(resnet32::BUNDLED_WEIGHTS),
        calibration: bundled!(include_bytes!("../../weights/resnet32.widths.json")),
        #[cfg(feature = "bundled")]
        samples: Some(SampleSet::Digits),
    },
    Model {
        name: "minionn",
        description: "MiniONN's network for 32×32 colour images in 10 classes: 61.1 million multiplications, \
                      173,056 ReLUs",
        inputs: &image(&minionn::INPUT),
        task: Task::Classification,
        classes: minionn::CLASSES,
        graph: minionn,
        load: minionn::load_minionn,
        bundled: bundled!(minionn::BUNDLED_WEIGHTS),
        calibration: bundled!(include_bytes!("../../weights/minionn.widths.json")),
        #[cfg(feature = "bundled")]
        samples: Some(SampleSet::Digits),
    },
    Model {
        name: "minionn-square",
        description: "MiniONN's network with squares: 61.1 million multiplications, 173,056 squares, no ReLU",
        inputs: &image(&minionn::INPUT),
        task: Task::Classification,
        classes: minionn::CLASSES,
        graph: minionn::minionn_square,
        load: minionn::load_minionn_square,
        bundled: bundled!(minionn::BUNDLED_SQUARE_WEIGHTS),
        calibration: bundled!(include_bytes!("../../weights/minionn-square.widths.json")),
        #[cfg(feature = "bundled")]
        samples: Some(SampleSet::Digits),
    },
    Model {
        name: "unet",
        description: "U-Net with nearest-neighbour upsampling that marks digits in 32×32 colour images: \
                      33.5 million multiplications, 102,400 ReLUs",
        inputs: &image(&unet::INPUT),
        task: Task::Segmentation,
        classes: unet::CLASSES,
        graph: unet,
        load: unet::load_unet,
        bundled: bundled!(unet::BUNDLED_WEIGHTS),
        calibration: bundled!(include_bytes!("../../weights/unet.widths.json")),
        #[cfg(feature = "bundled")]
        samples: Some(SampleSet::Segments),
    },
    Model {
        name: "breast-cancer",
        description: "perceptron over 15 + 15 columns of two owners in 2 classes: 624 multiplications, 24 ReLUs",
        inputs: &[
            ModelInput { name: "size_and_surface", shape: &[breast_cancer::COLUMNS[0]] },
            ModelInput { name: "shape", shape: &[breast_cancer::COLUMNS[1]] },
        ],
        task: Task::Classification,
        classes: breast_cancer::CLASSES,
        graph: breast_cancer,
        load: breast_cancer::load_breast_cancer,
        bundled: bundled!(breast_cancer::BUNDLED_WEIGHTS),
        calibration: bundled!(include_bytes!("../../weights/breast-cancer.widths.json")),
        #[cfg(feature = "bundled")]
        samples: Some(SampleSet::BreastCancer),
    },
    Model {
        name: "lenet",
        description: "LeNet-5 for 32×32 grey images in 10 classes: 0.4 million multiplications, 6,508 ReLUs",
        inputs: &image(&lenet::INPUT),
        task: Task::Classification,
        classes: lenet::CLASSES,
        graph: lenet,
        load: lenet::load_lenet,
        bundled: bundled!(lenet::BUNDLED_WEIGHTS),
        calibration: bundled!(include_bytes!("../../weights/lenet.widths.json")),
        #[cfg(feature = "bundled")]
        samples: Some(SampleSet::GreyDigits),
    },
    untrained(
        "vgg16",
        "VGG-16 for 32×32 colour images in 10 classes, untrained: 313 million multiplications, 14.7 million parameters",
        &image(&vgg16::INPUT),
        vgg16::CLASSES,
        (vgg16, vgg16::load_vgg16),
    ),
    untrained(
        "resnet18",
        "ResNet-18 for ImageNet, untrained: 1.81 billion multiplications, 11.7 million parameters",
        &image(&resnet::INPUT),
        resnet::CLASSES,
        (resnet::resnet18, resnet::load_resnet),
    ),
    untrained(
        "resnet50",
        "ResNet-50 for ImageNet, untrained: 4.09 billion multiplications, 25.5 million parameters",
        &image(&resnet::INPUT),
        resnet::CLASSES,
        (resnet::resnet50, resnet::load_resnet),
    ),
    untrained(
        "mobilenetv2",
        "MobileNetV2 for ImageNet, untrained: 301 million multiplications, 3.5 million parameters",
        &image(&mobilenetv2::INPUT),
        mobilenetv2::CLASSES,
        (mobilenetv2, mobilenetv2::load_mobilenetv2),
    ),
    untrained(
        "squeezenet",
        "SqueezeNet 1.1 for ImageNet, untrained: 349 million multiplications, 1.2 million parameters",
        &image(&squeezenet::INPUT),
        squeezenet::CLASSES,
        (squeezenet, squeezenet::load_squeezenet),
    ),
];

type Functions = (
    fn(usize, usize) -> Result<mpc_nn::Graph, mpc_nn::GraphError>,
    fn(&[u8], &mpc_nn::Graph) -> Result<mpc_nn::Weights, LoadError>,
);

/// A classifier without weights and samples of its own.
const fn untrained(
    name: &'static str,
    description: &'static str,
    inputs: &'static [ModelInput],
    classes: usize,
    (graph, load): Functions,
) -> Model {
    Model {
        name,
        description,
        inputs,
        task: Task::Classification,
        classes,
        graph,
        load,
        bundled: None,
        calibration: None,
        #[cfg(feature = "bundled")]
        samples: None,
    }
}

const fn image(shape: &'static [usize; 3]) -> [ModelInput; 1] {
    [ModelInput { name: "image", shape }]
}
