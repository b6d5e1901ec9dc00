// The module against vectors that the Rust side has made (mpc-cli/tests/all/page/vectors.rs): `node --test`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { MpcError, add, allows, choose, encode, expand, facts, hex, open, places, seal, split } from "../mpc.js";

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url)));
const digits = (bytes) => Buffer.from(bytes).toString("hex");

test("seeds stand for the same bytes", async () => {
  for (const { seed, bytes } of vectors.seeds) {
    assert.equal(digits(await expand(hex(seed), bytes.length / 2)), bytes);
  }
});

test("numbers have the same fixed point", () => {
  const { model, values, elements } = vectors.encoding;
  assert.deepEqual([...encode(model, [values])].map(String), elements);
});

test("inputs that do not fit are refused", () => {
  const { model, values } = vectors.encoding;
  for (const wrong of [Infinity, NaN, model.bound, -model.bound]) {
    assert.throws(() => encode(model, [[wrong, ...values.slice(1)]]), (error) => error instanceof MpcError && error.code === "input");
  }
  assert.throws(() => encode(model, [values.slice(1)]), MpcError);
  assert.throws(() => encode(model, []), MpcError);
});

test("shares are the same bytes, and their sum is the secret", async () => {
  const { model, values, seeds, shares } = vectors.split;
  const secret = encode(model, [values]);
  const given = seeds.map(hex);
  const sum = new BigUint64Array(secret.length);
  const seen = (_, share) => share.forEach((element, at) => (sum[at] += element));
  const made = await split(model, secret, seen, () => given.shift());
  assert.deepEqual(made.map(digits), shares);
  assert.deepEqual(sum, secret);
});

test("shares of a result add up to the same numbers", () => {
  for (const { model, shares, outputs } of vectors.results) {
    const given = shares.map(hex);
    assert.deepEqual(add(model, given).map((numbers) => [...numbers]), outputs);
    const of = (code) => (error) => error instanceof MpcError && error.code === code;
    assert.throws(() => add(model, [given[1], given[0], ...given.slice(2)]), of("answer"));
    assert.throws(() => add(model, [given[0].subarray(1), ...given.slice(1)]), of("answer"));
  }
});

test("requests are sealed to the same bytes, and answers opened", async () => {
  const { key, ephemeral, plain, request, answerKey, answerNonce, answer, opened } = vectors.sealing;
  const base64 = (digits) => Buffer.from(digits, "hex").toString("base64url");
  const jwk = { kty: "OKP", crv: "X25519", d: base64(ephemeral.secret), x: base64(ephemeral.public) };
  const privateKey = await crypto.subtle.importKey("jwk", jwk, { name: "X25519" }, true, ["deriveBits"]);
  const publicKey = await crypto.subtle.importKey("raw", hex(ephemeral.public), { name: "X25519" }, true, []);
  const sealed = await seal(hex(key), hex(plain), { privateKey, publicKey });
  assert.equal(digits(sealed.request), request);
  assert.equal(digits(sealed.answerKey), answerKey);
  assert.equal(digits(sealed.answerNonce), answerNonce);
  assert.equal(digits(await open(sealed, hex(answer), 0)), opened);
  const changed = hex(answer);
  changed[3] ^= 1;
  await assert.rejects(open(sealed, changed, 0), (error) => error.code === "answer");
  const fresh = await seal(hex(key), hex(plain));
  assert.notEqual(digits(fresh.request.subarray(0, 32)), ephemeral.public);
});

test("a session uses a model that all servers have", () => {
  const deposit = (owner, version, used) => ({ owner, version, used });
  const both = [deposit("a", "1", true), deposit("a", "2", false)];
  assert.equal(choose([both, both], null).version, "1");
  assert.equal(choose([[deposit("a", "2", true)], both], null).version, "2");
  const code = (code) => (error) => error instanceof MpcError && error.code === code;
  assert.throws(() => choose([[deposit("a", "1", true)], [deposit("a", "2", true)]], null), code("no-model"));
  const two = [deposit("a", "1", true), deposit("b", "7", true)];
  assert.throws(() => choose([two, two], null), code("several-owners"));
  assert.equal(choose([two, two], "b").version, "7");
  assert.throws(() => choose([two, two], "c"), code("no-model"));
});

test("servers are told of the dealer, or by zeros of none", async () => {
  const { model } = vectors.encoding;
  const deposit = { owner: "a1".repeat(32), version: "b2".repeat(16), used: true };
  const told = await facts(model, deposit);
  assert.equal(told.length, 32 + 16 + 32 + 32);
  assert.equal(digits(told.subarray(0, 80)), deposit.owner + deposit.version + model.dealer);
  const zeros = await facts({ ...model, dealer: null }, deposit);
  assert.equal(digits(zeros.subarray(48, 80)), "00".repeat(32));
  assert.equal(digits(zeros.subarray(80)), digits(told.subarray(80)));
});

test("servers are told where those before them are", () => {
  assert.equal(places([]).length, 0);
  const told = places(["a.example:7700", null]);
  assert.equal(told.length, 2 * 262);
  assert.equal(digits(told.subarray(0, 16)), "0e00" + Buffer.from("a.example:7700").toString("hex"));
  assert.ok(told.subarray(16).every((byte) => byte === 0));
  assert.throws(() => places(["a".repeat(261)]), (error) => error.code === "elsewhere");
});

test("a machine is where the page may expect it", () => {
  const listed = ["https://a.example", "https://*.a.example:7900"];
  for (const right of ["https://a.example", "https://n1.a.example:7900", "https://n-1.x.A.example:7900".toLowerCase()]) {
    assert.ok(allows(listed, right), right);
  }
  const wrong = [
    "https://a.example:7900",
    "https://n1.a.example",
    "http://n1.a.example:7900",
    "https://evil.example/.a.example:7900",
    "https://evil.example#.a.example:7900",
    "https://u@n1.a.example:7900",
    "https://.a.example:7900",
    "https://n1..a.example:7900",
    "https://n1a.example:7900",
    "https://*.a.example:7900",
    "https://a.example:7900.evil.example",
    "https://",
    "",
  ];
  for (const said of wrong) {
    assert.ok(!allows(listed, said), said);
  }
});
