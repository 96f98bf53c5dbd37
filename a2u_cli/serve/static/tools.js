// What is in the hand: tool, kind, size, softness; and the controls that show and set them.

import { lasting } from "./memory.js";

const MOST = 1000; // pixels of the picture, the largest brush
const KEPT = "a2u-tools";

const element = (id) => document.getElementById(id);

/** Bind a group of radio buttons to a property of an object that tells "change". */
export function bindChoice(name, target, property) {
  for (const input of document.querySelectorAll(`input[name="${name}"]`)) {
    input.checked = input.value === target[property];
    input.addEventListener("change", () => target.set({ [property]: input.value }));
    target.addEventListener("change", () => (input.checked = input.value === target[property]));
  }
}

/** Hold values that controls set; tells "change". */
export class Choices extends EventTarget {
  constructor(values) {
    super();
    Object.assign(this, values);
  }

  set(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event("change"));
  }
}

/** Hold the tools; habits of the hand are remembered from one visit to the next. */
export class Tools extends Choices {
  constructor() {
    const kept = lasting.read(KEPT) ?? {};
    super({ tool: "brush", kind: "foreground", size: 24, soft: false, pressure: true, finger: false });
    for (const name of ["soft", "pressure", "finger"]) this[name] = kept[name] ?? this[name];
    bindChoice("tool", this, "tool");
    bindChoice("kind", this, "kind");
    for (const name of ["soft", "pressure", "finger"]) this.bindCheck(name);
    this.bindSize();
    this.addEventListener("change", () => lasting.set(KEPT, JSON.stringify(this.kept())));
    this.dispatchEvent(new Event("change"));
  }

  kept() {
    const { soft, pressure, finger } = this;
    return { soft, pressure, finger };
  }

  bindCheck(name) {
    const input = element(name);
    input.addEventListener("change", () => this.set({ [name]: input.checked }));
    this.addEventListener("change", () => (input.checked = this[name]));
  }

  bindSize() {
    const [input, words] = [element("size"), element("size-words")];
    input.addEventListener("input", () => this.set({ size: Math.round(MOST ** (input.value / 100)) }));
    this.addEventListener("change", () => {
      input.value = (100 * Math.log(this.size)) / Math.log(MOST);
      input.setAttribute("aria-valuetext", `${this.size} pixels`);
      words.value = `${this.size} px`;
    });
  }

  /** Make the brush larger or smaller by a step. */
  grow(steps) {
    const next = Math.round(this.size * 1.18 ** steps);
    const size = next === this.size ? this.size + Math.sign(steps) : next;
    this.set({ size: Math.min(MOST, Math.max(1, size)) });
  }

  /** Change foreground for background, and all else for foreground. */
  swap() {
    this.set({ kind: this.kind === "foreground" ? "background" : "foreground" });
  }
}
