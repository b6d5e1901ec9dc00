//! The sizes of the architectures against published ones, and their layers' names and shapes.

use mpc_models::{Model, lenet, mobilenetv2, resnet18, resnet50, squeezenet, unet, vgg16};
use mpc_nn::{Graph, GraphError, Op};

fn parameters(graph: &Graph) -> usize {
    graph.parameters().iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
}

/// The output channels of all convolutions that have a batch normalisation in PyTorch.
fn normalised_channels(graph: &Graph) -> usize {
    let convolutions = graph.nodes().iter().filter_map(|node| match node.op() {
        Op::Convolution { shape, .. } if node.name() != "head" => Some(shape.output_channels),
        _ => None,
    });
    convolutions.sum()
}

fn shape<'a>(graph: &'a Graph, name: &str) -> &'a [usize] {
    graph.node(graph.find(name).unwrap()).shape()
}

/// PyTorch counts two parameters for each normalised channel, the scale and the shift; folded, one bias is left.
#[test]
fn parameters_are_the_published_ones() {
    type Make = fn(usize, usize) -> Result<Graph, GraphError>;
    // Classes, PyTorch's number of parameters, and how many of them for each normalised channel are folded away.
    let known: [(Make, usize, usize, usize); 8] = [
        (resnet18, 1000, 11_689_512, 1),
        (resnet50, 1000, 25_557_032, 1),
        (mobilenetv2, 1000, 3_504_872, 1),
        (squeezenet, 1000, 1_235_496, 0),
        // Convolutions with biases of their own: three for each channel become one.
        (vgg16, 10, 14_728_266, 2),
        (lenet, 10, 61_706, 0),
        (unet, 1, 130_209, 1),
        (mpc_models::minionn_square, 10, 165_354, 1),
    ];
    for (make, classes, published, folded) in known {
        let graph = make(1, classes).unwrap();
        assert_eq!(parameters(&graph) + folded * normalised_channels(&graph), published);
    }
}

#[test]
fn normalised_channels_are_the_published_ones() {
    assert_eq!(normalised_channels(&resnet18(1, 1000).unwrap()), 4_800);
    assert_eq!(normalised_channels(&resnet50(1, 1000).unwrap()), 26_560);
    assert_eq!(normalised_channels(&mobilenetv2(1, 1000).unwrap()), 17_056);
}

/// Exact numbers by hand; rounded they are torchvision's GFLOPS of 1.81, 4.09, 0.30 and 0.35.
#[test]
fn multiplications() {
    let of = |name: &str| Model::by_name(name).unwrap().graph(1).unwrap().multiplications();
    assert_eq!(of("resnet18"), 1_814_073_344);
    assert_eq!(of("resnet50"), 4_089_184_256);
    assert_eq!(of("mobilenetv2"), 300_774_272);
    assert_eq!(of("squeezenet"), 349_151_936);
    assert_eq!(of("vgg16"), 313_201_664);
    let full = 16 * (3 * 9 + 16 * 9) + 16 * 32 * 9 + 16 * 32 * 9 + 16 * 16 * 9 + 16;
    let half = 32 * (16 * 9 + 32 * 9) + 32 * 64 * 9 + 32 * 64 * 9 + 32 * 32 * 9;
    let quarter = 64 * (32 * 9 + 64 * 9);
    assert_eq!(of("unet"), 1024 * full + 256 * half + 64 * quarter);
    assert_eq!(of("lenet"), 416_520);
    assert_eq!(of("breast-cancer"), 30 * 16 + 16 * 8 + 8 * 2);
    assert_eq!(of("minionn-square"), of("minionn"));
}

#[test]
fn activations() {
    let relus = |name: &str| Model::by_name(name).unwrap().graph(1).unwrap().relu_count();
    assert_eq!(relus("unet"), 1024 * 16 * 5 + 256 * 32 * 5 + 64 * 64 * 2);
    assert_eq!(relus("lenet"), 6 * 28 * 28 + 16 * 10 * 10 + 120 + 84);
    assert_eq!(relus("breast-cancer"), 24);
    assert_eq!(relus("minionn-square"), 0);
    assert_eq!(relus("vgg16"), 276_480);
    assert_eq!(relus("resnet18"), 2_308_096);
    assert_eq!(relus("resnet50"), 9_608_704);
    assert_eq!(relus("squeezenet"), 2_589_352);
    let graph = Model::by_name("minionn-square").unwrap().graph(1).unwrap();
    let squares = graph.nodes().iter().filter(|node| *node.op() == Op::Square).map(|node| node.len());
    assert_eq!(squares.sum::<usize>(), 173_056);
    // PyTorch has 35 ReLU6.
    let graph = mobilenetv2(1, 1000).unwrap();
    let clips = graph.nodes().iter().filter(|node| matches!(node.op(), Op::Function(_))).map(|node| node.len());
    assert_eq!((clips.clone().count(), clips.sum::<usize>()), (35, 6_105_792));
    assert_eq!(graph.relu_count(), 0);
}

#[test]
fn names_and_shapes() {
    let graph = resnet50(2, 1000).unwrap();
    assert_eq!(shape(&graph, "maxpool"), [2, 64, 56, 56]);
    assert_eq!(shape(&graph, "layer1.0.downsample.0"), [2, 256, 56, 56]);
    assert!(graph.find("layer1.1.downsample.0").is_none());
    assert_eq!(shape(&graph, "layer2.0.conv1"), [2, 128, 56, 56]);
    assert_eq!(shape(&graph, "layer2.0.conv2"), [2, 128, 28, 28]);
    assert_eq!(shape(&graph, "layer4.2.relu"), [2, 2048, 7, 7]);
    assert_eq!(shape(&graph, "fc"), [2, 1000]);

    let graph = resnet18(1, 7).unwrap();
    assert!(graph.find("layer1.0.downsample.0").is_none());
    assert_eq!(shape(&graph, "layer4.1.conv2"), [1, 512, 7, 7]);
    assert_eq!(shape(&graph, "fc"), [1, 7]);

    let graph = mobilenetv2(1, 1000).unwrap();
    assert_eq!(shape(&graph, "features.1.conv.1"), [1, 16, 112, 112]);
    assert_eq!(shape(&graph, "features.2.conv.1.0"), [1, 96, 56, 56]);
    assert_eq!(shape(&graph, "features.3.add"), [1, 24, 56, 56]);
    assert_eq!(shape(&graph, "features.17.conv.2"), [1, 320, 7, 7]);
    assert_eq!(shape(&graph, "features.18.0"), [1, 1280, 7, 7]);

    let graph = squeezenet(1, 1000).unwrap();
    assert_eq!(shape(&graph, "features.2"), [1, 64, 55, 55]);
    assert_eq!(shape(&graph, "features.12.concat"), [1, 512, 13, 13]);

    let graph = vgg16(1, 10).unwrap();
    assert_eq!(shape(&graph, "features.40"), [1, 512, 2, 2]);
    assert_eq!(shape(&graph, "features.43"), [1, 512, 1, 1]);

    let graph = unet(3, 2).unwrap();
    assert_eq!(shape(&graph, "middle.conv2"), [3, 64, 8, 8]);
    assert_eq!(shape(&graph, "up2.columns"), [3, 64, 16, 16]);
    assert_eq!(shape(&graph, "join1.concat"), [3, 32, 32, 32]);
    assert_eq!(shape(&graph, "head"), [3, 2, 32, 32]);

    let graph = lenet(1, 10).unwrap();
    assert_eq!(shape(&graph, "flatten"), [1, 400]);
}

#[test]
fn sizes_out_of_range() {
    for model in Model::all() {
        assert!(model.graph(0).is_err(), "{}", model.name());
        assert!(model.graph(usize::MAX).is_err(), "{}", model.name());
        assert!(model.graph_for(1, 0).is_err(), "{}", model.name());
        assert!(model.graph_for(1, usize::MAX).is_err(), "{}", model.name());
    }
}
