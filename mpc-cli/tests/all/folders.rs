//! `mpc run` on a folder of images for each class.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::{File, assert_refused, json};

#[test]
fn a_folder_for_each_class_runs_with_weights_for_so_many_classes() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-x-rays", std::process::id()));
    for (class, shade) in [("covid", 40u8), ("healthy", 200), ("pneumonia", 120)] {
        let of_class = folder.join(class);
        fs::create_dir_all(&of_class).unwrap();
        let image = image::GrayImage::from_fn(60, 50, |x, y| image::Luma([shade.wrapping_add((x * y % 50) as u8)]));
        image.save(of_class.join("1.png")).unwrap();
    }
    // ResNet-32's weights with a last layer for three classes instead of ten.
    let bundled = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../mpc-models/weights/resnet32.safetensors")).unwrap();
    let weights = File::new("x-rays.safetensors", &three_classes(&bundled));
    let arguments = ["--weights", weights.path(), "--input", folder.to_str().unwrap()];
    let result = json(&arguments);
    assert_refused(&arguments[2..], "linear");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!((&result["count"], &result["labels_agreeing"]), (&3.into(), &3.into()));
    let labels: Vec<_> = result["images"].as_array().unwrap().iter().map(|image| image["label"].clone()).collect();
    assert_eq!(labels, [0, 1, 2].map(Value::from));
}

/// The same safetensors file with the first three rows of the last layer alone.
fn three_classes(bytes: &[u8]) -> Vec<u8> {
    use safetensors::tensor::{SafeTensors, TensorView, serialize};
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let cut = |(name, tensor): (String, TensorView<'_>)| {
        let mut shape = tensor.shape().to_vec();
        let mut data = tensor.data().to_vec();
        if name.starts_with("linear.") {
            data.truncate(data.len() / shape[0] * 3);
            shape[0] = 3;
        }
        (name, tensor.dtype(), shape, data)
    };
    let cut: Vec<_> = tensors.tensors().into_iter().map(cut).collect();
    let views = cut
        .iter()
        .map(|(name, dtype, shape, data)| (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize(views.collect::<Vec<_>>(), None).unwrap()
}
