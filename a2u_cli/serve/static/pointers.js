// Mouse, pen and fingers on the stage: one paints, two move and zoom.

const WHEEL = 0.0015; // of zoom a unit of the wheel

/** Turn pointers into strokes of a painter and moves of a camera. */
export class Pointers {
  constructor(canvas, stage, painter, tools) {
    Object.assign(this, { canvas, stage, painter, tools });
    Object.assign(this, { down: new Map(), drag: null, space: false, spent: false, hasPen: false });
    this.moved = () => {};
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.end(event));
    canvas.addEventListener("pointercancel", (event) => this.end(event, true));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** Give where a pointer is, in the screen's own pixels. */
  place(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / this.canvas.clientWidth;
    return { x: (event.clientX - left) * ratio, y: (event.clientY - top) * ratio };
  }

  /** Tell whether this pointer moves the picture. */
  drags(event) {
    const finger = event.pointerType === "touch" && (this.tools.finger || this.hasPen);
    return this.space || event.button === 1 || this.tools.tool === "hand" || finger;
  }

  begin(event) {
    if (event.button === 2) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.hasPen ||= event.pointerType === "pen";
    this.down.set(event.pointerId, this.place(event));
    if (this.down.size === 2) {
      this.painter.cancel();
      this.drag = null;
    } else if (this.down.size === 1 && this.drags(event)) {
      this.drag = this.place(event);
      this.spent = this.space;
      this.canvas.dataset.cursor = "drag";
    } else if (this.down.size === 1) {
      if (event.shiftKey && this.painter.last) this.painter.begin(...this.painter.last);
      this.paint(event, this.painter.stroke ? "extend" : "begin");
    }
    this.moved(event);
  }

  paint(event, how) {
    const { x, y } = this.place(event);
    const at = this.stage.camera.toPicture(x, y);
    this.painter[how](at.x, at.y, event.pointerType === "pen" ? event.pressure : 1);
  }

  move(event) {
    const before = this.down.get(event.pointerId);
    if (before && this.down.size === 2) this.pinch(event);
    else if (before && this.drag) this.pan(event);
    else if (before && this.painter.stroke) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const one of events.length ? events : [event]) this.paint(one, "extend");
    }
    if (before) this.down.set(event.pointerId, this.place(event));
    this.moved(event);
  }

  pan(event) {
    const { x, y } = this.place(event);
    this.stage.camera.move(x - this.drag.x, y - this.drag.y);
    this.drag = { x, y };
    this.stage.touchAll();
  }

  /** Move and zoom as two fingers do. */
  pinch(event) {
    const measure = () => {
      const [a, b] = [...this.down.values()];
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, reach: Math.hypot(a.x - b.x, a.y - b.y) };
    };
    const before = measure();
    this.down.set(event.pointerId, this.place(event));
    const now = measure();
    this.stage.camera.move(now.x - before.x, now.y - before.y);
    this.stage.camera.zoom(now.reach / Math.max(1, before.reach), now.x, now.y);
    this.stage.touchAll();
  }

  end(event, lost = false) {
    if (!this.down.delete(event.pointerId)) return;
    if (lost) this.painter.cancel();
    else if (!this.down.size && !this.drag) this.painter.end();
    if (!this.down.size) this.drag = null;
    this.moved(event);
  }

  wheel(event) {
    event.preventDefault();
    if (event.altKey) return this.tools.grow(-Math.sign(event.deltaY || event.deltaX));
    const { camera } = this.stage;
    const { x, y } = this.place(event);
    if (event.shiftKey) camera.move(-(event.deltaX || event.deltaY), 0);
    else camera.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 6 : 1) * WHEEL), x, y);
    this.stage.touchAll();
    this.moved(event);
  }
}
