// What was painted, in order: strokes as vectors, undone and redone without end.

import { KINDS } from "./raster.js";

const EVERY = 12; // strokes between snapshots, so that an undo never paints more than these again

/** Write pixels as runs, each its length times 256 and its value: a trimap is a few kilobytes. */
export function pack(pixels) {
  const runs = [];
  for (let at = 0; at < pixels.length; ) {
    const from = at;
    const value = pixels[at];
    while (at < pixels.length && pixels[at] === value) at++;
    runs.push((at - from) * 256 + value);
  }
  return Float64Array.from(runs);
}

/** Write runs back into pixels. */
export function unpack(runs, pixels) {
  let at = 0;
  for (const run of runs) {
    const length = Math.floor(run / 256);
    pixels.fill(run % 256, at, at + length);
    at += length;
  }
  return pixels;
}

/** Hold the strokes on a raster, and the raster as it was every so many of them. */
export class History {
  constructor(raster) {
    this.raster = raster;
    this.begin({ kind: "unknown", png: null });
  }

  /** Begin anew, without strokes: from one kind all over, or from pixels. */
  begin(start, pixels = null) {
    Object.assign(this, { start, strokes: [], undone: [], snapshots: [] });
    this.starts = new WeakMap(); // of strokes that are starts, their runs
    this.raster.restart(pixels ?? this.plain(start.kind));
    this.first = pack(this.raster.data);
    this.current = undefined; // the stroke that the raster's start is of, if any
  }

  /** Begin anew over what was painted, so that it can be undone. */
  startOver(start, pixels = null) {
    const stroke = { tool: "start", size: 0, soft: false, points: [], ...start };
    this.knowStart(stroke, pixels ?? this.plain(start.kind));
    this.paint(stroke);
    this.add(stroke);
  }

  /** Tell which pixels a stroke that is a start begins with. */
  knowStart(stroke, pixels) {
    this.starts.set(stroke, pack(pixels));
  }

  plain(kind) {
    return new Uint8Array(this.raster.data.length).fill(KINDS[kind]);
  }

  /** Note a stroke that the raster shows already. */
  add(stroke) {
    this.strokes.push(stroke);
    this.undone = [];
    this.keep();
  }

  undo() {
    if (!this.strokes.length) return false;
    this.undone.push(this.strokes.pop());
    this.repaint();
    return true;
  }

  redo() {
    if (!this.undone.length) return false;
    const stroke = this.undone.pop();
    this.strokes.push(stroke);
    this.paint(stroke);
    this.keep();
    return true;
  }

  /** Take a project's strokes; those that are starts are known already. */
  take(strokes, undone) {
    Object.assign(this, { strokes: [], undone, snapshots: [] });
    for (const stroke of strokes) {
      this.strokes.push(stroke);
      this.paint(stroke);
      this.keep();
    }
  }

  paint(stroke) {
    if (stroke.tool === "start") {
      this.setStart(stroke);
      this.raster.data.set(this.raster.start);
    } else this.raster.paint(stroke);
  }

  /** Let the eraser give back what this stroke begins with, or the project where there is none. */
  setStart(stroke) {
    if (this.current === stroke) return;
    this.current = stroke;
    unpack(stroke ? this.starts.get(stroke) : this.first, this.raster.start);
  }

  keep() {
    const count = this.strokes.length;
    if (count % EVERY === 0) this.snapshots.push({ count, runs: pack(this.raster.data) });
  }

  /** Paint the raster anew, from the last snapshot that still holds. */
  repaint() {
    const { raster, strokes, snapshots } = this;
    while (snapshots.length && snapshots.at(-1).count > strokes.length) snapshots.pop();
    const { count, runs } = snapshots.at(-1) ?? { count: 0, runs: this.first };
    this.setStart(strokes.slice(0, count).findLast((stroke) => stroke.tool === "start"));
    unpack(runs, raster.data);
    for (const stroke of strokes.slice(count)) this.paint(stroke);
  }
}
