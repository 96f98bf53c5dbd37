// The network in onnxruntime-web, in a worker: the page stays alive, and can end it at any time.

const BUNDLES = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };
let ort, session;

const acts = {
  /** Load the runtime, and the graph into it. */
  async open({ runtime, graph, threads }) {
    ort = await import(`./runtime/${BUNDLES[runtime]}`);
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = new URL("runtime/", import.meta.url).href;
    ort.env.wasm.numThreads = threads;
    // Without a pattern of the memory: with one, a size's second matte takes twice as much.
    const options = { executionProviders: [runtime], logSeverityLevel: 3, enableMemPattern: false };
    session = await ort.InferenceSession.create(graph, options);
  },

  /** Matte a picture: RGBA and trimap, bytes row by row, to alpha, floats in [0, 1]. */
  async run({ pixels, trimap, width, height }) {
    const size = width * height;
    const image = new Float32Array(3 * size);
    for (let channel = 0; channel < 3; channel++) {
      for (let at = 0; at < size; at++) image[channel * size + at] = pixels[4 * at + channel] / 255;
    }
    const known = Float32Array.from(trimap, (value) => value / 255);
    const { alpha } = await session.run({
      image: new ort.Tensor("float32", image, [1, 3, height, width]),
      trimap: new ort.Tensor("float32", known, [1, 1, height, width]),
    });
    const values = Float32Array.from(await alpha.getData());
    alpha.dispose();
    if (!values.every(Number.isFinite)) throw new Error("it gave values that are not finite");
    return values;
  },
};

addEventListener("message", async ({ data: { act, ...what } }) => {
  try {
    postMessage({ result: await acts[act](what) });
  } catch (error) {
    postMessage({ error: String(error?.message ?? error) }); // emscripten throws bare numbers
  }
});
