/**
 * Private inference from a browser: splits an input among servers that hold shares of a model, and adds their shares of the
 * result. No server sees the input or the result. The module needs WebCrypto and nothing else.
 *
 * docs/web.md of the project has the messages byte by byte, and what this protects and what it does not.
 */
/** Why there is no result. */
export class MpcError extends Error {
    /** How programs tell it from others; of servers, the codes of docs/web.md. */
    code;
    /** The server that it is about, counted from 0. */
    server;
    constructor(code, message, server) {
        super(message);
        this.name = "MpcError";
        this.code = code;
        this.server = server;
    }
}
const VERSION = 2;
const INPUT_SHARE = 4;
const OUTPUT_SHARE = 5;
const HEADER_BYTES = 39;
const FINGERPRINT_BYTES = 32;
const ADDRESS_BYTES = 260;
const SEED_BYTES = 32;
const BLOCK_BYTES = 16;
/** Blocks of the generator that are asked for at a time. */
const BATCH = 1024;
const REQUEST_MILLISECONDS = 60_000;
/** How long the first answer of a machine is waited for, where there is another one. */
const OFFER_MILLISECONDS = 10_000;
const PROBE_MILLISECONDS = 5_000;
const INFERENCE_MILLISECONDS = 600_000;
/** The first pause between questions whether a result is there, and the longest. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1_000;
/**
 * Runs one inference: `inputs` in the order of the description's, each in row-major order.
 *
 * Nothing of the inputs is sent before every server has said that it is there, has the key that this page was made for, works
 * with the same dealer, and holds a share of a model that all of them have.
 */
export async function query(model, inputs, options) {
    check(model);
    const secret = encode(model, inputs);
    const limit = AbortSignal.timeout(INFERENCE_MILLISECONDS);
    const ended = new AbortController();
    const signal = AbortSignal.any([limit, ended.signal, ...(options.signal ? [options.signal] : [])]);
    const began = performance.now();
    try {
        options.onStage?.("asking");
        const servers = model.servers.map((server, at) => new Server(server.urls, at, options.token, signal));
        const offers = await Promise.all(servers.map((server) => server.offer(model)));
        const deposit = choose(offers.map((offer) => offer.deposits), model.model_owner);
        options.onStage?.("sealing");
        const shares = await split(model, secret, options.onShare);
        const common = await facts(model, deposit);
        const session = crypto.getRandomValues(new Uint8Array(16));
        const addresses = offers.map((offer) => offer.address);
        const sealing = offers.map((offer, at) => seal(hex(model.servers[at].key), join(session, hex(offer.ticket), common, places(addresses.slice(0, at)), shares[at])));
        const sealed = await Promise.all(sealing);
        shares.forEach((share) => share.fill(0));
        options.onStage?.("computing");
        const asked = servers.map(async (server, at) => {
            const answer = await server.infer(model.plan, sealed[at].request);
            return open(sealed[at], answer, at);
        });
        const answers = await Promise.all(asked);
        options.onStage?.("adding");
        const outputs = add(model, answers);
        return {
            outputs,
            seconds: (performance.now() - began) / 1000,
            sent: sealed.reduce((sum, { request }) => sum + request.length, 0),
            received: answers.reduce((sum, answer) => sum + answer.length + 16, 0),
        };
    }
    catch (error) {
        if (limit.aborted) {
            throw new MpcError("timeout", `The servers gave no result within ${INFERENCE_MILLISECONDS / 1000} seconds.`);
        }
        throw error;
    }
    finally {
        secret.fill(0n);
        // What the other servers were asked is asked no more.
        ended.abort();
    }
}
/** Refuses a description that this module does not understand, and a browser that cannot do it. */
function check(model) {
    if (model.version !== VERSION) {
        throw new MpcError("version", `The page's description has version ${model.version}, and this module reads ${VERSION}.`);
    }
    if (model.servers.length < 2 || model.servers.length > 8) {
        throw new MpcError("description", "A description names 2 to 8 servers.");
    }
    if (!model.servers.every(({ urls }) => urls.some(isCalled))) {
        throw new MpcError("description", "A description has an address for each server.");
    }
    if (globalThis.crypto?.subtle === undefined) {
        throw new MpcError("insecure", "This browser encrypts only on pages that were loaded over https.");
    }
}
/** The inputs in fixed point: the integer nearest to x · 2^f modulo 2^64, halves away from zero. */
export function encode(model, inputs) {
    if (inputs.length !== model.inputs.length) {
        throw new MpcError("input", `The network takes ${model.inputs.length} inputs, not ${inputs.length}.`);
    }
    const sizes = model.inputs.map((input) => size(input.shape));
    const elements = new BigUint64Array(sizes.reduce((sum, count) => sum + count, 0));
    const one = 2 ** model.fractional_bits;
    let place = 0;
    inputs.forEach((values, at) => {
        const { name } = model.inputs[at];
        if (values.length !== sizes[at]) {
            throw new MpcError("input", `The input “${name}” has ${sizes[at]} numbers, not ${values.length}.`);
        }
        for (let index = 0; index < values.length; index++) {
            // The servers' side computes with numbers of 32 bits.
            const value = Math.fround(values[index]);
            if (!(Math.abs(value) < model.bound)) {
                throw new MpcError("input", `Number ${index} of the input “${name}” is not between ±${model.bound}.`);
            }
            const scaled = Math.abs(value * one);
            const whole = Math.trunc(scaled);
            const rounded = scaled - whole >= 0.5 ? whole + 1 : whole;
            elements[place++] = BigInt(value < 0 ? -rounded : rounded);
        }
    });
    return elements;
}
/** The bytes that a seed stands for: AES-128 in counter mode, the counter with its lowest byte first. */
export async function expand(seed, length) {
    const key = await crypto.subtle.importKey("raw", seed.slice(0, BLOCK_BYTES), "AES-CTR", false, ["encrypt"]);
    const start = new DataView(seed.buffer, seed.byteOffset + BLOCK_BYTES, BLOCK_BYTES);
    let [low, high] = [start.getBigUint64(0, true), start.getBigUint64(8, true)];
    const stream = new Uint8Array(Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES);
    const zeros = new Uint8Array(BLOCK_BYTES);
    // WebCrypto counts with the highest byte first, so each block is a message of its own.
    for (let at = 0; at < stream.length;) {
        const batch = [];
        for (; batch.length < BATCH && at + batch.length * BLOCK_BYTES < stream.length;) {
            const counter = new Uint8Array(BLOCK_BYTES);
            const view = new DataView(counter.buffer);
            view.setBigUint64(0, low, true);
            view.setBigUint64(8, high, true);
            low = BigInt.asUintN(64, low + 1n);
            high = low === 0n ? BigInt.asUintN(64, high + 1n) : high;
            batch.push(crypto.subtle.encrypt({ name: "AES-CTR", counter, length: 128 }, key, zeros));
        }
        for (const block of await Promise.all(batch)) {
            stream.set(new Uint8Array(block), at);
            at += BLOCK_BYTES;
        }
    }
    return stream.slice(0, length);
}
/** Each server's share, as it is sent: a seed for all but the last, which gets what is left of the secret. */
export async function split(model, secret, onShare, random = () => crypto.getRandomValues(new Uint8Array(SEED_BYTES))) {
    const last = model.servers.length - 1;
    const rest = secret.slice();
    const shares = [];
    for (let party = 0; party < last; party++) {
        const seed = random();
        const share = words(await expand(seed, secret.length * 8));
        for (let index = 0; index < rest.length; index++) {
            rest[index] = rest[index] - share[index];
        }
        onShare?.(party, share);
        share.fill(0n);
        shares.push(join(header(model, INPUT_SHARE, party), seed));
        seed.fill(0);
    }
    onShare?.(last, rest);
    const payload = new Uint8Array(rest.length * 8);
    const view = new DataView(payload.buffer);
    rest.forEach((element, index) => view.setBigUint64(index * 8, element, true));
    shares.push(join(header(model, INPUT_SHARE, last), payload));
    rest.fill(0n);
    payload.fill(0);
    return shares;
}
/** The outputs from every server's share. */
export function add(model, shares) {
    const count = model.outputs.reduce((sum, output) => sum + size(output.shape), 0);
    const total = new BigUint64Array(count);
    shares.forEach((share, party) => {
        const expected = header(model, OUTPUT_SHARE, party);
        if (share.length !== HEADER_BYTES + 8 * count || expected.some((byte, at) => byte !== share[at])) {
            throw new MpcError("answer", `Server ${party + 1} sent back what is no share of this model's result.`, party);
        }
        words(share.subarray(HEADER_BYTES)).forEach((element, at) => {
            total[at] = total[at] + element;
        });
    });
    let place = 0;
    return model.outputs.map((output) => {
        const end = place + size(output.shape);
        const numbers = Float64Array.from(total.subarray(place, end), (element) => decode(output.format, element));
        place = end;
        const bound = "number" in output.format ? output.format.number.bound : Infinity;
        if (numbers.some((number) => !(Math.abs(number) < bound))) {
            throw new MpcError("bound", "The result is beyond the range that the network computes in: it means nothing.");
        }
        return numbers;
    });
}
function decode(format, element) {
    if ("number" in format) {
        const { scale, divisor } = format.number;
        return Number(BigInt.asIntN(64, element)) / 2 ** scale / divisor;
    }
    const { bits, origin, step } = format.index;
    return origin + step * Number(BigInt.asUintN(bits, element));
}
/**
 * Seals a request to a server's key: HPKE (RFC 9180) in base mode with X25519, HKDF-SHA-256 and AES-128-GCM. The key of the
 * answer is exported from the same context.
 */
export async function seal(serverKey, plain, ephemeral) {
    let pair;
    let receiver;
    try {
        pair = ephemeral ?? (await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]));
        receiver = await crypto.subtle.importKey("raw", serverKey, { name: "X25519" }, true, []);
    }
    catch {
        throw new MpcError("browser", "This browser does not know X25519: use one of 2025 or later.");
    }
    const bits = await crypto.subtle.deriveBits({ name: "X25519", public: receiver }, pair.privateKey, 256);
    const encapsulated = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
    const kem = join(text("KEM"), new Uint8Array([0, 0x20]));
    const suite = join(text("HPKE"), new Uint8Array([0, 0x20, 0, 1, 0, 1]));
    const none = new Uint8Array();
    const pseudoRandom = await extract(kem, none, "eae_prk", new Uint8Array(bits));
    const shared = await expandLabeled(kem, pseudoRandom, "shared_secret", join(encapsulated, serverKey), 32);
    const context = join(new Uint8Array([0]), await extract(suite, none, "psk_id_hash", none), await extract(suite, none, "info_hash", text("mpc page request 1")));
    const secret = await extract(suite, shared, "secret", none);
    const key = await expandLabeled(suite, secret, "key", context, 16);
    const nonce = await expandLabeled(suite, secret, "base_nonce", context, 12);
    const exporter = await expandLabeled(suite, secret, "exp", context, 32);
    const cipher = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
    const ciphertext = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, cipher, plain));
    plain.fill(0);
    return {
        request: join(encapsulated, ciphertext),
        answerKey: await expandLabeled(suite, exporter, "sec", text("mpc page answer key 1"), 16),
        answerNonce: await expandLabeled(suite, exporter, "sec", text("mpc page answer nonce 1"), 12),
    };
}
/** Opens the answer to a request. */
export async function open(sealed, answer, server) {
    const key = await crypto.subtle.importKey("raw", sealed.answerKey, "AES-GCM", false, ["decrypt"]);
    try {
        return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: sealed.answerNonce }, key, answer));
    }
    catch {
        throw new MpcError("answer", `The answer of server ${server + 1} was changed on its way.`, server);
    }
}
async function hmac(key, message) {
    // An empty key and one of zeros are the same, and WebCrypto takes no empty one.
    const raw = key.length === 0 ? new Uint8Array(32) : key;
    const imported = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", imported, message));
}
function extract(suite, salt, label, material) {
    return hmac(salt, join(text("HPKE-v1"), suite, text(label), material));
}
async function expandLabeled(suite, key, label, info, length) {
    const labeled = join(new Uint8Array([0, length]), text("HPKE-v1"), suite, text(label), info);
    return (await hmac(key, join(labeled, new Uint8Array([1])))).slice(0, length);
}
/** The model that a session uses: one that all servers have, and at least one of them uses already. */
export function choose(offers, owner) {
    const same = (one) => (other) => one.owner === other.owner && one.version === other.version;
    const common = offers[0].filter((deposit) => (owner === null || deposit.owner === owner) &&
        offers.every((offer) => offer.some(same(deposit))) &&
        offers.some((offer) => offer.some((other) => same(deposit)(other) && other.used)));
    if (common.length === 0) {
        throw new MpcError("no-model", "The servers have no model in common that this page is for.");
    }
    if (common.some((deposit) => deposit.owner !== common[0].owner)) {
        throw new MpcError("several-owners", "Several owners have left a model of this kind, and the page names none of them.");
    }
    return common[0];
}
/** What every server is told besides its share, and compares with the others. */
export async function facts(model, deposit) {
    const keys = join(...model.servers.map((server) => hex(server.key)));
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", keys));
    const dealer = model.dealer === null ? new Uint8Array(FINGERPRINT_BYTES) : hex(model.dealer);
    return join(hex(deposit.owner), hex(deposit.version), dealer, digest);
}
/** Where the servers before one are, which that one calls: for each the length of an address, its text, and zeros. */
export function places(addresses) {
    const fields = addresses.map((address, at) => {
        const characters = text(address ?? "");
        if (characters.length > ADDRESS_BYTES) {
            throw new MpcError("elsewhere", `Server ${at + 1} says that it is at an address that is too long.`, at);
        }
        const field = new Uint8Array(2 + ADDRESS_BYTES);
        new DataView(field.buffer).setUint16(0, characters.length, true);
        field.set(characters, 2);
        return field;
    });
    return join(...fields);
}
/** Whether an address is one of a machine, and not of all names of a domain. */
function isCalled(url) {
    return !url.includes("*");
}
/** Whether a machine of a server may be at an address: one that is listed, or below a domain that is. */
export function allows(listed, said) {
    return listed.some((url) => {
        const [begin, end] = url.split("*.", 2);
        if (end === undefined) {
            return url === said;
        }
        const name = said.slice(begin.length, said.length - end.length);
        return said === begin + name + end && /^([a-z0-9-]+\.)+$/i.test(name);
    });
}
/** Whether another machine of a server may do what one does not. */
function isElsewhere(error) {
    return error instanceof MpcError && ["gone", "timeout", "busy", "http", "internal"].includes(error.code);
}
/** A server, as this page talks to it. */
class Server {
    urls;
    at;
    token;
    signal;
    /** The machine that it talks to. */
    url;
    constructor(urls, at, token, signal) {
        this.urls = urls;
        this.at = at;
        this.token = token;
        this.signal = signal;
        this.url = urls.find(isCalled);
    }
    get name() {
        return `Server ${this.at + 1} (${this.url})`;
    }
    error(code, message) {
        return new MpcError(code, `${this.name} ${message}`, this.at);
    }
    /**
     * What it has of the model, if it is the server that this page was made for. Its machines are asked in turn, beginning with one
     * at random. The one that answers knows the ticket and the inference, so it alone is asked from then on.
     */
    async offer(model) {
        const called = this.urls.filter(isCalled);
        const first = crypto.getRandomValues(new Uint32Array(1))[0] % called.length;
        const order = [...called.slice(first), ...called.slice(0, first)];
        for (;;) {
            this.url = order.shift();
            try {
                return this.follow(await this.ask(model, order.length > 0 ? OFFER_MILLISECONDS : REQUEST_MILLISECONDS));
            }
            catch (error) {
                if (order.length === 0 || !isElsewhere(error)) {
                    throw error;
                }
            }
        }
    }
    /** Stays with the machine that has answered. */
    follow(offer) {
        const said = offer.pages;
        if (said !== null && said !== this.url) {
            if (!allows(this.urls, said)) {
                const shown = said.slice(0, 100);
                throw this.error("elsewhere", `says that its machine is at ${shown}, which this page was not made for. Nothing was sent to it.`);
            }
            this.url = said;
        }
        return offer;
    }
    async ask(model, limit) {
        const response = await this.fetch(`/v1/models/${model.plan}`, {}, limit);
        const offer = (await response.json());
        if (offer.key !== model.servers[this.at].key) {
            throw this.error("wrong-key", "has another key than the one that this page was made for. Nothing was sent to it.");
        }
        if (offer.party !== this.at) {
            throw this.error("party", `is server ${offer.party + 1} of the model: the page names the servers in another order.`);
        }
        if (offer.dealer !== model.dealer) {
            throw this.error("dealer", "works with another dealer than this page was made for, or without one. Nothing was sent.");
        }
        return offer;
    }
    /** Sends a sealed share, and waits for the sealed share of the result. */
    async infer(plan, request) {
        const headers = { "Content-Type": "application/octet-stream" };
        const begun = await this.fetch(`/v1/models/${plan}/inferences`, { method: "POST", body: request, headers });
        const { inference } = (await begun.json());
        for (let pause = FIRST_PAUSE;; pause = Math.min(pause * 1.5, LONGEST_PAUSE)) {
            const response = await this.fetch(`/v1/inferences/${inference}`);
            if (response.status === 200) {
                return new Uint8Array(await response.arrayBuffer());
            }
            await new Promise((resolve) => setTimeout(resolve, pause));
            this.signal.throwIfAborted();
        }
    }
    async fetch(path, init = {}, limit = REQUEST_MILLISECONDS) {
        const signal = AbortSignal.any([this.signal, AbortSignal.timeout(limit)]);
        const headers = { ...init.headers, Authorization: `Bearer ${this.token}` };
        const fixed = { mode: "cors", credentials: "omit", cache: "no-store", redirect: "error" };
        let response;
        try {
            response = await fetch(this.url + path, { ...init, ...fixed, headers, signal, referrerPolicy: "no-referrer" });
        }
        catch (error) {
            this.signal.throwIfAborted();
            throw await this.unreachable(error);
        }
        if (response.ok) {
            return response;
        }
        const named = (await response.json().catch(() => ({})));
        if (named.error === undefined) {
            throw this.error("http", `answers with status ${response.status}: something between it and this page does.`);
        }
        throw this.error(named.error.code, `refuses: ${named.error.message}.`);
    }
    /** Why a request failed. A browser does not say whether nobody is there or pages of this origin may not ask. */
    async unreachable(cause) {
        if (cause instanceof DOMException && cause.name === "TimeoutError") {
            return this.error("timeout", "does not answer in time.");
        }
        try {
            await fetch(`${this.url}/v1/alive`, { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(PROBE_MILLISECONDS) });
        }
        catch {
            const untrusted = this.url.startsWith("https:") ? ", or this browser does not trust its certificate" : "";
            return this.error("gone", `cannot be reached: it is not running, or the network is down${untrusted}.`);
        }
        return this.error("origin", `runs, but does not let pages of ${globalThis.location?.origin} use it.`);
    }
}
function header(model, kind, party) {
    return join(text("mpc"), new Uint8Array([kind, model.encoding & 255, model.encoding >> 8, party]), hex(model.plan));
}
function size(shape) {
    return shape.reduce((product, length) => product * length, 1);
}
function words(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return BigUint64Array.from({ length: bytes.length / 8 }, (_, index) => view.getBigUint64(index * 8, true));
}
function join(...parts) {
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
        all.set(part, at);
        at += part.length;
    }
    return all;
}
function text(characters) {
    return new TextEncoder().encode(characters);
}
/** Bytes from hexadecimal digits. */
export function hex(digits) {
    if (!/^([0-9a-f]{2})*$/.test(digits)) {
        throw new MpcError("description", "There are hexadecimal digits expected, and others found.");
    }
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
