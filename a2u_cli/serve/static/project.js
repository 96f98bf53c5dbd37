// The project: strokes and where they began, kept by the server after each stroke, or in a file.

import { lasting } from "./memory.js";
import { decode, encode, fromText, greys, toText } from "./png.js";
import { KINDS } from "./raster.js";
import { report } from "./words.js";

const SMALL = 60000; // bytes that a browser still sends when its tab is closed
const TOOLS = new Set(["brush", "eraser", "band", "fill", "rectangle", "lasso", "start"]);

/** Write a start whose pixels are its own as the project keeps it. */
export async function makeStart(pixels, width, height) {
  return { kind: "trimap", png: await toText(await encode(pixels, width, height)) };
}

/** Write the picture's project. */
export function build(picture, server, options) {
  const { name, width, height, sha256, history } = picture;
  const { start, strokes, undone } = history;
  return {
    a2u: "project",
    version: 1,
    saved: Date.now(),
    picture: { name, width, height, sha256 },
    weights: { name: server.weights, sha256: server.weights_sha256 },
    options,
    start,
    strokes,
    undone,
  };
}

/** Take a project's strokes onto a picture; gives what there is to say of it. */
export async function open(project, picture, server) {
  require(project, picture);
  const { start, strokes, undone, weights } = project;
  const pixels = start.kind === "trimap" ? await pixelsOf(start, picture) : null;
  const starts = [...strokes, ...undone].filter((stroke) => stroke.tool === "start");
  const known = await Promise.all(
    starts.map((stroke) => (stroke.kind === "trimap" ? pixelsOf(stroke, picture) : null)),
  );
  const { history } = picture;
  history.begin(start, pixels);
  starts.forEach((one, i) => history.knowStart(one, known[i] ?? history.plain(one.kind)));
  history.take(strokes, undone);
  const words = [];
  if (project.picture.sha256 !== picture.sha256) {
    words.push(`the project was made on another file, ${project.picture.name}; its strokes are laid on this one`);
  }
  if (weights && weights.sha256 !== server.weights_sha256) {
    words.push(`it was made with the weights ${weights.name}, here are ${server.weights}: the matte may differ`);
  }
  return words.join("; ");
}

async function pixelsOf({ png }, { width, height }) {
  const bitmap = await decode(fromText(png));
  if (bitmap.width !== width || bitmap.height !== height) {
    throw new Error(`the project's start is ${bitmap.width}x${bitmap.height}, expected ${width}x${height}`);
  }
  return greys(bitmap).map((grey) => (grey === 0 || grey === 255 ? grey : 128));
}

/** Refuse what is no project of a picture of this size. */
function require(project, { width, height, name }) {
  if (project?.a2u !== "project" || project.version !== 1) {
    throw new Error("the file is no project of this a2u; open one that Project, Download has written");
  }
  const { picture, start, strokes, undone } = project;
  if (picture?.width !== width || picture?.height !== height) {
    const found = `the project is of ${picture?.name}, ${picture?.width}x${picture?.height}`;
    throw new Error(`${found}, but ${name} is ${width}x${height}; open the picture it was made on`);
  }
  const isStroke = ({ tool, kind, size, points }) =>
    TOOLS.has(tool) && (kind in KINDS || tool === "start") && Number.isFinite(size) &&
    Array.isArray(points) && points.flat().every(Number.isFinite);
  const lists = [strokes, undone].every((list) => Array.isArray(list) && list.every(isStroke));
  if (!lists || !start) throw new Error("the project's strokes are damaged; open another copy");
}

/** Keep the project on the server after each change, one request at a time; tells "kept". */
export class Autosave extends EventTarget {
  constructor(api, describe) {
    super();
    Object.assign(this, { api, describe, picture: null, waiting: new Set(), busy: false });
    addEventListener("pagehide", () => this.remember());
    document.addEventListener("visibilitychange", () => document.hidden && this.remember());
  }

  /** Send the project now, or after the one that is on its way. */
  async changed() {
    this.waiting.add(this.picture);
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.size) {
      const [picture] = this.waiting;
      this.waiting.delete(picture);
      await this.send(picture).catch(report);
    }
    this.busy = false;
  }

  async send(picture) {
    const body = JSON.stringify(this.describe(picture));
    const keepalive = body.length < SMALL;
    try {
      const { path } = await this.api.json("PUT", `/${picture.job}/project`, { body, keepalive });
      lasting.forget(this.key(picture));
      if (picture === this.picture) this.dispatchEvent(new CustomEvent("kept", { detail: path }));
    } catch (error) {
      this.remember(picture);
      throw error;
    }
  }

  key({ sha256 }) {
    return `a2u-project-${sha256}`;
  }

  /** Keep in the browser what the server has not got yet. */
  remember(picture = this.picture) {
    if (!this.busy) return; // where the browser has no room, the request on its way is all there is
    lasting.set(this.key(picture), JSON.stringify(this.describe(picture)));
  }

  /** Give the newest project of a picture: the server's, or the browser's. */
  async load(picture) {
    const kept = await this.api.json("GET", `/${picture.job}/project`);
    const own = lasting.read(this.key(picture));
    return own && own.saved > (kept?.saved ?? 0) ? own : kept;
  }
}
