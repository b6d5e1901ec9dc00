//! More samples in a file than a network takes at a time: an inference for each, one after the other.

use std::fs;

use ndarray::ArrayD;

use crate::run::{File, assert_refused, command, json, stderr};

/// A field of a message that has a length.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

/// A tensor of floats of shape [1, 4].
fn tensor(name: &str) -> Vec<u8> {
    tensor_of(name, &[field(1, &[8, 1]), field(1, &[8, 4])])
}

/// A tensor of floats of the given sizes.
fn tensor_of(name: &str, sizes: &[Vec<u8>]) -> Vec<u8> {
    let sizes = sizes.concat();
    let kind = [vec![8, 1], field(2, &sizes)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &kind))].concat()
}

pub(crate) fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    field(1, &[inputs, field(2, output.as_bytes()), field(4, operator.as_bytes())].concat())
}

/// y = max(x + z, 0) of one sample of four numbers each.
fn model() -> Vec<u8> {
    let nodes = [node("Add", &["x", "z"], "s"), node("Relu", &["s"], "y")].concat();
    let graph = [nodes, field(2, b"g"), field(11, &tensor("x")), field(11, &tensor("z")), field(12, &tensor("y"))];
    [vec![8, 8], field(8, &[16, 17]), field(7, &graph.concat())].concat()
}

fn npy(shape: &[usize], value: impl Fn(usize) -> f32) -> Vec<u8> {
    let values = (0..shape.iter().product()).map(value).collect();
    mpc_models::arrays::write_npy(&ArrayD::from_shape_vec(shape, values).unwrap())
}

#[test]
fn each_sample_of_a_file_is_an_inference() {
    let model = File::new("samples.onnx", &model());
    let x = File::new("samples-x.npy", &npy(&[3, 4], |place| place as f32 - 6.0));
    let z = File::new("samples-z.npy", &npy(&[3, 4], |_| 0.5));
    let output = File::new("samples-y.npy", b"");
    let expected: Vec<f32> = (0..12).map(|place| (place as f32 - 5.5).max(0.0)).collect();
    let files = ["--input", x.path(), "--input", z.path(), "--output", output.path()];
    let check = |shape: &[usize]| {
        let y = mpc_models::arrays::read_npy(&fs::read(output.path()).unwrap()).unwrap();
        assert_eq!(y.shape(), shape);
        assert!(y.iter().zip(&expected).all(|(y, expected)| (y - expected).abs() < 0.001), "{y}");
    };
    for transport in ["memory", "tcp"] {
        let owners = ["--parties", "3", "--input-owner", "z=2", "--transport", transport];
        let result = json(&[&[model.path()], &files[..], &owners].concat());
        assert_eq!(
            (&result["count"], &result["agree"], &result["matches_plan"]),
            (&3.into(), &true.into(), &true.into())
        );
        assert_eq!(result["per_inference"].as_array().unwrap().len(), 3);
        check(&[3, 4]);
    }
    let services = command(&[&["run", model.path(), "--transport", "services"], &files[..]].concat());
    assert_eq!(services.status.code(), Some(0), "{}", stderr(&services));
    check(&[3, 4]);
    let checked = command(&["check", model.path(), "--input", x.path(), "--input", z.path()]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
}

/// Services serve the network for the sizes of the inputs, as every other run has it; an input that nothing reads is none to them.
#[test]
fn services_take_the_sizes_that_a_file_leaves_open() {
    let [open, four] = [field(1, &field(2, b"n")), field(1, &[8, 4])];
    let [x, w] = ["x", "w"].map(|name| field(11, &tensor_of(name, &[open.clone(), four.clone()])));
    let y = field(12, &tensor_of("y", &[four.clone(), open.clone()]));
    let graph = [node("Transpose", &["x"], "y"), field(2, b"g"), x, w, y].concat();
    let model = File::new("open.onnx", &[vec![8, 8], field(8, &[16, 17]), field(7, &graph)].concat());
    let x = File::new("open-x.npy", &npy(&[3, 4], |place| place as f32));
    let output = File::new("open-y.npy", b"");
    let (x_flag, w_flag) = (format!("x={}", x.path()), format!("w={}", x.path()));
    for transport in ["memory", "services"] {
        let files = ["--input", &w_flag, "--input", &x_flag, "--output", output.path(), "--transport", transport];
        let run = command(&[&["run", model.path()], &files[..]].concat());
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
        let y = mpc_models::arrays::read_npy(&fs::read(output.path()).unwrap()).unwrap();
        assert_eq!(y.shape(), [4, 3], "{transport}");
        assert!(y.indexed_iter().all(|(at, y)| (y - (4 * at[1] + at[0]) as f32).abs() < 0.001), "{y}");
    }
    let services = [model.path(), "--input", &x_flag, "--transport", "services", "--images", "2"];
    assert_refused(&services, "all of --input runs");
}

#[test]
fn inputs_have_as_many_samples_as_each_other() {
    let model = File::new("uneven.onnx", &model());
    let x = File::new("uneven-x.npy", &npy(&[3, 4], |_| 0.0));
    let one = File::new("uneven-one.npy", &npy(&[4], |_| 0.0));
    let other = File::new("uneven-other.npy", &npy(&[3, 5], |_| 0.0));
    let reason = "`x` has samples for 3 inferences, that for `z` for 1; give each input as many";
    assert_refused(&[model.path(), "--input", x.path(), "--input", one.path()], reason);
    let reason = "it has shape [3, 5], but the network takes [1, 4]";
    assert_refused(&[model.path(), "--input", x.path(), "--input", other.path()], reason);
}
