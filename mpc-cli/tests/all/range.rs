//! Inputs beyond the range: what `mpc run` refuses in the clear, a data owner is told of before anything is sent.

use crate::run::{File, assert_refused, command, stderr};
use crate::samples::{field, node};

/// A tensor of integers of no axis, or a value of one of shape [1].
fn integer(name: &str, value: Option<u32>) -> Vec<u8> {
    let Some(mut value) = value else {
        let kind = [vec![8, 7], field(2, &field(1, &[8, 1]))].concat();
        return [field(1, name.as_bytes()), field(2, &field(1, &kind))].concat();
    };
    let mut varint = Vec::new();
    while value > 127 {
        varint.push(value as u8 | 128);
        value >>= 7;
    }
    varint.push(value as u8);
    [vec![16, 7], field(7, &varint), field(8, name.as_bytes())].concat()
}

/// A Cast to floats.
fn cast(input: &str, output: &str) -> Vec<u8> {
    let to = [field(1, b"to"), vec![24, 1, 160, 1, 2]].concat();
    let mut cast = node("Cast", &[input], output);
    cast.extend(field(5, &to));
    cast[1] = (cast.len() - 2) as u8;
    cast
}

/// A table's number of 20,000 by an integer, and the integer itself.
fn model() -> Vec<u8> {
    let constants = [("zero", 0), ("rows", 20_000), ("one", 1), ("two", 2)];
    let constants = constants.map(|(name, value)| field(5, &integer(name, Some(value)))).concat();
    let nodes = [
        node("Range", &["zero", "rows", "one"], "range"),
        node("Div", &["range", "two"], "halves"),
        cast("halves", "table"),
        node("Gather", &["table", "ids"], "chosen"),
        cast("ids", "number"),
        node("Add", &["chosen", "number"], "y"),
    ];
    let output = [field(1, b"y"), field(2, &field(1, &[8, 1]))].concat();
    let inside = [nodes.concat(), field(2, b"g"), constants, field(11, &integer("ids", None)), field(12, &output)];
    let inside = inside.concat();
    let length = [inside.len() as u8 | 128, (inside.len() >> 7) as u8];
    [&[8, 8], &field(8, &[16, 17])[..], &[7 << 3 | 2], &length, &inside].concat()
}

fn ids(name: &str, value: f32) -> File {
    File::new(name, &mpc_models::arrays::write_npy(&ndarray::arr1(&[value]).into_dyn()))
}

#[test]
fn integers_that_are_computed_with_are_below_the_bound() {
    let model = File::new("range.onnx", &model());
    let (fits, beyond) = (ids("range-fits.npy", 8_000.0), ids("range-beyond.npy", 16_384.0));
    let run = command(&["run", model.path(), "--input", fits.path(), "--json"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_refused(&[model.path(), "--input", beyond.path()], "reaches 16384");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let succeeds = |words: &[&str]| {
        let done = command(words);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    };
    succeeds(&["pack", model.path(), "--output", &at("net.public"), &at("net.private")]);
    for name in ["clinic", "acme", "dealer"] {
        succeeds(&["keygen", "--name", name, "--out", &folder.path().display().to_string()]);
    }
    // Nobody is there, so that a query that went on would end with code 4.
    let peer = |name: &str| format!("127.0.0.1:1={}", at(&format!("{name}.crt")));
    let (key, server, dealer, public) = (at("clinic.key"), peer("acme"), peer("dealer"), at("net.public"));
    let live = ["--key", &key, "--connect", &server, "--dealer", &dealer];
    let store = at("store");
    let query = |input: &File, more: &[&str]| {
        let asked = command(&[&["query", &public, input.path()], &live[..], more].concat());
        (asked.status.code(), stderr(&asked))
    };
    for more in [&[][..], &["--store", &store]] {
        let (code, text) = query(&beyond, more);
        assert!(code == Some(2) && text.contains("reach 16384") && text.contains("nothing was sent"), "{text}");
    }
    let (code, text) = query(&fits, &[]);
    assert_eq!(code, Some(4), "{text}");
}
