/** The page: a picture goes in, each server's noise is shown, and the answer comes out. */
import { MpcError, query } from "./mpc.js";
/** The largest picture that is read, in bytes and in pixels. */
const MAX_FILE = 20 << 20;
const MAX_PIXELS = 1 << 26;
/** The drawn networks know digits of 8 by 8 squares, each with 0 to 16 parts of ink. */
const SQUARES = 8;
const INK = 16;
/** Of the drawing's side: the pen's width, and what an arrow key moves it by. */
const PEN = 0.09;
const STEP = 1 / 20;
/** The most servers below each other. */
const MOST_IN_A_COLUMN = 3;
/** The most classes whose scores are listed. */
const MAX_SCORES = 10;
const TOKEN = "mpc token";
const STAGES = {
    asking: "asks the servers whether they are the right ones…",
    sealing: "splits and seals the picture…",
    computing: "the servers compute, on noise…",
    adding: "adds the parts…",
};
function find(id) {
    const element = document.getElementById(id);
    if (element === null) {
        throw new Error(`the page has no “${id}”`);
    }
    return element;
}
/** The sheet that is drawn on, or that a picture is laid on. */
class Sheet {
    picture;
    changed;
    canvas = find("drawing");
    context = this.canvas.getContext("2d", { willReadFrequently: true });
    pen = find("pen");
    last;
    at = [0.5, 0.5];
    isDown = false;
    isEmpty = true;
    constructor(picture, changed) {
        this.picture = picture;
        this.changed = changed;
        if (!picture.drawn) {
            this.canvas.height = Math.max(1, Math.round((this.canvas.width * picture.height) / picture.width));
        }
        if (picture.drawn) {
            this.canvas.addEventListener("pointerdown", (event) => this.press(event));
            this.canvas.addEventListener("pointermove", (event) => this.move(event));
            for (const end of ["pointerup", "pointercancel"]) {
                this.canvas.addEventListener(end, () => this.lift());
            }
            this.canvas.addEventListener("keydown", (event) => this.key(event));
            this.canvas.addEventListener("focus", () => this.showPen(this.canvas.matches(":focus-visible")));
            this.canvas.addEventListener("blur", () => {
                this.lift();
                this.showPen(false);
            });
            matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
        }
    }
    get empty() {
        return this.isEmpty;
    }
    clear() {
        this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
        this.isEmpty = true;
        this.last = undefined;
        this.changed();
    }
    /** Lays a picture on the sheet, cut to its proportions. */
    lay(bitmap) {
        const { width, height } = this.canvas;
        this.context.clearRect(0, 0, width, height);
        if (this.picture.drawn) {
            const scale = Math.min(width / bitmap.width, height / bitmap.height);
            const [across, down] = [bitmap.width * scale, bitmap.height * scale];
            this.context.drawImage(bitmap, (width - across) / 2, (height - down) / 2, across, down);
            this.toInk();
        }
        else {
            const scale = Math.max(width / bitmap.width, height / bitmap.height);
            const [across, down] = [width / scale, height / scale];
            const [left, top] = [(bitmap.width - across) / 2, (bitmap.height - down) / 2];
            this.context.drawImage(bitmap, left, top, across, down, 0, 0, width, height);
        }
        this.isEmpty = false;
        this.changed();
    }
    /** Gives the ink the colour that shows on the sheet now. */
    recolour() {
        this.context.globalCompositeOperation = "source-in";
        this.context.fillStyle = getComputedStyle(this.canvas).color;
        this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
        this.context.globalCompositeOperation = "source-over";
    }
    /** Makes ink of a picture: of what is rarer, the dark or the bright. */
    toInk() {
        const { width, height } = this.canvas;
        const image = this.context.getImageData(0, 0, width, height);
        const [red, green, blue] = rgb(getComputedStyle(this.canvas).color);
        let [light, count] = [0, 0];
        for (let at = 0; at < image.data.length; at += 4) {
            if (image.data[at + 3] > 0) {
                light += brightness(image.data, at);
                count++;
            }
        }
        const isPaper = light > count / 2;
        for (let at = 0; at < image.data.length; at += 4) {
            const bright = brightness(image.data, at);
            const ink = (isPaper ? 1 - bright : bright) * (image.data[at + 3] / 255);
            image.data.set([red, green, blue, Math.round(ink * 255)], at);
        }
        this.context.putImageData(image, 0, 0);
    }
    /** The network's input, in the order channel, row, column. */
    input() {
        return this.picture.drawn ? this.digit() : this.photograph();
    }
    photograph() {
        const { channels, height, width, mean, deviation } = this.picture;
        const data = scaled(this.canvas, [0, 0, this.canvas.width, this.canvas.height], [0, 0, width, height], width, height);
        const input = new Float32Array(channels * height * width);
        for (let channel = 0; channel < channels; channel++) {
            for (let at = 0; at < height * width; at++) {
                const pixel = channels === 1 ? brightness(data, 4 * at) : data[4 * at + channel] / 255;
                input[channel * height * width + at] = (pixel - mean[channel]) / deviation[channel];
            }
        }
        return input;
    }
    /** The ink, cut out and as high as the picture, in squares of equal ink. */
    digit() {
        const { channels, height, width } = this.picture;
        const input = new Float32Array(channels * height * width).fill(-1);
        const box = this.inkBox();
        if (box === undefined) {
            return input;
        }
        const [left, top, across, down] = box;
        const scale = Math.min(width / across, height / down);
        const size = [across * scale, down * scale];
        const place = [(width - size[0]) / 2, (height - size[1]) / 2];
        const data = scaled(this.canvas, [left, top, across, down], [...place, ...size], width, height);
        const [rows, columns] = [height / SQUARES, width / SQUARES];
        for (let row = 0; row < SQUARES; row++) {
            for (let column = 0; column < SQUARES; column++) {
                let ink = 0;
                for (let y = row * rows; y < (row + 1) * rows; y++) {
                    for (let x = column * columns; x < (column + 1) * columns; x++) {
                        ink += data[4 * (y * width + x) + 3] / 255;
                    }
                }
                const level = Math.round((ink / (rows * columns)) * INK) / INK;
                for (let channel = 0; channel < channels; channel++) {
                    for (let y = row * rows; y < (row + 1) * rows; y++) {
                        input.fill(2 * level - 1, (channel * height + y) * width + column * columns, (channel * height + y) * width + (column + 1) * columns);
                    }
                }
            }
        }
        return input;
    }
    /** Where the ink is: left, top, width, height. */
    inkBox() {
        const { width, height } = this.canvas;
        const { data } = this.context.getImageData(0, 0, width, height);
        let [left, top, right, bottom] = [width, height, -1, -1];
        for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) {
                if (data[4 * (y * width + x) + 3] > 32) {
                    [left, right] = [Math.min(left, x), Math.max(right, x)];
                    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
                }
            }
        }
        return right < 0 ? undefined : [left, top, right - left + 1, bottom - top + 1];
    }
    place(event) {
        const box = this.canvas.getBoundingClientRect();
        return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    }
    press(event) {
        if (event.button === 0) {
            event.preventDefault();
            this.canvas.setPointerCapture(event.pointerId);
            this.last = undefined;
            this.isDown = true;
            this.showPen(false);
            this.draw(this.place(event));
        }
    }
    move(event) {
        if (this.isDown && event.buttons !== 0) {
            for (const point of event.getCoalescedEvents?.() ?? [event]) {
                this.draw(this.place(point));
            }
        }
    }
    lift() {
        this.isDown = false;
        this.last = undefined;
    }
    key(event) {
        const moves = {
            ArrowLeft: [-STEP, 0],
            ArrowRight: [STEP, 0],
            ArrowUp: [0, -STEP],
            ArrowDown: [0, STEP],
        };
        const move = moves[event.key];
        if (move !== undefined) {
            event.preventDefault();
            const within = (value) => Math.min(1 - STEP, Math.max(STEP, value));
            this.at = [within(this.at[0] + move[0]), within(this.at[1] + move[1])];
        }
        else if (event.key === " ") {
            event.preventDefault();
            this.isDown = !this.isDown;
            this.last = undefined;
        }
        else if (event.key === "Delete" || event.key === "Backspace") {
            this.clear();
        }
        else {
            return;
        }
        if (this.isDown && event.key !== "Delete" && event.key !== "Backspace") {
            this.draw(this.at);
        }
        this.showPen(true);
    }
    showPen(isShown) {
        this.pen.hidden = !isShown;
        this.pen.classList.toggle("down", this.isDown);
        this.pen.style.left = `${this.at[0] * 100}%`;
        this.pen.style.top = `${this.at[1] * 100}%`;
    }
    draw([x, y]) {
        const { width, height } = this.canvas;
        const from = this.last ?? [x, y];
        this.context.lineWidth = PEN * width;
        this.context.lineCap = "round";
        this.context.lineJoin = "round";
        this.context.strokeStyle = getComputedStyle(this.canvas).color;
        this.context.beginPath();
        this.context.moveTo(from[0] * width, from[1] * height);
        this.context.lineTo(x * width + 0.01, y * height);
        this.context.stroke();
        this.last = [x, y];
        this.isEmpty = false;
        this.changed();
    }
}
/** A part of a canvas on another one of that size, as pixels. */
function scaled(source, part, place, width, height) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(source, ...part, ...place);
    return context.getImageData(0, 0, width, height).data;
}
function brightness(data, at) {
    return (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) / 255;
}
function rgb(color) {
    const [red = 0, green = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map(Number);
    return [red, green, blue];
}
/** Draws numbers between `low` and `high` as an image of one channel, in the colour of the canvas. */
function show(canvas, width, height, level) {
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let at = 0; at < width * height; at++) {
        const grey = Math.round(255 * level(at));
        image.data.set([grey, grey, grey, 255], 4 * at);
    }
    context.putImageData(image, 0, 0);
}
/** The page with a model and its servers. */
class Page {
    content;
    sheet;
    noise = [];
    running;
    token = "";
    constructor(content) {
        this.content = content;
        const { title, picture, model } = content;
        document.title = title;
        find("title").textContent = title;
        const count = ["Two", "Three", "Four", "Five", "Six", "Seven", "Eight"][model.servers.length - 2];
        const none = model.servers.length === 2 ? "neither" : "none of them";
        const what = picture.drawn ? "Draw a digit." : "Choose a picture.";
        find("lead").textContent = `${what} ${count} servers recognise it together, and ${none} sees it.`;
        find("hint").textContent = picture.drawn ? "Draw with the finger or the mouse, or drop a picture." : "Drop a picture, or choose one.";
        find("keys").textContent = picture.drawn ? "Arrows move, space draws, enter asks." : "Enter asks.";
        find("invite").textContent = picture.drawn ? "draw here" : "drop a picture here";
        find("dealing").hidden = model.dealer === null;
        find("disclosure").textContent = `By the model's terms: ${model.disclosure.replace(/^by the model's terms /, "")}.`;
        this.sheet = new Sheet(picture, () => this.changed());
        model.servers.forEach((server, at) => this.addServer(server.urls[0], at));
        this.wires();
        this.listen();
        this.findToken();
        this.changed();
    }
    addServer(url, at) {
        const card = document.createElement("div");
        card.className = "card server";
        const name = document.createElement("h2");
        name.textContent = `Server ${at + 1}`;
        const host = document.createElement("div");
        host.className = "host";
        host.textContent = url.replace(/^https?:\/\//, "");
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [this.content.picture.width, this.content.picture.height];
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `Server ${at + 1} has received nothing`);
        const hint = document.createElement("p");
        hint.className = "hint";
        hint.textContent = "sees nothing yet";
        card.append(name, host, canvas, hint);
        find("servers").append(card);
        find("servers").classList.toggle("many", this.content.model.servers.length > MOST_IN_A_COLUMN);
        this.noise.push(canvas);
    }
    /** A line from the picture to each server, and from each server to the answer. */
    wires() {
        const count = this.content.model.servers.length;
        // Many servers are in two columns.
        const columns = count > MOST_IN_A_COLUMN ? 2 : 1;
        const rows = Math.ceil(count / columns);
        for (const [id, isSplit] of [["split", true], ["join", false]]) {
            for (let at = 0; at < count; at++) {
                const draw = (name, end, path) => {
                    const wire = document.createElementNS("http://www.w3.org/2000/svg", "path");
                    wire.setAttribute("class", name);
                    wire.setAttribute("d", isSplit ? path(50, end) : path(end, 50));
                    find(id).append(wire);
                };
                // Side by side on a wide window; on a narrow one below each other, the servers in two columns.
                draw("across", (100 * (Math.floor(at / columns) + 0.5)) / rows, (from, to) => `M 0 ${from} C 50 ${from}, 50 ${to}, 100 ${to}`);
                draw("down", at % 2 === 0 ? 25 : 75, (from, to) => `M ${from} 0 C ${from} 50, ${to} 50, ${to} 100`);
            }
        }
    }
    listen() {
        const paper = find("paper");
        const file = find("file");
        find("ask").addEventListener("click", () => void this.ask());
        find("clear").addEventListener("click", () => this.clear());
        find("choose").addEventListener("click", () => file.click());
        file.addEventListener("change", () => void this.read(file.files?.[0]).finally(() => (file.value = "")));
        this.sheet.canvas.addEventListener("keydown", (event) => {
            if (event.key === "Enter") {
                void this.ask();
            }
        });
        document.addEventListener("dragover", (event) => {
            event.preventDefault();
            paper.classList.add("over");
        });
        document.addEventListener("dragleave", () => paper.classList.remove("over"));
        document.addEventListener("drop", (event) => {
            event.preventDefault();
            paper.classList.remove("over");
            void this.read(event.dataTransfer?.files[0]);
        });
        document.addEventListener("paste", (event) => {
            if (event.clipboardData?.files.length) {
                void this.read(event.clipboardData.files[0]);
            }
        });
        find("access").addEventListener("submit", (event) => {
            event.preventDefault();
            this.keepToken(find("token").value.trim());
        });
    }
    /** The token is in the link behind `#`, which is sent to nobody, or was used before, or is asked for. */
    findToken() {
        const inLink = unescaped(location.hash.slice(1));
        if (inLink !== "") {
            history.replaceState(null, "", location.pathname + location.search);
        }
        this.keepToken(inLink || (sessionStorage.getItem(TOKEN) ?? ""));
    }
    keepToken(token) {
        this.token = token;
        if (token !== "") {
            sessionStorage.setItem(TOKEN, token);
        }
        find("access").hidden = token !== "";
    }
    changed() {
        const { width, height, mean, deviation, drawn } = this.content.picture;
        const isEmpty = this.sheet.empty;
        find("invite").hidden = !isEmpty;
        find("ask").disabled = isEmpty || this.running !== undefined;
        const input = this.sheet.input();
        const level = (at) => (drawn ? (1 - input[at]) / 2 : input[at] * deviation[0] + mean[0]);
        show(find("input"), width, height, (at) => (isEmpty ? 1 : level(at)));
    }
    clear() {
        this.running?.abort();
        this.sheet.clear();
        this.reset();
        this.sheet.canvas.focus();
    }
    reset() {
        find("problem").hidden = true;
        find("facts").hidden = true;
        find("stage").textContent = "";
        find("scores").replaceChildren();
        find("answer").dataset["state"] = "idle";
        const unknown = document.createElement("span");
        unknown.className = "unknown";
        unknown.textContent = "?";
        find("class").replaceChildren(unknown);
        this.noise.forEach((canvas, at) => {
            canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
            canvas.setAttribute("aria-label", `Server ${at + 1} has received nothing`);
            canvas.nextElementSibling.textContent = "sees nothing yet";
        });
    }
    async read(file) {
        if (file === undefined) {
            return;
        }
        try {
            this.reset();
            this.sheet.lay(await decode(file));
        }
        catch (error) {
            this.fail(error);
        }
    }
    async ask() {
        if (this.sheet.empty || this.running !== undefined) {
            return;
        }
        this.reset();
        if (this.token === "") {
            this.fail(new MpcError("no-token", "These servers want a token: whoever runs them gives you one."));
            find("token").focus();
            return;
        }
        this.running = new AbortController();
        document.body.classList.add("busy");
        find("answer").dataset["state"] = "busy";
        this.changed();
        try {
            const answer = await query(this.content.model, [this.sheet.input()], {
                token: this.token,
                signal: this.running.signal,
                onStage: (stage) => (find("stage").textContent = STAGES[stage]),
                onShare: (server, share) => this.showNoise(server, share),
            });
            this.show(answer);
        }
        catch (error) {
            if (!this.running.signal.aborted) {
                this.fail(error);
            }
        }
        finally {
            this.running = undefined;
            document.body.classList.remove("busy");
            this.changed();
        }
    }
    /** The highest byte of each number that a server gets. */
    showNoise(server, share) {
        const { width, height } = this.content.picture;
        const canvas = this.noise[server];
        show(canvas, width, height, (at) => Number(share[at] >> 56n) / 255);
        canvas.setAttribute("aria-label", `Server ${server + 1} received ${share.length} random numbers`);
        canvas.nextElementSibling.textContent = "all that it sees";
    }
    name(place) {
        return this.content.labels[place] ?? String(place);
    }
    show(answer) {
        const [first] = answer.outputs;
        const output = this.content.model.outputs[0];
        if (first === undefined || output === undefined) {
            return;
        }
        const isIndex = "index" in output.format;
        const best = isIndex ? first[0] : first.reduce((most, value, at) => (value > first[most] ? at : most), 0);
        const name = this.name(best);
        const shown = find("class");
        shown.textContent = name;
        shown.classList.toggle("words", name.length > 3);
        if (!isIndex) {
            this.showScores(first, best);
        }
        find("stage").textContent = "";
        find("seconds").textContent = `${answer.seconds.toFixed(2)} s`;
        find("sent").textContent = bytes(answer.sent);
        find("received").textContent = bytes(answer.received);
        find("facts").hidden = false;
        const card = find("answer");
        card.dataset["state"] = "done";
        card.dataset["class"] = String(best);
        card.dataset["outputs"] = JSON.stringify(answer.outputs.map((numbers) => [...numbers]));
    }
    /** The shares of the classes, by the usual softmax. */
    showScores(logits, best) {
        const exponentials = logits.map((value) => Math.exp(value - logits[best]));
        const total = exponentials.reduce((sum, value) => sum + value, 0);
        const order = [...logits.keys()];
        if (order.length > MAX_SCORES) {
            order.sort((one, other) => logits[other] - logits[one]).splice(MAX_SCORES);
        }
        const items = order.map((at) => {
            const item = document.createElement("li");
            item.dataset["name"] = this.name(at);
            item.classList.toggle("best", at === best);
            const part = exponentials[at] / total;
            const bar = document.createElement("i");
            bar.style.setProperty("--part", `${(100 * part).toFixed(1)}%`);
            const number = document.createElement("span");
            number.textContent = `${Math.round(100 * part)}%`;
            item.append(bar, number);
            return item;
        });
        find("scores").replaceChildren(...items);
    }
    fail(error) {
        const problem = find("problem");
        const isNamed = error instanceof MpcError;
        problem.textContent = isNamed ? error.message : `This page failed: ${error instanceof Error ? error.message : error}`;
        problem.dataset["code"] = isNamed ? error.code : "page";
        problem.hidden = false;
        find("stage").textContent = "";
        find("answer").dataset["state"] = "failed";
        if (isNamed && error.code === "unknown-token") {
            sessionStorage.removeItem(TOKEN);
            this.keepToken("");
        }
    }
}
/** Reads a picture within the limits. */
async function decode(file) {
    const mebibytes = (size) => `${(size / (1 << 20)).toFixed(1)} MB`;
    if (file.size > MAX_FILE) {
        throw new MpcError("picture", `This picture has ${mebibytes(file.size)}; at most ${mebibytes(MAX_FILE)} are read: make it smaller.`);
    }
    let bitmap;
    try {
        bitmap = await createImageBitmap(file);
    }
    catch {
        throw new MpcError("picture", `“${file.name}” is no picture that this browser reads.`);
    }
    if (bitmap.width * bitmap.height > MAX_PIXELS) {
        bitmap.close();
        throw new MpcError("picture", `This picture has ${bitmap.width} × ${bitmap.height} pixels: make it smaller.`);
    }
    return bitmap;
}
function bytes(count) {
    return count < 1000 ? `${count} B` : count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(2)} MB`;
}
/** A text without the escapes of addresses, where they are whole. */
function unescaped(text) {
    try {
        return decodeURIComponent(text);
    }
    catch {
        return text;
    }
}
async function start() {
    try {
        const integrity = document.body.dataset["content"] ?? "";
        const response = await fetch("page.json", { integrity, cache: "no-store" });
        new Page((await response.json()));
    }
    catch (error) {
        const problem = find("problem");
        problem.textContent = `The page's description could not be loaded, or is not the one that belongs to this page: ${error}`;
        problem.dataset["code"] = "content";
        problem.hidden = false;
    }
}
void start();
