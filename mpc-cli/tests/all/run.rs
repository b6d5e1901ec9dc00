//! `mpc run`, `plan`, `check` and `inspect` as their user meets them: the built program, its output and its exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const IMAGE: [usize; 3] = [3, 32, 32];

pub(crate) fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mpc")).args(arguments).output().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    command(&[&["run"], arguments].concat())
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one object of a run with `--json`.
pub(crate) fn json(arguments: &[&str]) -> Value {
    json_of("run", arguments)
}

/// The same of a plan.
fn plan(arguments: &[&str]) -> Value {
    json_of("plan", arguments)
}

pub(crate) fn json_of(name: &str, arguments: &[&str]) -> Value {
    let output = command(&[&[name], arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Bad arguments end with code 2, a message that contains `expected`, and nothing on stdout.
pub(crate) fn assert_refused(arguments: &[&str], expected: &str) {
    assert_refuses("run", arguments, expected);
}

fn assert_refuses(name: &str, arguments: &[&str], expected: &str) {
    let output = command(&[&[name], arguments].concat());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

/// A file of this test run, removed when dropped.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    mpc_models::arrays::write_npy(&ndarray::ArrayD::from_shape_vec(shape, values.to_vec()).unwrap())
}

#[test]
fn a_run_reports_what_it_found_and_cost() {
    for transport in ["memory", "tcp"] {
        let result = json(&["--transport", transport, "--parties", "3", "--images", "2", "--first-image", "40"]);
        assert_eq!((&result["model"], &result["parties"]), (&"resnet32".into(), &3.into()));
        assert_eq!((&result["transport"], &result["agree"]), (&transport.into(), &true.into()));
        assert!(result["max_logit_error"].as_f64().unwrap() < 0.02);
        assert!(result["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
        for (at, image) in result["images"].as_array().unwrap().iter().enumerate() {
            assert_eq!(image["index"], 40 + at);
            assert_eq!(image["predicted"], image["plain_predicted"]);
            assert!(image["label"].as_u64().unwrap() < 10);
        }
        for phase in ["setup", "preprocessing", "online"] {
            let phase = &result["phases"][phase];
            assert!(phase["seconds"].as_f64().unwrap() > 0.0);
            assert!(phase["rounds"].as_u64().unwrap() > 0);
            assert_eq!(phase["bytes_sent"].as_array().unwrap().len(), 3);
            assert_eq!(phase["bytes_received"].as_array().unwrap().len(), 3);
        }
    }
}

#[test]
fn the_plan_is_what_a_run_costs() {
    let arguments = ["--batch", "2", "--preprocessing", "ahead"];
    let plan = plan(&arguments);
    let run = json(&arguments);
    assert_eq!((&run["count"], &run["batch"]), (&2.into(), &2.into()));
    for phase in ["preprocessing", "online"] {
        for figure in ["bytes_sent", "bytes_received", "rounds"] {
            assert_eq!(plan["phases"][phase][figure], run["phases"][phase][figure], "{figure} of {phase}");
        }
    }
    assert_eq!(plan["relus"], 2 * 303_104);
}

#[test]
fn one_image_costs_no_more_than_promised() {
    let plan = plan(&[]);
    let online = &plan["phases"]["online"];
    let sent = online["bytes_sent"].as_array().unwrap();
    assert!(sent.iter().all(|sent| sent.as_u64().unwrap() <= 4_300_000), "{sent:?}");
    assert!(online["rounds"].as_u64().unwrap() <= 140);
    let received = plan["phases"]["preprocessing"]["bytes_received"].as_array().unwrap();
    assert!(received[0].as_u64().unwrap() < 100, "the first party gets a seed");
    assert!(received[1].as_u64().unwrap() <= 45_000_000);
}

#[test]
fn other_networks_of_the_zoo() {
    for model in ["lenet", "minionn-square"] {
        let result = json(&[model, "--first-image", "3"]);
        assert_eq!(result["images"][0]["label"], result["images"][0]["predicted"], "{model}");
    }
    let plan = plan(&["resnet18"]);
    assert_eq!(plan["parameters"], 11_684_712);
}

#[test]
fn a_table_is_printed_for_people() {
    let output = run(&["--images", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    for expected in ["in the clear", "preprocessing", "rounds", "time per image", "Measured as planned", "Peak memory"]
    {
        assert!(text.contains(expected), "{text}");
    }
    assert!(stderr(&output).contains("image 2 of 2: done"));
}

#[test]
fn own_images_have_no_label() {
    let values: Vec<f32> = (0..2 * 3072).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let file = File::new("two.npy", &npy(&[2, 3, 32, 32], &values));
    let result = json(&["--input", file.path()]);
    let images = result["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert!(images.iter().all(|image| image["label"].is_null()));
    assert!(result["private_accuracy"].is_null());
}

#[test]
fn wrong_images_are_refused_by_name() {
    let small = File::new("small.npy", &npy(&[3, 28, 28], &[0.0; 3 * 28 * 28]));
    assert_refused(&["--input", small.path()], "shape [3, 28, 28], but it must be [N, 3, 32, 32]");
    let mut values = vec![0.0; 3072];
    values[33] = f32::NAN;
    let nan = File::new("nan.npy", &npy(&IMAGE, &values));
    assert_refused(&["--input", nan.path(), "--transport", "tcp"], "NaN or infinite at [0, 1, 1]");
    let large = File::new("large.npy", &npy(&IMAGE, &[1e6; 3072]));
    assert_refused(&["--input", large.path()], "private values must be below 16384 in magnitude");
    let bright = File::new("bright.npy", &npy(&IMAGE, &[20_000.0; 3072]));
    assert_refused(
        &["--input", bright.path()],
        "has the value 20000 (element 0), but private values must be below 16384",
    );
    assert_refused(&["--input", "/nowhere.npy"], "cannot read /nowhere.npy");
}

#[test]
fn wrong_weights_are_refused_by_name() {
    let noise = File::new("noise.safetensors", &[0xff; 64]);
    assert_refused(&["--weights", noise.path()], "not a complete safetensors file");
    let header = br#"{"conv1.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let other = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    let other = File::new("other.safetensors", &other);
    assert_refused(&["--weights", other.path()], "tensor `conv1.weight` has shape [1], but the model needs");
    let empty = File::new("empty.safetensors", &[&2u64.to_le_bytes()[..], b"{}"].concat());
    assert_refused(&["--weights", empty.path()], "no tensor `conv1.weight`");
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    assert_refused(&["resnet33"], "no model is named `resnet33`; the models are: resnet32");
    assert_refused(&["breast-cancer", "--input", "x.npy"], "`breast-cancer` takes no images");
    assert_refused(&["resnet18"], "no samples come with `resnet18`");
    assert_refused(&["--parties", "1"], "1 is not in 2..=8");
    assert_refused(&["--parties", "9"], "9 is not in 2..=8");
    assert_refused(&["--images", "0"], "leaves nothing to do");
    assert_refused(&["--images", "3", "--batch", "2"], "no whole number of batches");
    assert_refused(&["--batch", "0"], "a batch of this size");
    assert_refused(&["--first-image", "450"], "not within the 450 images");
    assert_refused(&["--fractional-bits", "30"], "the ring's bits (--comparison-bits 34 does");
    assert_refused(&["--mean", "0.5"], "are for images, and no file of --input is one");
    assert_refused(&["--picture", "x.png"], "--picture is for `unet`");
    assert_refused(&["--accuracy", "--images", "2"], "cannot be used with");
}

/// Processes of a run over TCP, by what /proc says.
#[cfg(target_os = "linux")]
mod processes {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::process::Child;

    /// The processes that `parent` has started, in that order: the parties, then the dealer.
    fn children(parent: u32) -> Vec<u32> {
        let mut children = Vec::new();
        for entry in fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten() {
            let text = fs::read_to_string(entry.path().join("children")).unwrap_or_default();
            children.extend(text.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
        }
        children.sort_unstable();
        children
    }

    fn is_alive(process: u32) -> bool {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    fn signal(name: &str, process: u32) {
        assert!(Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status().unwrap().success());
    }

    fn wait_until_gone(processes: &[u32]) {
        let end = Instant::now() + Duration::from_secs(10);
        while processes.iter().any(|&process| is_alive(process)) {
            assert!(Instant::now() < end, "processes are left behind");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    struct Run {
        child: Child,
        stderr: BufReader<std::process::ChildStderr>,
        nodes: Vec<u32>,
    }

    impl Run {
        /// A run of three parties with a deadline of 2 s that has classified its first image, of more than it will get to.
        fn start() -> Self {
            let mut child = Command::new(env!("CARGO_BIN_EXE_mpc"))
                .args(["run", "--transport", "tcp", "--parties", "3", "--deadline", "2", "--images", "60"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stderr = BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            assert!(line.contains("image 1 of"), "{line}");
            let nodes = children(child.id());
            assert_eq!(nodes.len(), 4);
            Self { child, stderr, nodes }
        }

        /// The end of a run that fails: its errors, and that nothing is left of it.
        fn errors(mut self) -> String {
            let begin = Instant::now();
            let mut text = String::new();
            self.stderr.read_to_string(&mut text).unwrap();
            assert_eq!(self.child.wait().unwrap().code(), Some(1), "{text}");
            assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
            wait_until_gone(&self.nodes);
            text
        }
    }

    #[test]
    fn a_party_that_is_killed_ends_the_run_by_name() {
        let run = Run::start();
        signal("KILL", run.nodes[2]);
        let errors = run.errors();
        assert!(errors.contains("party 2: its process ended before it was done (signal: 9"), "{errors}");
        assert!(errors.contains("party 0: step `"), "{errors}");
        assert!(errors.contains("party 2 closed the connection"), "{errors}");
    }

    #[test]
    fn a_dealer_that_is_killed_ends_the_run_by_name() {
        let run = Run::start();
        signal("KILL", run.nodes[3]);
        let errors = run.errors();
        assert!(errors.contains("dealer: its process ended before it was done (signal: 9"), "{errors}");
        assert!(errors.contains("on the link to the dealer"), "{errors}");
    }

    #[test]
    fn a_party_that_stalls_ends_the_run_by_name() {
        let run = Run::start();
        signal("STOP", run.nodes[0]);
        let errors = run.errors();
        assert!(errors.contains("party 0 timed out after 2"), "{errors}");
        assert!(errors.contains("party 0: has not reported within its deadline"), "{errors}");
    }

    #[test]
    fn nothing_outlives_the_command() {
        let mut run = Run::start();
        signal("KILL", run.child.id());
        run.child.wait().unwrap();
        wait_until_gone(&run.nodes);
    }
}

/// A network as PyTorch exports it, with its weights in a file beside.
const ONNX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mpc-onnx/conformance/external/model.onnx");

#[test]
fn an_onnx_file_runs_on_a_tensor_or_an_image() {
    let values: Vec<f32> = (0..3 * 16 * 16).map(|x| (x % 29) as f32 / 29.0).collect();
    let input = File::new("onnx-input.npy", &npy(&[1, 3, 16, 16], &values));
    // A sample without its batch is one of a batch of one.
    let sample = File::new("onnx-sample.npy", &npy(&[3, 16, 16], &values));
    let output = File::new("onnx-output.npy", b"");
    let written = format!("linear={}", output.path());
    let model = [ONNX, "--output", written.as_str()];
    let mut results = Vec::new();
    for (transport, parties, file) in [("memory", "2", &input), ("tcp", "3", &sample)] {
        let named = format!("input0={}", file.path());
        let run = ["--transport", transport, "--parties", parties, "--input", named.as_str()];
        let result = json(&[&model[..], &run].concat());
        assert_eq!((&result["agree"], &result["matches_plan"]), (&true.into(), &true.into()));
        assert_eq!(result["outputs"][0]["name"], "linear");
        assert!(result["outputs"][0]["max_error"].as_f64().unwrap() < 0.0005);
        results.push(mpc_models::arrays::read_npy(&fs::read(output.path()).unwrap()).unwrap());
    }
    assert_eq!(results[0].shape(), [1, 5]);
    assert!(results[0].iter().zip(&results[1]).all(|(x, y)| (x - y).abs() < 0.0005));
    assert!(results[0].iter().any(|&x| x != 0.0));
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(40, 30, image::Rgb([200, 10, 90])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let picture = File::new("onnx-input.png", png.get_ref());
    let result = json(&[ONNX, "--input", picture.path(), "--mean", "0.5", "--deviation", "0.2,0.2,0.25"]);
    assert_eq!(result["agree"], true);
}

/// Latin-1 names are on many disks still; a `=` in the folder's is no tensor's name.
#[cfg(unix)]
#[test]
fn paths_need_not_be_utf_8() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join(OsStr::from_bytes(b"caf\xe9=1"));
    fs::create_dir(&folder).unwrap();
    let [model, input, output] = ["model.onnx", "input.npy", "output.npy"].map(|name| folder.join(name));
    fs::copy(ONNX, &model).unwrap();
    fs::copy(format!("{ONNX}.data"), folder.join("model.onnx.data")).unwrap();
    fs::write(&input, npy(&[1, 3, 16, 16], &[0.5; 3 * 16 * 16])).unwrap();
    let mut named = OsString::from("input0=");
    named.push(&input);
    let mut mpc = Command::new(env!("CARGO_BIN_EXE_mpc"));
    mpc.arg("run")
        .arg(&model)
        .args(["--transport", "tcp", "--json", "--input"])
        .arg(&named)
        .arg("--output")
        .arg(&output);
    let run = mpc.output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_eq!(serde_json::from_slice::<Value>(&run.stdout).unwrap()["agree"], true);
    assert_eq!(mpc_models::arrays::read_npy(&fs::read(output).unwrap()).unwrap().shape(), [1, 5]);
}

#[test]
fn what_an_onnx_file_cannot_run_on_is_refused_by_name() {
    let input = File::new("onnx-wrong.npy", &npy(&[1, 4, 16, 16], &[0.0; 4 * 16 * 16]));
    assert_refused(&[ONNX], "the input `input0` needs a file");
    assert_refused(&[ONNX, "--input", input.path()], "onnx-wrong.npy");
    assert_refused(&[ONNX, "--input", "missing.npy"], "missing.npy");
    assert_refused(&[ONNX, "--batch", "2"], "are for the networks by name");
    assert_refused(&[ONNX, "--input", input.path(), "--mean", "0"], "are for images, and no file of --input is one");
    assert_refuses("plan", &["missing.onnx"], "missing.onnx");
    let damaged = File::new("damaged.onnx", &fs::read(ONNX).unwrap()[..1000]);
    assert_refuses("plan", &[damaged.path()], "");
}

#[test]
fn inspect_lists_a_file() {
    let output = command(&["inspect", ONNX, "--shape", "input0=2x3x16x16", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["operators"]["Conv"], &report["inputs"][0]["name"]), (&11.into(), &"input0".into()));
    assert!(report["rounds"].as_u64().unwrap() > 10 && report["online_bytes_sent"].as_u64().unwrap() > 10_000);
    let output = command(&["inspect", ONNX]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("batch×3×16×16") && text.contains("ReduceMean"), "{text}");
    assert_eq!(command(&["inspect", "Cargo.toml"]).status.code(), Some(2));
}

#[test]
fn check_compares_layer_by_layer() {
    let values: Vec<f32> = (0..3 * 16 * 16).map(|x| (x % 31) as f32 / 31.0).collect();
    let input = File::new("check-input.npy", &npy(&[1, 3, 16, 16], &values));
    let labels = File::new("check-labels.npy", &npy(&[1], &[3.0]));
    let output = command(&["check", ONNX, "--input", input.path(), "--labels", labels.path(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["first_departing"].is_null());
    assert!(report["layers"].as_array().unwrap().iter().all(|layer| layer["private_error"].as_f64().unwrap() < 0.001));
    assert_eq!(report["accuracy"]["private"], report["accuracy"]["floating_point"]);
    // Values above 2 do not fit below 2^1.
    let large: Vec<f32> = values.iter().map(|value| 3.8 * value - 1.9).collect();
    let large = File::new("check-large.npy", &npy(&[1, 3, 16, 16], &large));
    let arguments = ["check", ONNX, "--input", large.path(), "--comparison-bits", "19", "--json"];
    let output = command(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["layers"].as_array().unwrap().iter().any(|layer| layer["out_of_range"] == true));
}

#[test]
fn a_segmentation_is_drawn() {
    let picture = File::new("unet.png", b"");
    let result = json(&["unet", "--images", "2", "--picture", picture.path()]);
    assert!(result["pixel_agreement"].as_f64().unwrap() >= 0.999);
    assert!(result["private_iou"].as_f64().unwrap() > 0.5);
    let drawn = image::load_from_memory(&fs::read(picture.path()).unwrap()).unwrap();
    assert_eq!((drawn.width() / 3 / 32, drawn.height() / 2 / 32), (6, 6));
}

#[test]
fn inputs_of_two_owners_and_other_rings() {
    for transport in ["memory", "tcp"] {
        let owners = ["breast-cancer", "--parties", "3", "--input-owner", "shape=2"];
        let result = json(&[&owners[..], &["--images", "3", "--transport", transport]].concat());
        assert_eq!(result["labels_agreeing"], 3);
    }
    assert_refused(&["breast-cancer", "--input-owner", "shape=2"], "party 2, but there are 2 parties");
    assert_refused(&["--input-owner", "picture=0"], "the inputs are `image`");
    let narrow = json(&["breast-cancer", "--ring", "32", "--images", "2"]);
    let wide = json(&["breast-cancer", "--ring", "128", "--images", "2"]);
    assert_eq!((&narrow["agree"], &wide["agree"]), (&true.into(), &true.into()));
    let sent = |result: &Value| result["phases"]["online"]["bytes_sent"][0].as_u64().unwrap();
    assert!(sent(&narrow) < sent(&wide));
}
