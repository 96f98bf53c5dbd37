// What is drawn over the stage and is no part of it: outlines, the pen, the loupe, the next place.

import { isArea } from "./raster.js";

const LOUPE = 8; // times, of the picture's pixels on the screen
const RINGS = new Set(["brush", "eraser", "band"]); // tools that show their size

/** Draw marks on a canvas of its own, which is cleared each time. */
export class Marks {
  constructor(canvas, stage, painter, tools) {
    Object.assign(this, { canvas, stage, painter, tools, pen: null, at: null, drawn: false });
    this.context = canvas.getContext("2d");
    this.cursor = document.getElementById("cursor");
    this.loupe = document.getElementById("loupe");
  }

  /** Draw all marks anew. */
  draw() {
    const { canvas, context, painter, stage } = this;
    if (this.drawn) context.clearRect(0, 0, canvas.width, canvas.height);
    this.drawn = false;
    if (painter.stroke) this.drawStroke(painter.stroke);
    if (this.pen) this.drawPen(this.pen);
    if (stage.looks.doubt && stage.picture?.next) this.drawNext(stage.picture.next);
    this.drawLoupe();
  }

  /** Show the outline of an area, or where a stroke passed if the view shows no layers. */
  drawStroke({ tool, kind, size, points }) {
    const { context } = this;
    const { camera, looks } = this.stage;
    const way = points.map(([x, y]) => camera.toScreen(x, y));
    if (isArea(tool) || tool === "box") this.outline(tool, way);
    else if (looks.view === "alpha" || looks.view === "cutout") {
      this.drawn = true;
      context.globalAlpha = 0.45;
      context.strokeStyle = looks.layers[kind].colour;
      Object.assign(context, { lineWidth: size * camera.scale, lineCap: "round", lineJoin: "round" });
      context.beginPath();
      for (const { x, y } of [way[0], ...way]) context.lineTo(x, y);
      context.stroke();
      context.globalAlpha = 1;
    }
  }

  outline(tool, way) {
    const { context } = this;
    const [from, to] = [way[0], way.at(-1)];
    context.beginPath();
    if (tool === "lasso") {
      for (const { x, y } of way) context.lineTo(x, y);
      context.closePath();
    } else context.rect(from.x, from.y, to.x - from.x, to.y - from.y);
    this.ink(2);
  }

  /** Draw the path twice, so that it shows on any ground. */
  ink(width) {
    const { context } = this;
    this.drawn = true;
    for (const [colour, wide, dash] of [["#000b", width + 2, []], ["#fff", width, [6, 5]]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: wide });
      context.setLineDash(dash);
      context.stroke();
    }
    context.setLineDash([]);
  }

  /** Show the keyboard's pen: a cross, and the brush about it. */
  drawPen({ x, y }) {
    const { context } = this;
    const at = this.stage.camera.toScreen(x, y);
    const radius = Math.max(3, (this.tools.size / 2) * this.stage.camera.scale);
    context.beginPath();
    context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
    for (const [dx, dy] of [[9, 0], [0, 9]]) {
      context.moveTo(at.x - dx, at.y - dy);
      context.lineTo(at.x + dx, at.y + dy);
    }
    this.ink(1.5);
  }

  /** Show where to paint next. */
  drawNext([x, y]) {
    const { context, canvas } = this;
    const at = this.stage.camera.toScreen(x, y);
    const ratio = canvas.width / canvas.clientWidth;
    context.beginPath();
    context.arc(at.x, at.y, 16 * ratio, 0, 2 * Math.PI);
    this.ink(2 * ratio);
    const words = "paint here next";
    context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    const wide = context.measureText(words).width + 14 * ratio;
    const left = at.x + 24 * ratio + wide > canvas.width ? at.x - 24 * ratio - wide : at.x + 24 * ratio;
    context.fillStyle = "#ff40c8";
    context.beginPath();
    context.roundRect(left, at.y - 11 * ratio, wide, 22 * ratio, 6 * ratio);
    context.fill();
    context.fillStyle = "#1d0015";
    context.fillText(words, left + 7 * ratio, at.y + 4 * ratio);
  }

  /** Show the pointer that the tool has. */
  showCursor() {
    const { tool } = this.tools;
    const { dataset } = this.stage.canvas;
    dataset.cursor = tool === "hand" ? "hand" : RINGS.has(tool) ? "brush" : "cross";
    if (dataset.cursor !== "brush") this.cursor.hidden = true;
  }

  /** Follow a pointer with the brush's ring, and with the loupe. */
  follow(event) {
    const { canvas } = this.stage;
    const { left, top } = canvas.getBoundingClientRect();
    const ratio = canvas.width / canvas.clientWidth;
    const [x, y] = [event.clientX - left, event.clientY - top];
    this.at = { x: x * ratio, y: y * ratio };
    this.cursor.hidden = event.pointerType === "touch" || canvas.dataset.cursor !== "brush";
    const size = Math.max(4, (this.tools.size * this.stage.camera.scale) / ratio);
    Object.assign(this.cursor.style, {
      width: `${size}px`,
      height: `${size}px`,
      transform: `translate(${x - size / 2}px, ${y - size / 2}px)`,
    });
    this.cursor.toggleAttribute("data-soft", this.tools.soft && this.tools.tool === "brush");
    this.loupe.classList.toggle("aside", x < 220 && y < 220);
    if (!this.loupe.hidden) requestAnimationFrame(() => this.drawLoupe());
  }

  /** Show the pixels under the pen, larger. */
  drawLoupe() {
    const { loupe, stage, at } = this;
    if (loupe.hidden || !at || !stage.picture?.small) return;
    const own = loupe.getContext("2d");
    const side = loupe.width;
    const from = (side / LOUPE) * Math.max(1, stage.camera.scale / LOUPE);
    own.imageSmoothingEnabled = false;
    own.fillStyle = "#000";
    own.fillRect(0, 0, side, side);
    if (stage.camera.scale >= LOUPE) {
      own.drawImage(stage.canvas, at.x - from / 2, at.y - from / 2, from, from, 0, 0, side, side);
    } else this.magnify(own, side);
    own.strokeStyle = "#fff";
    own.globalCompositeOperation = "difference";
    own.strokeRect(side / 2 - LOUPE / 2, side / 2 - LOUPE / 2, LOUPE, LOUPE);
    own.globalCompositeOperation = "source-over";
  }

  /** Draw the picture and its layers about the pen, at the loupe's scale. */
  magnify(own, side) {
    const { stage, at } = this;
    const { picture } = stage;
    const { x, y } = stage.camera.toPicture(at.x, at.y);
    const [left, top] = [side / 2 - x * LOUPE, side / 2 - y * LOUPE];
    const preview = picture.at(LOUPE);
    own.drawImage(preview, left, top, picture.width * LOUPE, picture.height * LOUPE);
    const palette = stage.layers();
    const reach = Math.ceil(side / LOUPE / 2);
    const { data, width, height } = picture.raster;
    for (let row = Math.floor(y) - reach; row <= y + reach; row++) {
      for (let column = Math.floor(x) - reach; column <= x + reach; column++) {
        if (row < 0 || column < 0 || row >= height || column >= width) continue;
        own.fillStyle = css(palette[data[row * width + column]]);
        own.fillRect(left + column * LOUPE, top + row * LOUPE, LOUPE, LOUPE);
      }
    }
  }
}

/** Write a pixel's four bytes as CSS. */
function css(value) {
  const [red, green, blue] = [value & 255, (value >> 8) & 255, (value >> 16) & 255];
  return `rgb(${red} ${green} ${blue} / ${(value >>> 24) / 255})`;
}
