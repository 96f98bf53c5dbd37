// The strip of a folder's pictures: thumbnails, their states, and the way from one to the next.

import { decode } from "./png.js";

const SIDE = 180; // pixels of a thumbnail's longer side
const STATES = { untouched: "untouched", started: "begun", draft: "begun", done: "saved", failed: "failed" };

/** Show the pictures; tells "choose" with a job's name. */
export class Strip extends EventTarget {
  constructor(api) {
    super();
    Object.assign(this, { api, rows: [], current: null });
    this.list = document.getElementById("thumbnails");
    this.watcher = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) this.load(target);
    });
    document.getElementById("previous").addEventListener("click", () => this.step(-1));
    document.getElementById("next").addEventListener("click", () => this.step(1));
  }

  /** Show these pictures, or their new states. */
  show(rows) {
    const same = rows.length === this.rows.length;
    this.rows = rows;
    document.getElementById("strip").hidden = rows.length < 2;
    if (!same) this.list.replaceChildren(...rows.map((row) => this.item(row)));
    this.mark();
  }

  item({ job }) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.job = job;
    const words = document.createElement("span");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    button.append(canvas, words);
    button.addEventListener("click", () => this.choose(job));
    item.append(button);
    this.watcher.observe(button);
    return item;
  }

  /** Write each picture's state, and which one is in hand. */
  mark() {
    for (const { job, name, state, reason } of this.rows) {
      const button = this.list.querySelector(`[data-job="${job}"]`);
      const isCurrent = job === this.current;
      button.querySelector("span").textContent = name.split("/").at(-1);
      button.dataset.state = state;
      button.title = reason || `${name}: ${STATES[state]}`;
      button.setAttribute("aria-label", `${name}, ${STATES[state]}`);
      button.setAttribute("aria-current", String(isCurrent));
    }
  }

  /** Load a thumbnail when it comes into sight. */
  async load(button) {
    this.watcher.unobserve(button);
    try {
      const query = { side: SIDE };
      const bitmap = await decode(await this.api.blob(`/${button.dataset.job}/preview`, { query }));
      const canvas = button.querySelector("canvas");
      Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
    } catch (error) {
      button.title = error.message; // the picture itself says it where it is opened
    }
  }

  choose(job) {
    this.dispatchEvent(new CustomEvent("choose", { detail: job }));
  }

  /** Go to the next picture, or to the previous one. */
  step(by) {
    const at = this.rows.findIndex(({ job }) => job === this.current);
    const next = this.rows[at + by];
    if (next) this.choose(next.job);
  }

  /** Tell which picture is in hand. */
  setCurrent(job) {
    this.current = job;
    this.mark();
    const button = this.list.querySelector(`[data-job="${job}"]`);
    button?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  setState(job, state) {
    const row = this.rows.find((one) => one.job === job);
    if (!row || row.state === state) return;
    row.state = state;
    this.mark();
  }
}
