//! The networks by name.

use mpc_models::{Model, Task};

#[test]
fn every_entry_is_what_its_graph_is() {
    for model in Model::all() {
        assert_eq!(Model::by_name(model.name()).unwrap().name(), model.name());
        let graph = model.graph(3).unwrap();
        assert_eq!(graph.inputs().len(), model.inputs().len(), "{}", model.name());
        for (&id, input) in graph.inputs().iter().zip(model.inputs()) {
            assert_eq!(graph.node(id).name(), input.name);
            assert_eq!(graph.node(id).shape(), [&[3], input.shape].concat(), "{}", model.name());
        }
        let output = graph.node(graph.outputs()[0]).shape();
        assert_eq!(output[..2], [3, model.classes()], "{}", model.name());
        assert_eq!(output.len(), if model.task() == Task::Segmentation { 4 } else { 2 });
        let graph = model.graph_for(1, 5).unwrap();
        assert_eq!(graph.node(graph.outputs()[0]).shape()[1], 5, "{}", model.name());
    }
}

#[test]
fn unknown_names() {
    let error = Model::by_name("alexnet").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no model is named `alexnet`; the models are: resnet32, minionn, minionn-square, unet, breast-cancer, lenet, \
         vgg16, resnet18, resnet50, mobilenetv2, squeezenet"
    );
    for name in ["", "ResNet32", "resnet32 "] {
        assert!(Model::by_name(name).is_err());
    }
}

#[cfg(feature = "bundled")]
#[test]
fn weights_and_samples() {
    use mpc_models::{SamplesError, Targets};
    for model in Model::all() {
        let Some(bytes) = model.bundled_weights() else {
            assert_eq!(model.sample_count(), Ok(0));
            assert_eq!(model.samples(0..1).unwrap_err(), SamplesError::Range { start: 0, end: 1, len: 0 });
            assert!(model.description().contains("untrained"), "{}", model.name());
            continue;
        };
        assert!(bytes.len() < 1_000_000 && !model.description().contains("untrained"));
        let (graph, count) = (model.graph(2).unwrap(), model.sample_count().unwrap());
        model.load(bytes, &graph).unwrap();
        let samples = model.samples(count - 2..count).unwrap();
        for (input, &id) in samples.inputs.iter().zip(graph.inputs()) {
            assert_eq!(input.shape(), graph.node(id).shape());
        }
        assert_eq!(samples.inputs.len(), graph.inputs().len());
        match samples.targets {
            Targets::Labels(labels) => assert_eq!(labels.len(), 2),
            Targets::Masks(masks) => assert_eq!(masks.shape(), graph.node(graph.outputs()[0]).shape()),
            _ => panic!("a new kind of targets"),
        }
        for range in [0..count + 1, 1..1, count..count + 1] {
            assert!(model.samples(range.clone()).is_err(), "{}: {range:?}", model.name());
        }
    }
}
