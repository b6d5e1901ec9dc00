//! Every command of the guide in `docs/deploy.md`, and the files beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mpc_nn::evaluate;
use mpc_onnx::{InputShapes, OnnxFile};
use ndarray::ArrayD;

use crate::guide::{Line, Site, difference, mpc, read_tensor, write_tensor};
use crate::postgres_server::PostgresServer;

/// The largest error of an output.
const ERROR: f32 = 0.001;

/// Flags of other programs that the guide names in its text.
const OTHERS_FLAGS: [&str; 1] = ["--profile"];

/// The settings of a hardened service.
const HARDENED: [&str; 9] = [
    "User=mpc",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "StateDirectory=mpc",
    "StateDirectoryMode=0700",
    "Restart=on-failure",
    "LimitCORE=0",
    "CapabilityBoundingSet=",
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The network and the image that a guide speaks of, at an organisation; the network's output in the clear.
fn network(site: &Site, organisations: &[&str]) -> ArrayD<f32> {
    let folder = project().join("mpc-onnx/conformance/external");
    let network = OnnxFile::open(folder.join("model.onnx")).unwrap().import(&InputShapes::new()).unwrap();
    let shape = network.graph.node(network.graph.inputs()[0]).shape().to_vec();
    let mut value = 0.0f32;
    let image = ArrayD::from_shape_simple_fn(shape, || {
        value = (value + 0.37) % 1.0;
        value - 0.5
    });
    for organisation in organisations {
        let own = site.folder(organisation);
        fs::copy(folder.join("model.onnx"), own.join("net.onnx")).unwrap();
        fs::copy(folder.join("model.onnx.data"), own.join("model.onnx.data")).unwrap();
        write_tensor(&own.join("xray.npy"), &image);
    }
    evaluate(&network.graph, &network.weights, &[image]).unwrap().remove(0)
}

/// The commands in blocks marked `console`.
fn commands(guide: &str) -> Vec<Line> {
    let blocks = guide.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split_once("```").expect("every block ends").0);
    blocks.flat_map(Line::all).collect()
}

/// If a command writes a result, compares it with the network in the clear, and removes it.
fn check_result(site: &Site, line: &Line, clear: &ArrayD<f32>) -> bool {
    let is_inference = line.is("query") || line.is("run");
    let Some(output) = line.value(&["-o", "--output"]).filter(|_| is_inference) else { return false };
    let path = site.folder(&line.organisation).join(output);
    let error = difference(&read_tensor(&path), clear);
    assert!(error < ERROR, "{line:?}: {error}");
    fs::remove_file(path).unwrap();
    true
}

/// The names of the program's commands.
fn command_names() -> Vec<String> {
    let help = help(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn help(words: &[&str]) -> String {
    String::from_utf8(mpc(Path::new(".")).args(words).output().unwrap().stdout).unwrap()
}

#[test]
fn every_command_of_the_guide_runs() {
    let mut site = Site::new();
    let clear = network(&site, &["acme", "clinic"]);
    let files = [("dealer", "dealer.toml"), ("acme", "serve.toml"), ("clinic", "clinic.toml")];
    for (organisation, file) in files.into_iter().chain(["north", "south"].map(|server| (server, "shares.toml"))) {
        site.install(organisation, file, &read(&format!("docs/deploy/{file}")));
    }
    let names = fs::read_dir(project().join("docs/deploy")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut unused: BTreeSet<_> = names.filter(|name| name.ends_with(".toml")).collect();
    let mut results = 0;
    for line in commands(&read("docs/deploy.md")) {
        site.run(&line);
        results += usize::from(check_result(&site, &line, &clear));
        unused.remove(configuration(&line));
    }
    // The guide to several machines is run below.
    for line in commands(&read("docs/scale.md")) {
        unused.remove(configuration(&line));
    }
    assert_eq!(results, 8);
    assert!(unused.is_empty(), "{unused:?}");
    check_generated(&site.folder("acme").join("share"));
    site.stop_all();
    start_as_written(&mut site);
}

/// The file of a command's configuration, if it has one.
fn configuration(line: &Line) -> &str {
    line.value(&["--config"]).and_then(|path| path.strip_prefix("/etc/mpc/")).unwrap_or_default()
}

/// The database of acme in the guide to several machines.
const DATABASE: &str = "postgres://mpc@db.example/acme?sslrootcert=/etc/mpc/db-ca.crt";

#[test]
fn every_command_of_the_guide_to_several_machines_runs() {
    let Some(server) = PostgresServer::shared() else { return };
    let mut site = Site::new();
    site.places.push((DATABASE, server.database()));
    site.places.push(("admin = \"127.0.0.1:9464\"", "admin = \"127.0.0.1:0\"".to_owned()));
    let clear = network(&site, &["acme-1", "clinic"]);
    let text = read("docs/deploy/machine.toml");
    ["acme-1", "acme-2"].iter().for_each(|machine| site.install(machine, "machine.toml", &text));
    let mut results = 0;
    for line in commands(&read("docs/scale.md")) {
        site.run(&line);
        results += usize::from(check_result(&site, &line, &clear));
    }
    assert_eq!(results, 3);
    site.stop_all();
    // As systemd and Kubernetes start them.
    let unit = read("docs/deploy/mpc-serve@.service");
    assert!(HARDENED.iter().all(|setting| unit.lines().any(|line| line == *setting)));
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
    let start = start.replace("%H", "acme-1.example").replace("%i", "7700");
    let manifest = read("docs/deploy/kubernetes/serve.yaml");
    let arguments = manifest.lines().find_map(|line| line.trim().strip_prefix("args: ")).unwrap();
    let arguments: Vec<String> = serde_json::from_str(arguments).unwrap();
    let arguments =
        arguments.iter().map(|word| word.replace("0.0.0.0:9464", "127.0.0.1:0").replace("$(NAME)", "acme-0"));
    let pod = [vec!["mpc".to_owned()], arguments.collect()].concat();
    for words in [start.split(' ').map(str::to_owned).collect(), pod] {
        site.run(&Line { organisation: "acme-1".to_owned(), words });
    }
    site.stop_all();
}

/// Manual pages and completions have all commands.
fn check_generated(folder: &Path) {
    let names = command_names();
    assert!(names.len() >= 13, "{names:?}");
    for name in names.iter().filter(|name| *name != "help") {
        assert!(folder.join(format!("man1/mpc-{name}.1")).is_file(), "no page of {name}");
        for file in ["mpc.bash", "mpc.fish", "_mpc"] {
            let completions = fs::read_to_string(folder.join("completions").join(file)).unwrap();
            assert!(completions.contains(name), "{file} has no {name}");
        }
    }
}

/// The services as systemd and containers start them.
fn start_as_written(site: &mut Site) {
    let organisation = |words: &[String]| if words[1] == "dealer" { "dealer" } else { "acme" }.to_owned();
    let mut starts = Vec::new();
    for file in ["mpc-dealer.service", "mpc-serve.service"] {
        let unit = read(&format!("docs/deploy/{file}"));
        for setting in HARDENED {
            assert!(unit.lines().any(|line| line == setting), "{file} has no {setting}");
        }
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
        starts.push(start.split(' ').map(str::to_owned).collect::<Vec<_>>());
    }
    let compose = read("docs/deploy/compose.yaml");
    for command in compose.lines().filter_map(|line| line.trim().strip_prefix("command: ")) {
        let words: Vec<String> = serde_json::from_str(command).unwrap();
        starts.push([vec!["mpc".to_owned()], words].concat());
    }
    assert_eq!(starts.len(), 4);
    assert!(read("docs/deploy/Dockerfile").contains("ENTRYPOINT [\"/usr/local/bin/mpc\"]"));
    for words in starts {
        site.run(&Line { organisation: organisation(&words), words });
    }
    site.stop_all();
}

#[test]
fn every_flag_in_the_guide_exists() {
    let mut known = help(&["--help"]);
    for name in command_names().iter().filter(|name| *name != "help") {
        known += &help(&[name, "--help"]);
    }
    let guide = read("docs/deploy.md") + &read("docs/scale.md");
    let without_shell = guide.split("```sh\n").enumerate();
    let text: String =
        without_shell.map(|(at, part)| if at == 0 { part } else { part.split_once("```").unwrap().1 }).collect();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let flags: BTreeSet<_> =
        words.filter(|word| word.starts_with("--") && word.len() > 3 && !word.starts_with("---")).collect();
    assert!(flags.len() > 20, "{flags:?}");
    let unknown: Vec<_> =
        flags.into_iter().filter(|flag| !OTHERS_FLAGS.contains(flag) && !known.contains(*flag)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The certificates that each organisation sends the others, before anything is served.
const EXCHANGE: &str = "
acme$ scp acme.crt dealer.example:
acme$ scp acme.crt clinic.example:
dealer$ scp dealer.crt acme.example:
dealer$ scp dealer.crt clinic.example:
clinic$ scp clinic.crt acme.example:
clinic$ scp clinic.crt dealer.example:
";

/// The journey of a README; between its commands, what people send each other.
fn check_journey(readme: &str) {
    let mut site = Site::new();
    let clear = network(&site, &["acme", "clinic", "anyone"]);
    site.run_all("dealer$ mpc keygen --name dealer\nclinic$ mpc keygen --name clinic\n");
    let journey = commands(readme).into_iter().filter(|line| line.words[0] == "mpc");
    let mut results = 0;
    for line in journey {
        site.run(&line);
        results += usize::from(check_result(&site, &line, &clear));
        if line.is("keygen") {
            site.run_all(EXCHANGE);
        }
        if line.is("pack") {
            site.run_all("acme$ scp net.public clinic.example:");
        }
    }
    assert_eq!(results, 1);
    site.stop_all();
}

#[test]
fn the_journeys_of_the_readmes_run() {
    check_journey(&read("mpc-cli/README.md"));
    let readme = read("README.md");
    let (_, section) = readme.split_once("## Between organisations\n").unwrap();
    check_journey(section.split("\n## ").next().unwrap());
}
