//! The page in a real browser: it draws, asks, reads the answer, and says what is wrong.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use mpc_cli::reserved::Reserved;
use mpc_models::Model;
use mpc_models::tensors::write_tensor;
use mpc_nn::{Network, evaluate};
use mpc_service::{PrivateModel, Terms, Topology};
use ndarray::ArrayD;
use serde_json::Value;

use super::authority::Authority;
use super::browser::{Browser, DOWN, ENTER, RIGHT, UP};
use super::https::secure;
use super::site::{Site, TOKEN};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mpc");
/// A two, in pixels from the centre of the sheet.
const TWO: [(i32, i32); 10] =
    [(-60, -50), (-35, -85), (15, -90), (50, -60), (45, -20), (5, 25), (-40, 65), (-65, 90), (0, 90), (70, 90)];
const ENDED: &str = "const state = document.getElementById('answer').dataset.state; \
                     return ['done', 'failed'].includes(state) && !document.body.classList.contains('busy')";

/// Opens the page and waits until it hears: it has its servers from a description that it loads first.
fn open(browser: &Browser, link: &str) {
    browser.open(link);
    browser.until("return document.querySelector('.server') !== null");
}

fn browser() -> Option<Browser> {
    Browser::start().map_err(|reason| eprintln!("skipped: {reason}")).ok()
}

/// The input that the page has shown, in its channel.
fn input(browser: &Browser) -> ArrayD<f64> {
    let pixels = browser.run(
        "const canvas = document.getElementById('input'); const { width, height } = canvas; \
         return [...canvas.getContext('2d').getImageData(0, 0, width, height).data].filter((_, at) => at % 4 === 0)",
    );
    // A level of 0 to 16 parts of ink has a grey of its own.
    let level = |grey: &Value| (16.0 * (1.0 - grey.as_f64().unwrap() / 255.0)).round() / 8.0 - 1.0;
    let levels = pixels.as_array().unwrap().iter().map(level).collect();
    ArrayD::from_shape_vec(vec![1, 1, 32, 32], levels).unwrap()
}

/// The numbers that the page has got, and the class.
fn answer(browser: &Browser) -> (Vec<f64>, String) {
    browser.until(ENDED);
    let shown = "const { outputs, class: best } = document.getElementById('answer').dataset; \
                 return outputs === undefined ? null : [JSON.parse(outputs)[0], best]";
    let shown = browser.run(shown);
    assert!(shown.is_array(), "no answer: {:?}", problem(browser));
    let numbers = shown[0].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    (numbers, shown[1].as_str().unwrap().to_owned())
}

fn problem(browser: &Browser) -> (String, String) {
    let problem = browser.until(
        "const problem = document.getElementById('problem'); \
         return !problem.hidden && [problem.dataset.code, problem.textContent]",
    );
    (problem[0].as_str().unwrap().to_owned(), problem[1].as_str().unwrap().to_owned())
}

/// The class that `mpc run` gives an input.
fn class_of_run(input: &ArrayD<f64>) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let given = folder.path().join("x.npy");
    write_tensor(&given, input, &[1, 1, 32, 32]).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["run", "lenet", "--json", "--input"]).arg(&given);
    let ran = command.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let ran: Value = serde_json::from_slice(&ran.stdout).unwrap();
    ran["images"][0]["predicted"].as_u64().unwrap()
}

/// The network's output in the clear.
pub fn clear(input: &ArrayD<f64>) -> Vec<f64> {
    let network = lenet();
    let input = input.mapv(|value| value as f32);
    let outputs = evaluate(&network.graph, &network.weights, &[input]).unwrap();
    outputs[0].iter().map(|&value| f64::from(value)).collect()
}

fn check(browser: &Browser) {
    let (numbers, class) = answer(browser);
    let input = input(browser);
    let expected = clear(&input);
    assert_eq!(numbers.len(), expected.len());
    for (page, clear) in numbers.iter().zip(&expected) {
        assert!((page - clear).abs() < 0.01, "{numbers:?} instead of {expected:?}");
    }
    assert_eq!(class, class_of_run(&input).to_string());
}

fn lenet() -> Network {
    let lenet = Model::by_name("lenet").unwrap();
    lenet.network(lenet.graph(1).unwrap(), lenet.bundled_weights().unwrap()).unwrap()
}

/// `mpc demo`; it ends with its input.
struct Demo(Child);

impl Demo {
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--stop-with-input"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let link = lines.find(|line| line.contains("http://")).map(|line| line.trim().to_owned());
        (Self(child), link.expect("the demonstration prints its link"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Keeps a picture of the page for the documentation, where that is wanted.
fn keep(browser: &Browser, name: &str) {
    let picture = browser.screenshot();
    assert!(picture.starts_with(b"\x89PNG"));
    if std::env::var_os("MPC_WRITE_SCREENSHOTS").is_some() {
        fs::write(format!("{}/../docs/{name}.png", env!("CARGO_MANIFEST_DIR")), picture).unwrap();
    }
}

#[test]
fn a_digit_that_is_drawn_has_the_class_that_mpc_run_gives_it() {
    let Some(browser) = browser() else { return };
    let (_demo, link) = Demo::start(&[]);
    browser.window(1240, 1000, "light");
    open(&browser, &link);
    assert_eq!(browser.run("return document.querySelectorAll('.server').length"), 2);
    assert_eq!(browser.run("return location.hash"), "", "the token stays in the address");
    browser.draw("#drawing", &TWO);
    browser.click("#ask");
    check(&browser);
    assert_eq!(browser.run("return document.getElementById('dealing').hidden"), false);
    assert!(browser.run("return document.getElementById('facts').innerText").as_str().unwrap().contains(" s"));
    keep(&browser, "page-light");
    browser.window(1240, 1000, "dark");
    // The ink is light on a dark sheet, that which is there already, too.
    browser.until(
        "const { data } = document.getElementById('drawing').getContext('2d').getImageData(0, 0, 320, 320); \
         return data[data.findIndex((value, at) => at % 4 === 3 && value === 255) - 3] > 128",
    );
    browser.click("#clear");
    assert_eq!(browser.run("return document.getElementById('ask').disabled"), true);
    browser.draw("#drawing", &TWO);
    browser.click("#ask");
    check(&browser);
    keep(&browser, "page-dark");

    // On a phone nothing is wider than the window.
    browser.window(390, 1500, "light");
    assert_eq!(browser.run("return document.documentElement.scrollWidth <= 390"), true);

    // With the keyboard alone: a stroke down is a one.
    browser.click("#clear");
    browser.press(&[[UP; 8].as_slice(), &[' '], &[DOWN; 16], &[' ']].concat());
    browser.press(&[RIGHT, ENTER]);
    check(&browser);
    assert_eq!(browser.run("return document.getElementById('class').textContent"), "1");
}

#[test]
fn two_servers_without_a_dealer_recognise_a_digit() {
    let Some(browser) = browser() else { return };
    let (_demo, link) = Demo::start(&["--no-dealer"]);
    browser.window(1240, 1000, "light");
    open(&browser, &link);
    browser.draw("#drawing", &TWO);
    browser.click("#ask");
    check(&browser);
    assert_eq!(browser.run("return document.getElementById('dealing').hidden"), true);
}

pub fn model() -> PrivateModel {
    PrivateModel::new(lenet(), Terms { setting: Topology::Outsourced, ..Terms::default() }).unwrap()
}

#[test]
fn page_and_servers_with_certificates_of_their_own_recognise_a_digit() {
    let authority = Authority::new();
    let hash = authority.give("web", 1);
    let Ok(browser) = Browser::trusting(Some(&hash)).map_err(|reason| eprintln!("skipped: {reason}")) else { return };
    let reserved = Reserved::new().unwrap();
    let site = secure(&authority, "web", &format!("https://{}", reserved.address()), &model());
    let certified = |command: &mut Command| authority.certify(command, "web");
    let (_page, link) = site.page_with(&site.keys(), reserved.address(), certified);
    assert!(link.starts_with("https://"), "{link}");
    browser.window(1240, 1000, "light");
    open(&browser, &format!("{link}#{TOKEN}"));
    browser.draw("#drawing", &TWO);
    browser.click("#ask");
    check(&browser);
}

#[test]
fn what_is_wrong_is_said() {
    let Some(browser) = browser() else { return };
    let model = model();
    let reserved = Reserved::new().unwrap();
    let mut site = Site::start(&model, &format!("http://{}", reserved.address()));
    browser.window(1240, 1000, "light");
    let ask = |code: &str, words: &str| {
        browser.draw("#drawing", &TWO);
        browser.click("#ask");
        let (found, text) = problem(&browser);
        assert_eq!(found, code, "{text}");
        assert!(text.contains(words), "{text}");
    };

    let mut keys = site.keys();
    keys[1] = "5".repeat(64);
    let (page, link) = site.page(&keys, reserved.address());
    open(&browser, &format!("{link}#{TOKEN}"));
    ask("wrong-key", "Server 2");
    drop(page);

    let keys = site.keys();
    let (_other, other) = site.page(&keys, SocketAddr::from(([127, 0, 0, 1], 0)));
    open(&browser, &format!("{other}#{TOKEN}"));
    ask("origin", "does not let pages of http://127.0.0.1");

    let (_page, link) = site.page(&keys, reserved.address());
    open(&browser, &link);
    browser.run("sessionStorage.clear()");
    open(&browser, &link);
    ask("no-token", "token");
    open(&browser, &format!("{link}#{}", "x".repeat(32)));
    ask("unknown-token", "not known");

    pictures(&browser, &site, &format!("{link}#{TOKEN}"));

    // Whoever could listen and send a request once more is refused by the server.
    open(&browser, &format!("{link}#{TOKEN}"));
    browser.run(
        "const once = window.fetch; window.fetch = async (at, options) => { \
         if (options?.method === 'POST') { await once(at, options); } return once(at, options); }",
    );
    ask("replayed", "sent before");

    site.servers[1].process.kill();
    open(&browser, &format!("{link}#{TOKEN}"));
    ask("gone", "Server 2");
}

/// Pictures in place of a drawing.
fn pictures(browser: &Browser, site: &Site, link: &str) {
    open(browser, link);
    let large = site.path("large.png");
    fs::File::create(&large).unwrap().set_len((20 << 20) + 1).unwrap();
    browser.send_keys("#file", large.to_str().unwrap());
    let (code, text) = problem(browser);
    assert!(code == "picture" && text.contains("20.0 MB"), "{text}");
    fs::write(&large, "no picture").unwrap();
    browser.send_keys("#file", large.to_str().unwrap());
    browser.until("return document.getElementById('problem').textContent.includes('no picture that this browser')");

    // A picture of a digit is one, too: white on black as black on white.
    let picture = site.path("two.png");
    image::GrayImage::from_fn(90, 90, |x, y| {
        image::Luma([if x.abs_diff(45) < 6 && y.abs_diff(45) < 38 { 255 } else { 0 }])
    })
    .save(&picture)
    .unwrap();
    browser.send_keys("#file", picture.to_str().unwrap());
    browser.until("return !document.getElementById('ask').disabled");
    browser.click("#ask");
    check(browser);
}
