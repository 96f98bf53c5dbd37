// The keyboard's pen: arrow keys move it over the picture, Space puts it down and lifts it.

const HELD = "button, select, summary, input:not([type=radio], [type=range])"; // Space is theirs
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Move a pen by keys while the picture has the focus. */
export class Pen {
  constructor(canvas, stage, painter, marks, pointers) {
    Object.assign(this, { canvas, stage, painter, marks, pointers });
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("pointerdown", () => this.hide());
    canvas.addEventListener("blur", () => this.hide());
    addEventListener("keyup", (event) => event.key === " " && this.release());
    addEventListener("keydown", (event) => this.hold(event));
  }

  /** Space held over the stage lets the pointer move the picture. */
  hold(event) {
    const isOnControl = event.target.matches?.(HELD);
    if (event.key !== " " || isOnControl || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    if (event.repeat) return;
    Object.assign(this.pointers, { space: true, spent: false });
    this.canvas.dataset.cursor = "hand";
  }

  /** A Space that moved nothing puts the pen down, or lifts it. */
  release() {
    const { pointers, canvas } = this;
    const tapped = pointers.space && !pointers.spent;
    pointers.space = false;
    this.marks.showCursor();
    if (tapped && document.activeElement === canvas) this.toggle();
  }

  toggle() {
    const { painter, marks } = this;
    const { x, y } = (marks.pen ??= this.middle());
    if (painter.stroke) painter.end();
    else {
      painter.begin(x, y);
      if (painter.tools.tool === "fill") painter.end();
    }
    marks.draw();
  }

  middle() {
    const { camera } = this.stage;
    return camera.toPicture(camera.width / 2, camera.height / 2);
  }

  press(event) {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { marks, painter, stage } = this;
    const { width, height } = stage.picture;
    const pen = (marks.pen ??= this.middle());
    const reach = event.shiftKey ? 1 : Math.max(1, Math.round(painter.tools.size / 4));
    pen.x = Math.min(width, Math.max(0, pen.x + step[0] * reach));
    pen.y = Math.min(height, Math.max(0, pen.y + step[1] * reach));
    painter.extend(pen.x, pen.y);
    this.follow(pen);
    marks.draw();
  }

  /** Keep the pen in sight, and under the loupe. */
  follow({ x, y }) {
    const { camera } = this.stage;
    const at = camera.toScreen(x, y);
    this.marks.at = at;
    if (at.x < 0 || at.y < 0 || at.x > camera.width || at.y > camera.height) {
      camera.centre(x, y);
      this.stage.touchAll();
    }
  }

  hide() {
    if (!this.marks.pen) return;
    this.painter.end();
    this.marks.pen = null;
    this.marks.draw();
  }
}
