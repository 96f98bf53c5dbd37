// How a trimap begins: one kind all over, a box, or a file that is chosen or dropped.

import { decode, greys } from "./png.js";
import { makeStart, open } from "./project.js";
import { report, say, tell } from "./words.js";

const MASK_FROM = 0.02; // less than this share of middle greys is no trimap's band
const element = (id) => document.getElementById(id);

/** Begin trimaps of the picture in hand; tells "begun" when there is another one. */
export class Beginnings extends EventTarget {
  constructor(api, tools, looks) {
    super();
    Object.assign(this, { api, tools, looks, picture: null, server: null, wanted: null });
    for (const button of document.querySelectorAll("[data-begin]")) {
      button.addEventListener("click", () => this.choose(button.dataset.begin));
    }
    element("file").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      const { wanted } = this;
      target.value = "";
      this.wanted = null;
      if (file) this.take(file, wanted).catch(report);
    });
    this.bindDrop();
  }

  /** Begin as a button says. */
  choose(how) {
    if (how === "file") return this.ask(null);
    element("begin").hidden = true;
    element("view").focus({ preventScroll: true });
    if (how === "box") {
      this.tools.set({ tool: "box" });
      return say("Draw a box around the object");
    }
    this.start({ kind: how, png: null });
    return say(`All is ${how}`);
  }

  /** Let a file be chosen, for a purpose if one is given. */
  ask(wanted) {
    this.wanted = wanted;
    element("file").click();
  }

  /** Begin with a start; over strokes it is one more, which can be undone. */
  start(start, pixels = null) {
    const { history } = this.picture;
    const isFresh = !history.strokes.length && !history.undone.length && history.start.kind !== "trimap";
    if (isFresh) history.begin(start, pixels);
    else history.startOver(start, pixels);
    this.begun();
  }

  begun() {
    element("begin").hidden = true;
    this.dispatchEvent(new Event("begun"));
  }

  /** Find the object in a box. */
  async box(box) {
    if (box.width < 2 || box.height < 2) return say("The box is too small: draw it around the object");
    say("Looking for the object in the box…");
    const { picture } = this;
    await this.api.json("POST", `/${picture.job}/box`, { body: JSON.stringify(box) });
    await this.fetch(picture);
    if (this.picture === picture) this.tools.set({ tool: "brush" });
    return say("The object was found in the box; mend it with the brush");
  }

  /** Begin with the trimap that the server has. */
  async fetch(picture) {
    const bitmap = await decode(await this.api.blob(`/${picture.job}/trimap`));
    const pixels = greys(bitmap);
    const start = await makeStart(pixels, picture.width, picture.height);
    if (this.picture === picture) this.start(start, pixels);
  }

  /** Take a file as what it is, or as what the user says. */
  async take(file, wanted = null) {
    const { picture } = this;
    if (!picture) return;
    if (wanted === "project" || /\.json$/i.test(file.name)) return this.takeProject(file, picture);
    if (wanted === "behind") return this.takeBehind(file);
    const { as, band } = await this.inquire(file);
    if (as === "behind") return this.takeBehind(file);
    if (as !== "trimap" && as !== "mask") return;
    const query = as === "mask" ? { band } : {};
    const facts = await this.api.json("PUT", `/${picture.job}/${as}`, { body: file, query });
    for (const warning of facts.warnings ?? []) tell(warning);
    await this.fetch(picture);
    say(`Begun with ${file.name}`);
  }

  async takeProject(file, picture) {
    let project = null;
    try {
      project = JSON.parse(await file.text());
    } catch {
      throw new Error(`${file.name} is no project; open one that Project, Download has written`);
    }
    const words = await open(project, picture, this.server);
    this.begun();
    tell(words ? `${file.name} is open: ${words}` : `${file.name} is open`);
  }

  async takeBehind(file) {
    try {
      const picture = await createImageBitmap(file);
      this.looks.set({ behind: { ...this.looks.behind, kind: "picture", picture, file } });
    } catch {
      throw new Error(`${file.name} is no picture that this browser shows; choose a PNG, JPEG or WebP`);
    }
  }

  /** Ask what a picture's file is, with the likeliest chosen. */
  async inquire(file) {
    const dialog = element("taking");
    const form = element("taking-form");
    const { guess, words } = await this.guess(file);
    form.elements.as.value = guess;
    element("taking-words").textContent = words;
    dialog.returnValue = "";
    dialog.showModal();
    await new Promise((resume) => dialog.addEventListener("close", resume, { once: true }));
    if (dialog.returnValue !== "take") return { as: null };
    return { as: form.elements.as.value, band: form.elements.band.value };
  }

  /** Guess whether a file is a trimap, a mask or another picture. */
  async guess(file) {
    let bitmap = null;
    try {
      bitmap = await decode(file);
    } catch {
      return { guess: "mask", words: `${file.name}: this browser cannot show it, the server may read it.` };
    }
    const size = `${file.name}, ${bitmap.width}x${bitmap.height}`;
    const { width, height, name } = this.picture;
    if (bitmap.width !== width || bitmap.height !== height) {
      return { guess: "behind", words: `${size}; ${name} is ${width}x${height}.` };
    }
    const values = greys(bitmap);
    const middle = values.reduce((sum, grey) => sum + (grey > 100 && grey < 156), 0) / values.length;
    const ends = values.reduce((sum, grey) => sum + (grey < 3 || grey > 252), 0) / values.length;
    return { guess: middle > MASK_FROM && middle + ends > 0.98 ? "trimap" : "mask", words: `${size}.` };
  }

  bindDrop() {
    const sign = element("drop");
    addEventListener("dragover", (event) => {
      event.preventDefault();
      sign.hidden = false;
    });
    addEventListener("dragleave", (event) => (sign.hidden = event.relatedTarget !== null));
    addEventListener("drop", (event) => {
      event.preventDefault();
      sign.hidden = true;
      const [file] = event.dataTransfer.files;
      if (file) this.take(file).catch(report);
      else tell("that was no file; drop a file from this computer", { bad: true });
    });
  }
}
