// One stroke at a time, from wherever the pen is moved: a mouse, a pen, a finger or the keyboard.

import { isArea, Painting } from "./raster.js";

const round = (value, parts) => Math.round(value * parts) / parts;

/** Paint on the picture in hand; tells "begin", "paint" (with its box), "move", "stroke", "box". */
export class Painter extends EventTarget {
  constructor(tools) {
    super();
    Object.assign(this, { tools, picture: null, stroke: null, painting: null, last: null });
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Put the pen down. */
  begin(x, y, pressure = 1) {
    if (!this.picture || this.stroke) return;
    const { tool, kind, size, soft } = this.tools;
    this.tell("begin");
    this.stroke = { tool, kind: tool === "band" ? "unknown" : kind, size, soft, points: [] };
    if (tool !== "box") this.painting = new Painting(this.picture.raster, this.stroke);
    this.extend(x, y, pressure);
  }

  /** Move the pen, which is down. */
  extend(x, y, pressure = 1) {
    const { stroke } = this;
    if (!stroke) return;
    const point = [round(x, 100), round(y, 100), round(this.tools.pressure ? pressure : 1, 1000)];
    const last = stroke.points.at(-1);
    if (last && Math.hypot(point[0] - last[0], point[1] - last[1]) < 0.25) return;
    stroke.points.push(point);
    this.painted(this.painting?.advance());
    this.tell("move");
  }

  /** Lift the pen: the stroke is one. */
  end() {
    const { stroke, painting } = this;
    if (!stroke) return;
    Object.assign(this, { stroke: null, painting: null });
    this.tell("move");
    if (stroke.tool === "box") return this.endBox(stroke.points);
    this.painted(painting.finish());
    this.last = stroke.points.at(-1);
    this.picture.history.add(isArea(stroke.tool) ? { ...stroke, size: 0, soft: false } : stroke);
    this.tell("stroke");
  }

  /** Take the pen away as if it had never been down. */
  cancel() {
    if (!this.stroke) return;
    const painted = this.stroke.tool !== "box";
    Object.assign(this, { stroke: null, painting: null });
    if (painted) this.picture.history.repaint();
    this.tell("cancel");
  }

  painted(box) {
    if (box && !box.isEmpty) this.tell("paint", box);
  }

  endBox(points) {
    const { width, height } = this.picture;
    const inside = (value, most) => Math.min(most, Math.max(0, Math.round(value)));
    const [[ax, ay], [bx, by]] = [points[0], points.at(-1)];
    const [x, y] = [inside(Math.min(ax, bx), width), inside(Math.min(ay, by), height)];
    const [right, bottom] = [inside(Math.max(ax, bx), width), inside(Math.max(ay, by), height)];
    this.tell("box", { x, y, width: right - x, height: bottom - y });
  }
}
