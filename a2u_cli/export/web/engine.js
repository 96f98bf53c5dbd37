// Where the network is computed: fetched once, held by a worker, on the GPU only if that agrees.

import { UNKNOWN } from "./trimap.js";

const AGREE = 1e-3; // of alpha, between the GPU and the processor
const TRIAL = { width: 112, height: 80 };
const TRIAL_SECONDS = 30; // for the GPU: one that takes longer is none
const MOST_THREADS = 8;
const PLACES = { wasm: "processor", webgpu: "GPU (WebGPU)" };

/** Hold a worker, and ask it for one thing after another. */
class Runtime {
  constructor(name) {
    this.name = name; // "wasm" or "webgpu"
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  }

  /** Have something done; a signal ends the worker, whatever it is at. */
  ask(act, what, signal) {
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.end();
        reject(signal.reason);
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
      const settle = (deed, value) => {
        signal.removeEventListener("abort", stop);
        deed(value);
      };
      this.worker.onmessage = ({ data: { result, error } }) =>
        error === undefined ? settle(resolve, result) : settle(reject, new Error(error));
      this.worker.onerror = (event) => settle(reject, new Error(event.message || "it ended"));
      this.worker.postMessage({ act, ...what });
    });
  }

  end() {
    this.worker.terminate();
  }
}

/** Mattes pictures; tells what it is at, in words, and the share of it that is done. */
export class Engine {
  /**
   * facts: those of model.json; wanted: "wasm", "webgpu" or "auto".
   * tell(words, share): what is being done; share in [0, 1], or null where nobody knows.
   */
  constructor(facts, { wanted = "auto", tell }) {
    Object.assign(this, { facts, wanted, tell, graph: null, runtime: null, rate: null });
    this.threads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
    this.words = "";
  }

  /** Give the alpha of RGBA bytes and a trimap, floats in [0, 1]; throws an Error in one line. */
  async matte(pixels, trimap, { width, height }, signal) {
    try {
      this.runtime ??= await this.choose(signal);
      return await this.time({ pixels, trimap, width, height }, signal);
    } catch (error) {
      this.close(); // its memory may be full, and what it has in hand is lost
      throw signal.aborted ? signal.reason : new Error(inWords(error, width, height));
    }
  }

  /** Forget the worker; the graph is kept. */
  close() {
    this.runtime?.end();
    this.runtime = null;
  }

  /** Run once, and tell how long that has been going on, and will. */
  async time(planes, signal) {
    const size = planes.width * planes.height;
    const begin = performance.now();
    const seconds = () => (performance.now() - begin) / 1000;
    const clock = () => {
      const whole = this.rate && this.rate * size;
      const of = whole ? ` of about ${Math.max(1, Math.round(whole))}` : "";
      const words = `Matting ${planes.width}x${planes.height}: ${Math.round(seconds())}${of} s`;
      this.tell(words, whole ? Math.min(0.97, seconds() / whole) : null);
    };
    const ticking = setInterval(clock, 500);
    clock();
    try {
      const alpha = await this.runtime.ask("run", planes, signal);
      this.rate = seconds() / size;
      return alpha;
    } finally {
      clearInterval(ticking);
    }
  }

  /** Open the runtime that computes soonest and rightly, as the processor's does. */
  async choose(signal) {
    this.graph ??= await this.fetchGraph(signal);
    if (this.wanted === "webgpu") return this.keep(await this.open("webgpu", signal), "");
    const plain = await this.open("wasm", signal);
    const gpu = this.wanted === "auto" && (await findGpu());
    if (!gpu) return this.keep(plain, "");
    const [kept, why] = await this.compare(plain, signal);
    return this.keep(kept, why);
  }

  keep(runtime, why) {
    const threads = this.threads === 1 ? "one thread" : `${this.threads} threads`;
    const where = PLACES[runtime.name] + (runtime.name === "wasm" ? `, ${threads}` : "");
    this.words = `Computed on the ${where}${why}.`;
    return runtime;
  }

  async open(name, signal) {
    this.tell(`Opening the network on the ${PLACES[name]}`, null);
    const runtime = new Runtime(name);
    const { graph, threads } = this;
    try {
      await runtime.ask("open", { runtime: name, graph, threads }, signal);
    } catch (error) {
      runtime.end();
      throw error;
    }
    return runtime;
  }

  /** Try the GPU on a small picture; give the runtime to keep, the other is ended, and why. */
  async compare(plain, signal) {
    let gpu = null;
    try {
      const hurry = AbortSignal.any([signal, AbortSignal.timeout(1000 * TRIAL_SECONDS)]);
      gpu = await this.open("webgpu", hurry);
      this.tell("Comparing the GPU with the processor on a small picture", null);
      const [one, other] = [await trial(plain, signal), await trial(gpu, hurry)];
      const apart = farthest(one.alpha, other.alpha);
      const good = apart <= AGREE && other.seconds < one.seconds;
      this.rate = (good ? other : one).seconds / (TRIAL.width * TRIAL.height);
      (good ? plain : gpu).end();
      const differs = `differs from the processor by ${apart.toExponential(0)} on a small picture`;
      if (good) return [gpu, `, which ${differs}`];
      return [plain, apart <= AGREE ? "; the GPU agrees and is slower" : `; the GPU ${differs}`];
    } catch (error) {
      gpu?.end();
      if (signal.aborted) throw error;
      return [plain, `; the GPU does not do it (${firstLine(error)})`];
    }
  }

  async fetchGraph(signal) {
    const answer = await fetch(this.facts.graph, { signal });
    if (!answer.ok) throw new Error(`${this.facts.graph} is not to be had (${answer.status})`);
    const { bytes } = this.facts;
    const graph = new Uint8Array(bytes);
    let at = 0;
    for await (const part of parts(answer.body)) {
      if (at + part.length <= bytes) graph.set(part, at);
      at += part.length;
      const words = `Fetching the network: ${megabytes(at)} of ${megabytes(bytes)} MB`;
      this.tell(words, at / bytes);
    }
    if (at === bytes) return graph;
    throw new Error(`${this.facts.graph} has ${at} bytes, expected ${bytes}`);
  }
}

async function* parts(stream) {
  const reader = stream.getReader(); // not every browser lets a stream be walked
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** Tell whether there is a GPU, and no imitation of one. */
async function findGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

/** Matte a small picture twice, as the first prepares; give the alpha and the second's seconds. */
async function trial(runtime, signal) {
  const { width, height } = TRIAL;
  const pixels = new Uint8ClampedArray(4 * width * height);
  const trimap = new Uint8Array(width * height).fill(UNKNOWN);
  for (let at = 0; at < pixels.length; at++) pixels[at] = (at * 7919) % 256; // noise enough
  for (let at = 0; at < trimap.length; at++) {
    if (at % width < 16) trimap[at] = 0;
    if (at % width >= width - 16) trimap[at] = 255;
  }
  const planes = { pixels, trimap, width, height };
  await runtime.ask("run", planes, signal);
  const begin = performance.now();
  const alpha = await runtime.ask("run", planes, signal);
  return { alpha, seconds: (performance.now() - begin) / 1000 };
}

/** Give the largest difference of two alphas. */
function farthest(one, other) {
  return one.reduce((most, value, at) => Math.max(most, Math.abs(value - other[at])), 0);
}

function megabytes(bytes) {
  return Math.round(bytes / 1e6);
}

function firstLine(error) {
  return String(error.message).split("\n")[0].slice(0, 160);
}

/** Say what a runtime ended with. */
function inWords(error, width, height) {
  const text = firstLine(error);
  if (/memory|alloc|out of bounds|^\d+$|buffer/i.test(text)) {
    const found = `${width}x${height} does not fit into this browser's memory (${text})`;
    return `${found}; close other tabs, or scale it down.`;
  }
  return `The network could not be run: ${text}.`;
}
