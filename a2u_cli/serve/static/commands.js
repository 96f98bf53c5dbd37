// What the user can do, with its keys: the table that the page obeys, and that its help shows.

const element = (id) => document.getElementById(id);

/** Make the table of keys for a desk: groups of [keys, shown, words, act]. */
export function commandsOf(desk) {
  return { ...handOf(desk), ...eyeOf(desk), ...filesOf(desk) };
}

/** What is in the hand, and how it paints. */
function handOf({ tools }) {
  const tool = (name) => () => tools.set({ tool: name });
  const kind = (name) => () => tools.set({ kind: name });
  return {
    Tools: [
      [["b"], "B", "Brush", tool("brush")],
      [["e"], "E", "Eraser, back to the start", tool("eraser")],
      [["d"], "D", "Band along an edge", tool("band")],
      [["g"], "G", "Fill", tool("fill")],
      [["r"], "R", "Rectangle", tool("rectangle")],
      [["l"], "L", "Lasso", tool("lasso")],
      [["m"], "M", "Box start", tool("box")],
      [["h"], "H", "Hand", tool("hand")],
    ],
    Paint: [
      [["1"], "1", "Object", kind("foreground")],
      [["2"], "2", "Background", kind("background")],
      [["3"], "3", "Unknown", kind("unknown")],
      [["x"], "X", "Object or background", () => tools.swap()],
      [["["], "[", "Smaller brush", () => tools.grow(-1)],
      [["]"], "]", "Larger brush", () => tools.grow(1)],
      [["s"], "S", "Soft or hard", () => tools.set({ soft: !tools.soft })],
      [[], "Shift+click", "A straight line", null],
      [[], "Alt+wheel", "Brush size", null],
    ],
    "With the keyboard alone": [
      [[], "Arrows", "Move the pen, on the picture", null],
      [[], "Shift+Arrows", "A pixel at a time", null],
      [[], "Space", "Pen down, pen up", null],
      [["v"], "V", "To the picture", () => element("view").focus()],
    ],
  };
}

/** How it is looked at. */
function eyeOf({ looks, stage }) {
  const view = (name) => () => looks.set({ view: name });
  const camera = (act) => () => {
    act(stage.camera);
    stage.touchAll();
  };
  return {
    Views: [
      [["p"], "P", "Picture", view("picture")],
      [["t"], "T", "Trimap", view("trimap")],
      [["a"], "A", "Alpha", view("alpha")],
      [["c"], "C", "Cut-out", view("cutout")],
      [["k"], "K", "Before and after", () => looks.toggleCompare()],
      [["o"], "O", "Hold: the original", () => looks.held || looks.set({ held: true })],
      [["z"], "Z", "Loupe", () => element("loupe-toggle").click()],
      [["u"], "U", "Mark uncertain places", () => looks.set({ doubt: !looks.doubt })],
      [["n"], "N", "Paint here next", () => element("next-place").click()],
      [["\\"], "\\", "Panel", () => element("panel-toggle").click()],
    ],
    Zoom: [
      [["+", "="], "+", "Larger", camera((one) => one.zoom(1.25))],
      [["-"], "-", "Smaller", camera((one) => one.zoom(0.8))],
      [["0"], "0", "Fit", camera((one) => one.fit())],
      [["9"], "9", "A pixel for a pixel", camera((one) => one.whole())],
      [[], "Space+drag", "Move the picture", null],
      [[], "Wheel", "Zoom", null],
    ],
  };
}

/** What is made, undone, saved, and taken next. */
function filesOf(desk) {
  const { strip, painter, matte } = desk;
  const isOnControl = (event) => event.target.closest?.("button, summary, a") !== null;
  return {
    "Matte and files": [
      [["Enter"], "Enter", "Full matte", (event) => (isOnControl(event) ? false : matte.full())],
      [["Escape"], "Esc", "Cancel", () => (painter.stroke ? painter.cancel() : matte.cancel())],
      [["Ctrl+z"], "Ctrl+Z", "Undo", () => desk.undo()],
      [["Ctrl+Shift+z", "Ctrl+y"], "Ctrl+Shift+Z", "Redo", () => desk.redo()],
      [["Ctrl+s"], "Ctrl+S", "Save", () => desk.saving.open()],
      [["Ctrl+o"], "Ctrl+O", "Open a file", () => desk.beginnings.ask(null)],
      [["PageDown"], "Page down", "Next picture", () => strip.step(1)],
      [["PageUp"], "Page up", "Previous picture", () => strip.step(-1)],
      [["?"], "?", "This help", () => element("help").showModal()],
    ],
  };
}
