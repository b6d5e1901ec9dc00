//! Vectors that both sides run: what this side makes is what the file says, and what `node` makes of the file is the same.

use std::fs;
use std::process::Command;

use hpke::kem::X25519HkdfSha256;
use hpke::{Kem, Serializable};
use mpc_nn::delegation::{OutputShare, reconstruct, split_inputs};
use mpc_nn::{ENCODING_VERSION, Network, Plan};
use mpc_ring::FixedPoint;
use mpc_service::web::{Description, Place, WebKey};
use mpc_service::{PublicModel, Reveal, Terms, Topology};
use mpc_shares::{Prg, Seed};
use ndarray::ArrayD;
use rand_core::Rng;
use serde_json::{Value, json};

use super::requests::{Sealed, seal_with};
use crate::support::network;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/test/vectors.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn expand(seed: [u8; 32], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Prg::new(Seed::from_bytes(seed)).fill_bytes(&mut bytes);
    bytes
}

/// Seeds whose counters begin at 0, at random, and before each place where a carry passes on.
fn seeds() -> Value {
    let mut carries = [[7; 32]; 4];
    carries[0][16..].fill(0);
    carries[2][16..24].fill(0xff);
    carries[3][16..].fill(0xff);
    let vectors = carries.map(|seed| json!({ "seed": hex(&seed), "bytes": hex(&expand(seed, 16 * 5 + 3)) }));
    Value::from(vectors.to_vec())
}

fn model(parties: u8, reveal: Reveal) -> PublicModel {
    let network: Network = network();
    let terms = Terms { setting: Topology::Outsourced, parties, reveal, ..Terms::default() };
    PublicModel::new(&network, terms).unwrap()
}

fn description(model: &PublicModel) -> Value {
    let place = |party: u8| Place { urls: vec![format!("https://server{party}.example")], key: WebKey([party; 32]) };
    let places = (0..model.terms.parties).map(place).collect();
    serde_json::to_value(Description::new(model, places, Some([9; 32]), None).unwrap()).unwrap()
}

/// Numbers of every kind: halves of a unit in both directions, the smallest, the largest that fits.
fn values() -> Vec<f32> {
    let unit = 1.0 / 65536.0;
    vec![0.0, -0.0, 1.5 * unit, -1.5 * unit, 0.5 * unit, 0.499_999_97 * unit, -16383.0, 3.333_333_3]
}

fn encoding() -> Value {
    let fixed = FixedPoint::new(16);
    let elements = values().into_iter().map(|value| fixed.encode::<u64>(f64::from(value)).unwrap().to_string());
    let elements: Vec<_> = elements.collect();
    json!({ "model": description(&model(2, Reveal::Full)), "values": values(), "elements": elements })
}

fn split() -> Value {
    let model = model(3, Reveal::Full);
    let plan = model.plan::<u64>().unwrap();
    let generator = || Prg::new(Seed::from_bytes([5; 32]));
    let mut seeds = generator();
    let seeds: Vec<_> = (0..2).map(|_| hex(seeds.seed().expose())).collect();
    let input = ArrayD::from_shape_vec(plan.graph().node(plan.graph().inputs()[0]).shape(), values()).unwrap();
    let shares = split_inputs(&plan, &[input], &mut generator()).unwrap();
    let shares: Vec<_> = shares.iter().map(|share| hex(&share.to_bytes())).collect();
    json!({ "model": description(&model), "values": values(), "seeds": seeds, "shares": shares })
}

/// Shares of results that add up to `total`.
fn result(parties: u8, reveal: Reveal, total: &[i64]) -> Value {
    let model = model(parties, reveal);
    let plan: Plan<u64> = model.plan().unwrap();
    let mut generator = Prg::new(Seed::from_bytes([6; 32]));
    let mut rest: Vec<u64> = total.iter().map(|&value| value as u64).collect();
    let mut bytes = Vec::new();
    for party in 0..parties {
        let elements: Vec<u64> = match party + 1 == parties {
            true => rest.clone(),
            false => rest.iter().map(|_| generator.next_u64()).collect(),
        };
        rest.iter_mut().zip(&elements).for_each(|(left, &element)| *left = left.wrapping_sub(element));
        let [low, high] = ENCODING_VERSION.to_le_bytes();
        let mut share = vec![b'm', b'p', b'c', 5, low, high, party];
        share.extend_from_slice(&plan.digest());
        share.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
        bytes.push(share);
    }
    let shares = bytes.iter().enumerate();
    let shares: Vec<_> = shares.map(|(party, bytes)| OutputShare::from_bytes(&plan, party, bytes).unwrap()).collect();
    let outputs = reconstruct(&plan, &shares).unwrap();
    let outputs: Vec<Vec<f64>> = outputs.into_iter().map(|output| output.into_iter().collect()).collect();
    let shares: Vec<_> = bytes.iter().map(|bytes| hex(bytes)).collect();
    json!({ "model": description(&model), "shares": shares, "outputs": outputs })
}

fn sealing() -> Value {
    type Suite = X25519HkdfSha256;
    let (_, public) = Suite::derive_keypair(&[1; 32]);
    let (secret, ephemeral) = Suite::derive_keypair(&expand([8; 32], 32));
    let plain: Vec<u8> = (0..100).collect();
    let mut generator = Prg::new(Seed::from_bytes([8; 32]));
    let Sealed { request, key, nonce } = seal_with(&mut generator, &public.to_bytes(), &plain);
    let opened = b"a share of a result";
    let mut answer = opened.to_vec();
    let cipher = ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, &key).unwrap();
    let unique = ring::aead::Nonce::assume_unique_for_key(nonce);
    let sealer = ring::aead::LessSafeKey::new(cipher);
    sealer.seal_in_place_append_tag(unique, ring::aead::Aad::empty(), &mut answer).unwrap();
    json!({
        "key": hex(&public.to_bytes()),
        "ephemeral": { "secret": hex(&secret.to_bytes()), "public": hex(&ephemeral.to_bytes()) },
        "plain": hex(&plain),
        "request": hex(&request),
        "answerKey": hex(&key),
        "answerNonce": hex(&nonce),
        "answer": hex(&answer),
        "opened": hex(opened),
    })
}

/// All of them. `MPC_WRITE_VECTORS=1` writes the file anew, where a format has changed on purpose.
#[test]
fn this_side_makes_the_vectors() {
    let results = [
        result(2, Reveal::Full, &[1 << 40, -(1 << 40), 3, -1]),
        result(4, Reveal::Full, &[0, 1, 2, -12_345_678]),
        result(2, Reveal::Class, &[2]),
        // Above the lowest bits of an index is whatever the shares leave there.
        result(3, Reveal::Class, &[(77 << 32) + 3]),
    ];
    let vectors = json!({
        "seeds": seeds(),
        "encoding": encoding(),
        "split": split(),
        "results": results,
        "sealing": sealing(),
    });
    if std::env::var_os("MPC_WRITE_VECTORS").is_some() {
        fs::write(FILE, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
    }
    let file: Value = serde_json::from_slice(&fs::read(FILE).unwrap()).unwrap();
    assert!(file == vectors, "{FILE} is not what this side makes: run with MPC_WRITE_VECTORS=1 if that is on purpose");
}

/// Whether there is a node that can run the module; else says why a test is skipped.
pub fn is_node() -> bool {
    let Ok(version) = Command::new("node").arg("--version").output() else {
        eprintln!("skipped: node is not installed (`apt-get install nodejs`)");
        return false;
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) {
        eprintln!("skipped: node {} is older than 20 and does not know X25519", version.trim());
        return false;
    }
    true
}

#[test]
fn the_module_of_the_page_makes_the_same() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
    if !is_node() {
        return;
    }
    let tested = Command::new("node").args(["--test", "test/"]).current_dir(folder).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
}
