//! Two organisations and a dealer, each with a key of `keygen` and processes of its own, and networks with trained weights.

use std::path::Path;

use mpc_models::{Model, Targets};
use mpc_nn::evaluate;
use ndarray::{ArrayD, Axis};
use serde_json::Value;

use crate::guide::{Line, Site, difference, read_json, read_tensor, write_tensor};

/// The images of a query.
const IMAGES: usize = 2;
/// In seconds; all participants share the processors of one machine here.
const DEADLINE: &str = "120";
/// The largest error of a logit.
const ERROR: f32 = 0.004;

const KEYS: &str = "
acme$ mpc keygen --name acme
dealer$ mpc keygen --name dealer
clinic$ mpc keygen --name clinic
acme$ scp acme.crt clinic.example:
acme$ scp acme.crt dealer.example:
dealer$ scp dealer.crt acme.example:
dealer$ scp dealer.crt clinic.example:
clinic$ scp clinic.crt acme.example:
clinic$ scp clinic.crt dealer.example:
";

const MODEL: &str = "
acme$ mpc pack NETWORK -o net.public net.private
acme$ scp net.public clinic.example:
dealer$ mpc dealer --listen 0.0.0.0:7800 --key dealer.key --allow acme.crt,clinic.crt --deadline DEADLINE
acme$ mpc serve net.private --listen 0.0.0.0:7700 --key acme.key --allow clinic.crt --store ./prepared \
    --dealer dealer.example:7800=dealer.crt --deadline DEADLINE
";

const QUERIES: &str = "
clinic$ mpc prepare net.public --count 3 --store ./prep --key clinic.key --deadline DEADLINE \
    --connect acme.example:7700=acme.crt --dealer dealer.example:7800=dealer.crt
clinic$ mpc query net.public 0.npy 1.npy --key clinic.key --deadline DEADLINE \
    --connect acme.example:7700=acme.crt --dealer dealer.example:7800=dealer.crt -o live.npy --report live.json
";

/// With the dealer gone.
const PREPARED: &str = "
clinic$ mpc query net.public 0.npy 1.npy --key clinic.key --store ./prep --deadline DEADLINE \
    --connect acme.example:7700=acme.crt -o prepared.npy --report prepared.json
";

const LOCAL: [(&str, &str); 2] = [
    (
        "three",
        "anywhere$ mpc run NETWORK --transport services --deadline DEADLINE --input 0.npy --input 1.npy --parties 3 -o three.npy --report three.json",
    ),
    (
        "outsourced",
        "anywhere$ mpc run NETWORK --transport services --deadline DEADLINE --input 0.npy --input 1.npy --outsourced -o outsourced.npy",
    ),
];

/// The bundled samples of a network, and its outputs on them in the clear.
fn samples(network: &str, folder: &Path) -> (Targets, ArrayD<f32>) {
    let model = Model::by_name(network).unwrap();
    let samples = model.samples(0..IMAGES).unwrap();
    for (index, image) in samples.inputs[0].axis_iter(Axis(0)).enumerate() {
        write_tensor(&folder.join(format!("{index}.npy")), &image.insert_axis(Axis(0)).to_owned());
    }
    let graph = model.graph(IMAGES).unwrap();
    let weights = model.default_weights(&graph).unwrap();
    (samples.targets, evaluate(&graph, &weights, &samples.inputs).unwrap().remove(0))
}

/// A result against the network in the clear: logits, and the classes or pixels that they say.
fn check_result(path: &Path, clear: &ArrayD<f32>, targets: &Targets) {
    let private = read_tensor(path);
    assert!(difference(&private, clear) < ERROR, "{}: {}", path.display(), difference(&private, clear));
    match targets {
        Targets::Labels(_) => assert_eq!(classes(&private), classes(clear)),
        _ => {
            let pixels = private.iter().zip(clear);
            let same = pixels.filter(|(private, clear)| (**private > 0.0) == (**clear > 0.0)).count();
            assert!(same as f64 >= 0.999 * clear.len() as f64, "{same} of {} pixels", clear.len());
        }
    }
}

fn classes(logits: &ArrayD<f32>) -> Vec<usize> {
    let class =
        |row: ndarray::ArrayViewD<'_, f32>| (0..row.len()).max_by(|&a, &b| row[[a]].total_cmp(&row[[b]])).unwrap();
    logits.axis_iter(Axis(0)).map(class).collect()
}

/// Bytes and rounds of every inference and layer, as measured by `party`, are those of `mpc plan`.
fn check_report(path: &Path, plan: &Value, party: usize) {
    let report = read_json(path);
    for part in ["phases", "per_layer", "parameters", "relus", "multiplications", "ring_bits"] {
        assert_eq!(report["planned"][part], plan[part], "{part}");
    }
    let inferences = report["inferences"].as_array().unwrap();
    assert_eq!(inferences.len(), IMAGES);
    for inference in inferences {
        check_traffic(&inference["online"], &plan["phases"]["online"], party);
        // The rounds of a phase are those of the party that waits most often.
        assert_eq!(inference["online"]["rounds"], plan["phases"]["online"]["rounds"]);
        let steps = inference["steps"].as_array().unwrap();
        let layers = plan["per_layer"].as_array().unwrap();
        assert_eq!(steps.len(), layers.len());
        for (step, layer) in steps.iter().zip(layers) {
            assert_eq!(step["name"], layer["name"]);
            assert_eq!(step["measured"], step["planned"], "{}", step["name"]);
            check_traffic(&step["measured"], layer, party);
        }
    }
}

fn check_traffic(measured: &Value, planned: &Value, party: usize) {
    const HEADER: u64 = 4;
    for way in ["sent", "received"] {
        let number = |name: String| measured[name].as_u64().unwrap();
        let bytes = number(format!("payload_{way}")) + HEADER * number(format!("frames_{way}"));
        assert_eq!(planned[format!("bytes_{way}")][party].as_u64(), Some(bytes), "{planned}");
    }
}

/// A script for a network.
fn script(script: &str, network: &str) -> String {
    script.replace("NETWORK", network).replace("DEADLINE", DEADLINE)
}

fn plan(site: &mut Site, network: &str, parties: usize) -> Value {
    let command = format!("acme$ mpc plan {network} --parties {parties} --transport services --net lan,wan --json");
    let plan: Value = serde_json::from_str(&site.run(&Line::all(&command)[0])).unwrap();
    assert_eq!(plan["estimates"].as_array().unwrap().len(), 2);
    plan
}

fn check_journey(network: &str) {
    let mut site = Site::new();
    site.run_all(KEYS);
    let planned = plan(&mut site, network, 2);
    site.run_all(&script(MODEL, network));
    let clinic = site.folder("clinic");
    let (targets, clear) = samples(network, &clinic);
    site.run_all(&script(QUERIES, network));
    site.stop("dealer");
    site.run_all(&script(PREPARED, network));
    for name in ["live", "prepared"] {
        check_result(&clinic.join(format!("{name}.npy")), &clear, &targets);
        check_report(&clinic.join(format!("{name}.json")), &planned, 1);
    }
    let live = read_json(&clinic.join("live.json"));
    check_traffic_received(&live["inferences"][0]["preprocessing"], &planned["phases"]["preprocessing"]);
    // The third one that was prepared is left.
    let listed = site.run(&Line::all("clinic$ mpc store ./prep --key clinic.key")[0]);
    assert!(listed.lines().any(|line| line.contains("┆     1 ┆    2 ┆     0 ┆        3 ┆")), "{listed}");
    site.stop_all();
}

/// The traffic from the dealer to a data owner that computes.
fn check_traffic_received(measured: &Value, planned: &Value) {
    let bytes = measured["payload_received"].as_u64().unwrap() + 4 * measured["frames_received"].as_u64().unwrap();
    assert_eq!(planned["bytes_received"][1].as_u64(), Some(bytes));
}

fn check_local(network: &str) {
    let mut site = Site::new();
    let folder = site.folder("anywhere");
    let (targets, clear) = samples(network, &folder);
    let planned = plan(&mut site, network, 3);
    for (name, command) in LOCAL {
        site.run_all(&script(command, network));
        check_result(&folder.join(format!("{name}.npy")), &clear, &targets);
    }
    check_report(&folder.join("three.json"), &planned, 2);
}

#[test]
fn resnet32() {
    check_journey("resnet32");
}

#[test]
fn unet() {
    check_journey("unet");
}

#[test]
fn resnet32_on_one_machine() {
    check_local("resnet32");
}

#[test]
fn unet_on_one_machine() {
    check_local("unet");
}
