//! Operators whose values ONNX's definition alone does not make plain, with the values that its runtimes give.

use mpc_nn::evaluate;
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

use crate::models::{floats, imported, info, node};

/// The only output of a network of one input `x` for the values of the shape.
fn result(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>, shape: &[usize], x: &[f32]) -> ArrayD<f32> {
    let sizes: Vec<_> = shape.iter().map(|&size| Some(size as i64)).collect();
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![info("x", DataType::FLOAT, &sizes)],
        output: vec![info("y", DataType::FLOAT, &[])],
        ..Default::default()
    };
    let network = imported(graph).unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(shape), x.to_vec()).unwrap();
    evaluate(&network.graph, &network.weights, &[x]).unwrap().remove(0)
}

fn text(name: &str, value: &str) -> AttributeProto {
    let r#type = Some(AttributeType::STRING);
    AttributeProto { name: Some(name.into()), s: Some(value.into()), r#type, ..Default::default() }
}

fn resized(factor: f32, coordinates: &str, nearest: &str, x: &[f32]) -> Vec<f32> {
    let mut resize = node("Resize", &["x", "", "scales"], &["y"]);
    resize.attribute = vec![
        text("coordinate_transformation_mode", coordinates),
        text("mode", "nearest"),
        text("nearest_mode", nearest),
    ];
    let y = result(vec![resize], vec![floats("scales", &[2], &[1.0, factor])], &[1, x.len()], x);
    y.into_iter().collect()
}

/// 1.8 is less than 9/5 as a 32-bit number, but 5 times it, as such a number, is 9.
#[test]
fn a_resized_length_is_a_product_of_32_bit_numbers() {
    let y = resized(1.8, "asymmetric", "floor", &[0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(y, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
}

/// (4 + 1/2) / 1.8 − 1/2 is 2, and 6 / 1.2 is 5.
#[test]
fn a_place_in_between_is_a_quotient_of_32_bit_numbers() {
    let y = resized(1.8, "half_pixel", "ceil", &[0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(y, [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0]);
    let y = resized(1.2, "asymmetric", "floor", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(y, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}
