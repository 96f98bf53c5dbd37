// The picture in hand: its pixels to look at, its trimap, its strokes, and what was made of them.

import { History } from "./history.js";
import { decode, greys } from "./png.js";
import { Raster } from "./raster.js";

const SMALL = 1600; // pixels of the longer side: shown first, and wherever it is enough

/** Hold a picture's facts, previews, trimap and matte. */
export class Picture {
  constructor(facts) {
    Object.assign(this, { ...facts, small: null, large: null, begun: false });
    this.raster = new Raster(facts.width, facts.height);
    this.history = new History(this.raster);
    this.forget();
  }

  /** Forget the matte and all that came of it. */
  forget() {
    Object.assign(this, { alpha: null, mask: null, isFull: false });
    Object.assign(this, { cutout: null, doubt: null, next: null });
  }

  /** Load the previews: a small one first. */
  async load(api, signal, shown) {
    const path = `/${this.job}/preview`;
    this.small = await decode(await api.blob(path, { query: { side: SMALL }, signal }));
    shown();
    if (this.small.width >= this.width) return;
    this.large = await decode(await api.blob(path, { signal }));
    shown();
  }

  /** Give the smallest preview that is enough at a scale. */
  at(scale) {
    const enough = this.small && this.small.width >= this.width * scale;
    return enough || !this.large ? this.small : this.large;
  }

  /** Take a matte to show, of a draft or whole, unless another is wanted by the time it is decoded. */
  async takeAlpha(blob, isWanted) {
    const alpha = await decode(blob);
    if (!isWanted()) return;
    Object.assign(this, { alpha, mask: veil(alpha, [255, 255, 255]) });
    Object.assign(this, { cutout: null, doubt: null, next: null });
  }

  async takeCutout(blob, isWanted) {
    const cutout = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    if (isWanted()) this.cutout = cutout;
  }

  async takeDoubt(blob, next, isWanted) {
    const doubt = veil(await decode(blob), [255, 64, 200]);
    if (!isWanted()) return;
    this.doubt = doubt;
    this.next = next ? next.split(",").map(Number) : null;
  }
}

/** Make a canvas of one colour whose opacity is a picture's grey. */
function veil(bitmap, [red, green, blue]) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const values = greys(bitmap);
  for (let at = 0; at < values.length; at++) {
    image.data.set([red, green, blue, values[at]], 4 * at);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
