// The stage: the picture, its layers and its matte on the screen, only where something changed.

import { Camera } from "./camera.js";
import { KINDS } from "./raster.js";

const CELL = 12; // of the checker, in the screen's pixels
const VEIL = 0.75; // opacity of what is quite uncertain
const SHARP = 2; // from this zoom on a pixel is shown as a square

/** Write a colour of CSS (#rrggbb) and an opacity as the four bytes of a pixel. */
export function pixel(colour, opacity = 1) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((Math.round(opacity * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

const GREYS = Uint32Array.from({ length: 256 }, (_, value) => pixel("#000000") + value * 0x10101);

/** Draw a picture by a camera as `looks` say; what is drawn is what was asked for by `touch`. */
export class Stage {
  constructor(canvas, looks) {
    Object.assign(this, { canvas, looks, camera: new Camera(), picture: null, box: null });
    this.context = canvas.getContext("2d", { alpha: false });
    this.scratch = new OffscreenCanvas(1, 1);
    this.palette = new Uint32Array(256);
    this.after = () => {}; // what else is drawn after each change
  }

  /** Show another picture, whole. */
  show(picture) {
    this.picture = picture;
    this.camera.picture = picture;
    this.camera.fit();
    this.touchAll();
  }

  resize(width, height) {
    Object.assign(this.canvas, { width, height });
    this.camera.resize(width, height);
    this.touchAll();
  }

  touchAll() {
    this.touchScreen({ x0: 0, y0: 0, x1: this.camera.width, y1: this.camera.height });
  }

  /** Draw a box of the picture anew with the next frame. */
  touch(box) {
    if (!box.isEmpty) this.touchScreen(this.camera.cover(box));
  }

  touchScreen(box) {
    if (!this.box) requestAnimationFrame(() => this.draw());
    const { x0, y0, x1, y1 } = this.box ?? box;
    this.box = {
      x0: Math.min(x0, box.x0),
      y0: Math.min(y0, box.y0),
      x1: Math.max(x1, box.x1),
      y1: Math.max(y1, box.y1),
    };
  }

  draw() {
    const box = this.camera.clip(this.box);
    this.box = null;
    if (box.x0 >= box.x1 || box.y0 >= box.y1) return;
    this.within(box, () => {
      this.context.fillStyle = getComputedStyle(this.canvas.parentElement).backgroundColor;
      this.context.fillRect(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
      if (this.picture?.small) this.drawLooks(box);
    });
    this.after();
  }

  /** Draw within a box of the screen. */
  within({ x0, y0, x1, y1 }, draw) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x0, y0, x1 - x0, y1 - y0);
    this.context.clip();
    draw();
    this.context.restore();
  }

  drawLooks(box) {
    const { view, held, compare } = this.looks;
    if (held) return this.drawPicture(this.context);
    if (compare === null) return this.drawView(view, box);
    const edge = Math.round(compare * this.camera.width);
    const [left, right] = [{ ...box, x1: Math.min(edge, box.x1) }, { ...box, x0: Math.max(edge, box.x0) }];
    if (left.x0 < left.x1) this.within(left, () => this.drawPicture(this.context));
    const after = view === "picture" && this.picture.mask ? "cutout" : view;
    if (right.x0 < right.x1) this.within(right, () => this.drawView(after, right));
  }

  drawView(view, box) {
    const { picture, context } = this;
    if (view === "alpha" && picture.alpha) this.lay(context, picture.alpha);
    else if (view === "cutout" && picture.mask) this.drawCutout(box);
    else if (view === "picture" || view === "cutout") {
      this.drawPicture(context);
      if (picture.begun) this.tint(box, this.layers());
    } else this.tint(box, GREYS);
    if (!this.looks.doubt || !picture.doubt) return;
    context.globalAlpha = VEIL;
    this.lay(context, picture.doubt);
    context.globalAlpha = 1;
  }

  /** Lay something of the picture's shape where the picture is. */
  lay(context, what) {
    const { x, y, scale } = this.camera;
    const { width, height } = this.picture;
    const isWhole = what.width === width;
    context.imageSmoothingEnabled = !(isWhole && scale >= SHARP);
    context.imageSmoothingQuality = "medium";
    context.drawImage(what, x, y, width * scale, height * scale);
  }

  drawPicture(context) {
    this.lay(context, this.picture.at(this.camera.scale));
  }

  /** Give the colours of the layers by the trimap's values. */
  layers() {
    for (const [kind, value] of Object.entries(KINDS)) {
      const { shown, colour, opacity } = this.looks.layers[kind];
      this.palette[value] = shown ? pixel(colour, opacity) : 0;
    }
    return this.palette;
  }

  /** Colour each pixel of the screen by the trimap's pixel under it. */
  tint({ x0, y0, x1, y1 }, palette) {
    const { camera, context } = this;
    const { data, width, height } = this.picture.raster;
    const image = new ImageData(x1 - x0, y1 - y0);
    const out = new Uint32Array(image.data.buffer);
    const columns = Int32Array.from({ length: x1 - x0 }, (_, i) =>
      Math.floor((x0 + i + 0.5 - camera.x) / camera.scale),
    );
    const from = columns.findIndex((x) => x >= 0 && x < width);
    const to = columns.findLastIndex((x) => x >= 0 && x < width) + 1;
    for (let row = 0; from >= 0 && row < y1 - y0; row++) {
      const y = Math.floor((y0 + row + 0.5 - camera.y) / camera.scale);
      if (y < 0 || y >= height) continue;
      const [source, target] = [y * width, row * (x1 - x0)];
      for (let i = from; i < to; i++) out[target + i] = palette[data[source + columns[i]]];
    }
    context.drawImage(this.scratchOf(image), x0, y0);
  }

  scratchOf(image) {
    const { scratch } = this;
    Object.assign(scratch, { width: image.width, height: image.height });
    scratch.getContext("2d").putImageData(image, 0, 0);
    return scratch;
  }

  drawCutout(box) {
    const { picture, context, camera } = this;
    const { x, y, scale } = camera;
    const frame = [x, y, picture.width * scale, picture.height * scale];
    this.drawBehind(box, frame);
    if (picture.cutout) return this.lay(context, picture.cutout);
    const { scratch } = this;
    Object.assign(scratch, { width: box.x1 - box.x0, height: box.y1 - box.y0 });
    const own = scratch.getContext("2d");
    own.translate(-box.x0, -box.y0);
    this.drawPicture(own);
    own.globalCompositeOperation = "destination-in";
    this.lay(own, picture.mask);
    context.drawImage(scratch, box.x0, box.y0);
  }

  /** Draw what lies behind the cut-out: a checker, a colour, or a picture that covers all. */
  drawBehind(box, [left, top, width, height]) {
    const { context } = this;
    const { kind, colour, picture } = this.looks.behind;
    this.within(box, () => {
      context.beginPath();
      context.rect(left, top, width, height);
      context.clip();
      context.fillStyle = kind === "colour" ? colour : this.checker();
      context.fillRect(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
      if (kind !== "picture" || !picture) return;
      const scale = Math.max(width / picture.width, height / picture.height);
      const [wide, high] = [picture.width * scale, picture.height * scale];
      context.imageSmoothingEnabled = true;
      context.drawImage(picture, left + (width - wide) / 2, top + (height - high) / 2, wide, high);
    });
  }

  checker() {
    if (this.pattern) return this.pattern;
    const cells = new OffscreenCanvas(2 * CELL, 2 * CELL);
    const own = cells.getContext("2d");
    own.fillStyle = "#ffffff";
    own.fillRect(0, 0, 2 * CELL, 2 * CELL);
    own.fillStyle = "#cccccc";
    own.fillRect(0, 0, CELL, CELL);
    own.fillRect(CELL, CELL, CELL, CELL);
    this.pattern = this.context.createPattern(cells, "repeat");
    return this.pattern;
  }
}
