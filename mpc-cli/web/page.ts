/** The page: a picture goes in, each server's noise is shown, and the answer comes out. */

import { MpcError, query } from "./mpc.js";
import type { Answer, Description, Stage } from "./mpc.js";

/** What `mpc page` writes into `page.json`. */
interface Content {
  title: string;
  model: Description;
  picture: Picture;
  labels: string[];
}

interface Picture {
  channels: number;
  height: number;
  width: number;
  drawn: boolean;
  mean: number[];
  deviation: number[];
}

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

const STAGES: Record<Stage, string> = {
  asking: "asks the servers whether they are the right ones…",
  sealing: "splits and seals the picture…",
  computing: "the servers compute, on noise…",
  adding: "adds the parts…",
};

function find<E extends Element>(id: string): E {
  const element = document.getElementById(id);
  if (element === null) {
    throw new Error(`the page has no “${id}”`);
  }
  return element as unknown as E;
}

/** The sheet that is drawn on, or that a picture is laid on. */
class Sheet {
  readonly canvas = find<HTMLCanvasElement>("drawing");
  private readonly context = this.canvas.getContext("2d", { willReadFrequently: true })!;
  private readonly pen = find<HTMLElement>("pen");
  private last: [number, number] | undefined;
  private at: [number, number] = [0.5, 0.5];
  private isDown = false;
  private isEmpty = true;

  constructor(
    private readonly picture: Picture,
    private readonly changed: () => void,
  ) {
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

  get empty(): boolean {
    return this.isEmpty;
  }

  clear(): void {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.isEmpty = true;
    this.last = undefined;
    this.changed();
  }

  /** Lays a picture on the sheet, cut to its proportions. */
  lay(bitmap: ImageBitmap): void {
    const { width, height } = this.canvas;
    this.context.clearRect(0, 0, width, height);
    if (this.picture.drawn) {
      const scale = Math.min(width / bitmap.width, height / bitmap.height);
      const [across, down] = [bitmap.width * scale, bitmap.height * scale];
      this.context.drawImage(bitmap, (width - across) / 2, (height - down) / 2, across, down);
      this.toInk();
    } else {
      const scale = Math.max(width / bitmap.width, height / bitmap.height);
      const [across, down] = [width / scale, height / scale];
      const [left, top] = [(bitmap.width - across) / 2, (bitmap.height - down) / 2];
      this.context.drawImage(bitmap, left, top, across, down, 0, 0, width, height);
    }
    this.isEmpty = false;
    this.changed();
  }

  /** Gives the ink the colour that shows on the sheet now. */
  private recolour(): void {
    this.context.globalCompositeOperation = "source-in";
    this.context.fillStyle = getComputedStyle(this.canvas).color;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.context.globalCompositeOperation = "source-over";
  }

  /** Makes ink of a picture: of what is rarer, the dark or the bright. */
  private toInk(): void {
    const { width, height } = this.canvas;
    const image = this.context.getImageData(0, 0, width, height);
    const [red, green, blue] = rgb(getComputedStyle(this.canvas).color);
    let [light, count] = [0, 0];
    for (let at = 0; at < image.data.length; at += 4) {
      if (image.data[at + 3]! > 0) {
        light += brightness(image.data, at);
        count++;
      }
    }
    const isPaper = light > count / 2;
    for (let at = 0; at < image.data.length; at += 4) {
      const bright = brightness(image.data, at);
      const ink = (isPaper ? 1 - bright : bright) * (image.data[at + 3]! / 255);
      image.data.set([red, green, blue, Math.round(ink * 255)], at);
    }
    this.context.putImageData(image, 0, 0);
  }

  /** The network's input, in the order channel, row, column. */
  input(): Float32Array {
    return this.picture.drawn ? this.digit() : this.photograph();
  }

  private photograph(): Float32Array {
    const { channels, height, width, mean, deviation } = this.picture;
    const data = scaled(this.canvas, [0, 0, this.canvas.width, this.canvas.height], [0, 0, width, height], width, height);
    const input = new Float32Array(channels * height * width);
    for (let channel = 0; channel < channels; channel++) {
      for (let at = 0; at < height * width; at++) {
        const pixel = channels === 1 ? brightness(data, 4 * at) : data[4 * at + channel]! / 255;
        input[channel * height * width + at] = (pixel - mean[channel]!) / deviation[channel]!;
      }
    }
    return input;
  }

  /** The ink, cut out and as high as the picture, in squares of equal ink. */
  private digit(): Float32Array {
    const { channels, height, width } = this.picture;
    const input = new Float32Array(channels * height * width).fill(-1);
    const box = this.inkBox();
    if (box === undefined) {
      return input;
    }
    const [left, top, across, down] = box;
    const scale = Math.min(width / across, height / down);
    const size: [number, number] = [across * scale, down * scale];
    const place: [number, number] = [(width - size[0]) / 2, (height - size[1]) / 2];
    const data = scaled(this.canvas, [left, top, across, down], [...place, ...size], width, height);
    const [rows, columns] = [height / SQUARES, width / SQUARES];
    for (let row = 0; row < SQUARES; row++) {
      for (let column = 0; column < SQUARES; column++) {
        let ink = 0;
        for (let y = row * rows; y < (row + 1) * rows; y++) {
          for (let x = column * columns; x < (column + 1) * columns; x++) {
            ink += data[4 * (y * width + x) + 3]! / 255;
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
  private inkBox(): [number, number, number, number] | undefined {
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    let [left, top, right, bottom] = [width, height, -1, -1];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (data[4 * (y * width + x) + 3]! > 32) {
          [left, right] = [Math.min(left, x), Math.max(right, x)];
          [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
        }
      }
    }
    return right < 0 ? undefined : [left, top, right - left + 1, bottom - top + 1];
  }

  private place(event: PointerEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  private press(event: PointerEvent): void {
    if (event.button === 0) {
      event.preventDefault();
      this.canvas.setPointerCapture(event.pointerId);
      this.last = undefined;
      this.isDown = true;
      this.showPen(false);
      this.draw(this.place(event));
    }
  }

  private move(event: PointerEvent): void {
    if (this.isDown && event.buttons !== 0) {
      for (const point of event.getCoalescedEvents?.() ?? [event]) {
        this.draw(this.place(point));
      }
    }
  }

  private lift(): void {
    this.isDown = false;
    this.last = undefined;
  }

  private key(event: KeyboardEvent): void {
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, -STEP],
      ArrowDown: [0, STEP],
    };
    const move = moves[event.key];
    if (move !== undefined) {
      event.preventDefault();
      const within = (value: number) => Math.min(1 - STEP, Math.max(STEP, value));
      this.at = [within(this.at[0] + move[0]), within(this.at[1] + move[1])];
    } else if (event.key === " ") {
      event.preventDefault();
      this.isDown = !this.isDown;
      this.last = undefined;
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    if (this.isDown && event.key !== "Delete" && event.key !== "Backspace") {
      this.draw(this.at);
    }
    this.showPen(true);
  }

  private showPen(isShown: boolean): void {
    this.pen.hidden = !isShown;
    this.pen.classList.toggle("down", this.isDown);
    this.pen.style.left = `${this.at[0] * 100}%`;
    this.pen.style.top = `${this.at[1] * 100}%`;
  }

  private draw([x, y]: [number, number]): void {
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

type Box = [number, number, number, number];

/** A part of a canvas on another one of that size, as pixels. */
function scaled(source: HTMLCanvasElement, part: Box, place: Box, width: number, height: number): Uint8ClampedArray {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(source, ...part, ...place);
  return context.getImageData(0, 0, width, height).data;
}

function brightness(data: Uint8ClampedArray, at: number): number {
  return (0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!) / 255;
}

function rgb(color: string): [number, number, number] {
  const [red = 0, green = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map(Number);
  return [red, green, blue];
}

/** Draws numbers between `low` and `high` as an image of one channel, in the colour of the canvas. */
function show(canvas: HTMLCanvasElement, width: number, height: number, level: (at: number) => number): void {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    const grey = Math.round(255 * level(at));
    image.data.set([grey, grey, grey, 255], 4 * at);
  }
  context.putImageData(image, 0, 0);
}

/** The page with a model and its servers. */
class Page {
  private readonly sheet: Sheet;
  private readonly noise: HTMLCanvasElement[] = [];
  private running: AbortController | undefined;
  private token = "";

  constructor(private readonly content: Content) {
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
    find<HTMLElement>("dealing").hidden = model.dealer === null;
    find("disclosure").textContent = `By the model's terms: ${model.disclosure.replace(/^by the model's terms /, "")}.`;
    this.sheet = new Sheet(picture, () => this.changed());
    model.servers.forEach((server, at) => this.addServer(server.urls[0]!, at));
    this.wires();
    this.listen();
    this.findToken();
    this.changed();
  }

  private addServer(url: string, at: number): void {
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
  private wires(): void {
    const count = this.content.model.servers.length;
    // Many servers are in two columns.
    const columns = count > MOST_IN_A_COLUMN ? 2 : 1;
    const rows = Math.ceil(count / columns);
    for (const [id, isSplit] of [["split", true], ["join", false]] as const) {
      for (let at = 0; at < count; at++) {
        const draw = (name: string, end: number, path: (from: number, to: number) => string) => {
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

  private listen(): void {
    const paper = find<HTMLElement>("paper");
    const file = find<HTMLInputElement>("file");
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
      this.keepToken(find<HTMLInputElement>("token").value.trim());
    });
  }

  /** The token is in the link behind `#`, which is sent to nobody, or was used before, or is asked for. */
  private findToken(): void {
    const inLink = unescaped(location.hash.slice(1));
    if (inLink !== "") {
      history.replaceState(null, "", location.pathname + location.search);
    }
    this.keepToken(inLink || (sessionStorage.getItem(TOKEN) ?? ""));
  }

  private keepToken(token: string): void {
    this.token = token;
    if (token !== "") {
      sessionStorage.setItem(TOKEN, token);
    }
    find<HTMLElement>("access").hidden = token !== "";
  }

  private changed(): void {
    const { width, height, mean, deviation, drawn } = this.content.picture;
    const isEmpty = this.sheet.empty;
    find<HTMLElement>("invite").hidden = !isEmpty;
    find<HTMLButtonElement>("ask").disabled = isEmpty || this.running !== undefined;
    const input = this.sheet.input();
    const level = (at: number) => (drawn ? (1 - input[at]!) / 2 : input[at]! * deviation[0]! + mean[0]!);
    show(find("input"), width, height, (at) => (isEmpty ? 1 : level(at)));
  }

  private clear(): void {
    this.running?.abort();
    this.sheet.clear();
    this.reset();
    this.sheet.canvas.focus();
  }

  private reset(): void {
    find<HTMLElement>("problem").hidden = true;
    find<HTMLElement>("facts").hidden = true;
    find("stage").textContent = "";
    find("scores").replaceChildren();
    find<HTMLElement>("answer").dataset["state"] = "idle";
    const unknown = document.createElement("span");
    unknown.className = "unknown";
    unknown.textContent = "?";
    find("class").replaceChildren(unknown);
    this.noise.forEach((canvas, at) => {
      canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
      canvas.setAttribute("aria-label", `Server ${at + 1} has received nothing`);
      canvas.nextElementSibling!.textContent = "sees nothing yet";
    });
  }

  private async read(file: File | undefined): Promise<void> {
    if (file === undefined) {
      return;
    }
    try {
      this.reset();
      this.sheet.lay(await decode(file));
    } catch (error) {
      this.fail(error);
    }
  }

  private async ask(): Promise<void> {
    if (this.sheet.empty || this.running !== undefined) {
      return;
    }
    this.reset();
    if (this.token === "") {
      this.fail(new MpcError("no-token", "These servers want a token: whoever runs them gives you one."));
      find<HTMLElement>("token").focus();
      return;
    }
    this.running = new AbortController();
    document.body.classList.add("busy");
    find<HTMLElement>("answer").dataset["state"] = "busy";
    this.changed();
    try {
      const answer = await query(this.content.model, [this.sheet.input()], {
        token: this.token,
        signal: this.running.signal,
        onStage: (stage) => (find("stage").textContent = STAGES[stage]),
        onShare: (server, share) => this.showNoise(server, share),
      });
      this.show(answer);
    } catch (error) {
      if (!this.running.signal.aborted) {
        this.fail(error);
      }
    } finally {
      this.running = undefined;
      document.body.classList.remove("busy");
      this.changed();
    }
  }

  /** The highest byte of each number that a server gets. */
  private showNoise(server: number, share: BigUint64Array): void {
    const { width, height } = this.content.picture;
    const canvas = this.noise[server]!;
    show(canvas, width, height, (at) => Number(share[at]! >> 56n) / 255);
    canvas.setAttribute("aria-label", `Server ${server + 1} received ${share.length} random numbers`);
    canvas.nextElementSibling!.textContent = "all that it sees";
  }

  private name(place: number): string {
    return this.content.labels[place] ?? String(place);
  }

  private show(answer: Answer): void {
    const [first] = answer.outputs;
    const output = this.content.model.outputs[0];
    if (first === undefined || output === undefined) {
      return;
    }
    const isIndex = "index" in output.format;
    const best = isIndex ? first[0]! : first.reduce((most, value, at) => (value > first[most]! ? at : most), 0);
    const name = this.name(best);
    const shown = find<HTMLElement>("class");
    shown.textContent = name;
    shown.classList.toggle("words", name.length > 3);
    if (!isIndex) {
      this.showScores(first, best);
    }
    find("stage").textContent = "";
    find("seconds").textContent = `${answer.seconds.toFixed(2)} s`;
    find("sent").textContent = bytes(answer.sent);
    find("received").textContent = bytes(answer.received);
    find<HTMLElement>("facts").hidden = false;
    const card = find<HTMLElement>("answer");
    card.dataset["state"] = "done";
    card.dataset["class"] = String(best);
    card.dataset["outputs"] = JSON.stringify(answer.outputs.map((numbers) => [...numbers]));
  }

  /** The shares of the classes, by the usual softmax. */
  private showScores(logits: Float64Array, best: number): void {
    const exponentials = logits.map((value) => Math.exp(value - logits[best]!));
    const total = exponentials.reduce((sum, value) => sum + value, 0);
    const order = [...logits.keys()];
    if (order.length > MAX_SCORES) {
      order.sort((one, other) => logits[other]! - logits[one]!).splice(MAX_SCORES);
    }
    const items = order.map((at) => {
      const item = document.createElement("li");
      item.dataset["name"] = this.name(at);
      item.classList.toggle("best", at === best);
      const part = exponentials[at]! / total;
      const bar = document.createElement("i");
      bar.style.setProperty("--part", `${(100 * part).toFixed(1)}%`);
      const number = document.createElement("span");
      number.textContent = `${Math.round(100 * part)}%`;
      item.append(bar, number);
      return item;
    });
    find("scores").replaceChildren(...items);
  }

  private fail(error: unknown): void {
    const problem = find<HTMLElement>("problem");
    const isNamed = error instanceof MpcError;
    problem.textContent = isNamed ? error.message : `This page failed: ${error instanceof Error ? error.message : error}`;
    problem.dataset["code"] = isNamed ? error.code : "page";
    problem.hidden = false;
    find("stage").textContent = "";
    find<HTMLElement>("answer").dataset["state"] = "failed";
    if (isNamed && error.code === "unknown-token") {
      sessionStorage.removeItem(TOKEN);
      this.keepToken("");
    }
  }
}

/** Reads a picture within the limits. */
async function decode(file: File): Promise<ImageBitmap> {
  const mebibytes = (size: number) => `${(size / (1 << 20)).toFixed(1)} MB`;
  if (file.size > MAX_FILE) {
    throw new MpcError("picture", `This picture has ${mebibytes(file.size)}; at most ${mebibytes(MAX_FILE)} are read: make it smaller.`);
  }
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new MpcError("picture", `“${file.name}” is no picture that this browser reads.`);
  }
  if (bitmap.width * bitmap.height > MAX_PIXELS) {
    bitmap.close();
    throw new MpcError("picture", `This picture has ${bitmap.width} × ${bitmap.height} pixels: make it smaller.`);
  }
  return bitmap;
}

function bytes(count: number): string {
  return count < 1000 ? `${count} B` : count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(2)} MB`;
}

/** A text without the escapes of addresses, where they are whole. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function start(): Promise<void> {
  try {
    const integrity = document.body.dataset["content"] ?? "";
    const response = await fetch("page.json", { integrity, cache: "no-store" });
    new Page((await response.json()) as Content);
  } catch (error) {
    const problem = find<HTMLElement>("problem");
    problem.textContent = `The page's description could not be loaded, or is not the one that belongs to this page: ${error}`;
    problem.dataset["code"] = "content";
    problem.hidden = false;
  }
}

void start();
