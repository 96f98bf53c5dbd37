// The trimap in hand: one byte a pixel of 0, 128 or 255, painted by strokes and by nothing else.

import { capsule, polygon, region } from "./shapes.js";

export const KINDS = { background: 0, unknown: 128, foreground: 255 };
const AREAS = new Set(["rectangle", "lasso", "fill"]);

/** Tell whether a tool paints an area when the pen is lifted, and not along its way. */
export const isArea = (tool) => AREAS.has(tool);

/** Hold a box of pixels, half open, that grows by rows. */
export class Box {
  constructor(x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity) {
    Object.assign(this, { x0, y0, x1, y1 });
  }

  get isEmpty() {
    return this.x0 >= this.x1 || this.y0 >= this.y1;
  }

  addRow(y, from, to) {
    this.add({ x0: from, y0: y, x1: to, y1: y + 1 });
  }

  add({ x0, y0, x1, y1 }) {
    this.x0 = Math.min(this.x0, x0);
    this.y0 = Math.min(this.y0, y0);
    this.x1 = Math.max(this.x1, x1);
    this.y1 = Math.max(this.y1, y1);
  }
}

/** Hold a trimap's pixels and those that it began with, which the eraser gives back. */
export class Raster {
  constructor(width, height) {
    Object.assign(this, { width, height });
    this.data = new Uint8Array(width * height).fill(KINDS.unknown);
    this.start = this.data.slice();
  }

  /** Begin anew from these pixels. */
  restart(pixels) {
    this.data.set(pixels);
    this.start = pixels.slice();
  }

  /** Paint a whole stroke; gives the box that it touched. */
  paint(stroke) {
    const painting = new Painting(this, stroke);
    const touched = painting.advance();
    touched.add(painting.finish());
    return touched;
  }

  /** Count the pixels of each kind. */
  count() {
    const { data } = this;
    let [foreground, unknown] = [0, 0];
    for (let at = 0; at < data.length; at++) {
      foreground += data[at] === KINDS.foreground;
      unknown += data[at] === KINDS.unknown;
    }
    return { background: data.length - foreground - unknown, unknown, foreground };
  }
}

/** Paint one stroke on a raster while its points come in: every pixel but once a segment. */
export class Painting {
  constructor(raster, stroke) {
    Object.assign(this, { raster, stroke, done: 0, value: KINDS[stroke.kind] });
    if (stroke.tool === "band") {
      this.before = raster.data.slice(); // its own paint makes no new borders
      this.passed = new Set();
    }
  }

  /** Paint what has come since the last call; gives the box that was touched. */
  advance() {
    const touched = new Box();
    const { points, tool } = this.stroke;
    if (isArea(tool)) return touched;
    for (; this.done < points.length; this.done++) {
      const to = this.pen(points[this.done]);
      const from = this.done ? this.pen(points[this.done - 1]) : to;
      if (tool === "band") this.band(from, to, touched);
      else if (tool === "eraser") this.sweep(from, to, 1, touched, this.erase);
      else this.brush(from, to, touched);
    }
    return touched;
  }

  /** Paint what waits for the pen to be lifted; gives the box that was touched. */
  finish() {
    const touched = new Box();
    const { points, tool } = this.stroke;
    const { data, width, height } = this.raster;
    const span = this.into(touched, this.set);
    if (tool === "fill") {
      const [x, y] = points[0].map(Math.floor);
      const inside = x >= 0 && y >= 0 && x < width && y < height;
      if (inside && data[y * width + x] !== this.value) region(data, this.raster, x, y, span);
    } else if (isArea(tool)) {
      polygon(corners(this.stroke), this.raster, span);
    }
    return touched;
  }

  /** Give a point as a place and a radius. */
  pen([x, y, pressure]) {
    return { x, y, radius: (this.stroke.size / 2) * pressure };
  }

  /** Paint a segment: a soft one in its core only, with unknown about it. */
  brush(from, to, touched) {
    if (this.stroke.soft && this.value !== KINDS.unknown) {
      this.sweep(from, to, 1, touched, this.loosen);
      this.sweep(from, to, 0.5, touched, this.set);
    } else {
      this.sweep(from, to, 1, touched, this.set);
    }
  }

  /** Call act for each row of a segment, its radius times share, and for the pixel under its end. */
  sweep(from, to, share, touched, act) {
    const { raster } = this;
    const span = this.into(touched, act);
    capsule(from, to, from.radius * share, to.radius * share, raster, span);
    const [x, y] = [Math.floor(to.x), Math.floor(to.y)];
    if (x >= 0 && y >= 0 && x < raster.width && y < raster.height) span(y, x, x + 1);
  }

  /** Make a span that acts on the raster's indices and notes what it touched. */
  into(touched, act) {
    return (y, from, to) => {
      touched.addRow(y, from, to);
      act.call(this, y * this.raster.width + from, y * this.raster.width + to);
    };
  }

  set(from, to) {
    this.raster.data.fill(this.value, from, to);
  }

  erase(from, to) {
    this.raster.data.set(this.raster.start.subarray(from, to), from);
  }

  /** Make unknown what is not already of the stroke's kind. */
  loosen(from, to) {
    const { data } = this.raster;
    for (let i = from; i < to; i++) if (data[i] !== this.value) data[i] = KINDS.unknown;
  }

  /** Paint unknown about every border between kinds that the segment passes over. */
  band(from, to, touched) {
    this.value = KINDS.unknown;
    const { width } = this.raster;
    const span = this.into(touched, this.set);
    capsule(from, to, from.radius, to.radius, this.raster, (y, first, last) => {
      for (let x = first; x < last; x++) {
        const at = y * width + x;
        if (this.passed.has(at) || !this.isBorder(x, y, at)) continue;
        this.passed.add(at);
        const centre = { x: x + 0.5, y: y + 0.5 };
        capsule(centre, centre, to.radius, to.radius, this.raster, span);
      }
    });
  }

  isBorder(x, y, at) {
    const { before } = this;
    const { width, height } = this.raster;
    const value = before[at];
    return (
      (x > 0 && before[at - 1] !== value) ||
      (y > 0 && before[at - width] !== value) ||
      (x < width - 1 && before[at + 1] !== value) ||
      (y < height - 1 && before[at + width] !== value)
    );
  }
}

/** Give the corners of a rectangle or a lasso. */
function corners({ tool, points }) {
  if (tool === "lasso") return points.map(([x, y]) => ({ x, y }));
  const [[x0, y0], [x1, y1]] = [points[0], points[points.length - 1]];
  return [
    { x: x0, y: y0 },
    { x: x1, y: y0 },
    { x: x1, y: y1 },
    { x: x0, y: y1 },
  ];
}
