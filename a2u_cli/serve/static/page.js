// The page: what is in hand, and who hears of what.

import { Api, takeToken } from "./api.js";
import { Beginnings } from "./begin.js";
import { commandsOf } from "./commands.js";
import { Keys, showKeys } from "./keys.js";
import { Looks } from "./looks.js";
import { Marks } from "./marks.js";
import { Matte } from "./matte.js";
import { Painter } from "./painter.js";
import { Pen } from "./pen.js";
import { Picture } from "./picture.js";
import { Pointers } from "./pointers.js";
import { decode, greys } from "./png.js";
import { Autosave, build, makeStart, open } from "./project.js";
import { download, Saving } from "./saving.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { Tools } from "./tools.js";
import { banner, report, say, tell } from "./words.js";

const FORGETS =
  "This browser keeps nothing for this page. To load it anew, open the address that a2u serve printed; " +
  "your strokes are kept by the server.";
const BRUSH = 0.03; // of the first picture's longer side

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Hold the parts, and the picture that is in hand. */
class Desk {
  constructor() {
    const { token, isKept } = takeToken();
    this.api = new Api(token);
    if (!isKept) tell(FORGETS);
    this.tools = new Tools();
    this.looks = new Looks();
    this.stage = new Stage(element("view"), this.looks);
    this.painter = new Painter(this.tools);
    this.marks = new Marks(element("marks"), this.stage, this.painter, this.tools);
    this.pointers = new Pointers(element("view"), this.stage, this.painter, this.tools);
    this.pen = new Pen(element("view"), this.stage, this.painter, this.marks, this.pointers);
    this.matte = new Matte(this.api, this.looks);
    this.autosave = new Autosave(this.api, (picture) => this.describe(picture));
    this.beginnings = new Beginnings(this.api, this.tools, this.looks);
    this.saving = new Saving(this.api, this.matte, this.looks);
    this.strip = new Strip(this.api);
    this.picture = null;
    this.opening = new AbortController();
  }

  describe(picture) {
    const options = { quality: this.server.quality };
    return build(picture, this.server, options);
  }

  /** Begin with the list of pictures. */
  async begin() {
    this.connect();
    const { pictures, facts } = await this.api.json("GET", "");
    this.server = this.beginnings.server = facts;
    this.saving.offer(facts);
    this.strip.show(pictures);
    if (pictures.length) await this.open(pictures[0].job);
  }

  /** Take another picture in hand. */
  async open(job) {
    this.opening.abort();
    const { signal } = (this.opening = new AbortController());
    this.painter.cancel();
    this.strip.setCurrent(job);
    say("Opening…");
    try {
      const picture = new Picture(await this.api.json("GET", `/${job}`, { signal }));
      const begun = await this.resume(picture, signal);
      if (signal.aborted) return;
      this.take(picture, begun);
      await picture.load(this.api, signal, () => this.stage.touchAll());
    } catch (error) {
      if (signal.aborted) return;
      this.strip.setState(job, "failed");
      report(error);
    }
  }

  /** Go on with what was painted before, or with the trimap that there is; gives whether. */
  async resume(picture, signal) {
    const project = await this.autosave.load(picture);
    if (project) {
      try {
        const words = await open(project, picture, this.server);
        say(`Went on with ${picture.history.strokes.length} strokes${words && `; ${words}`}`);
        return true;
      } catch (error) {
        report(error);
      }
    }
    if (!picture.trimap_sha256) return false;
    const bitmap = await decode(await this.api.blob(`/${picture.job}/trimap`, { signal }));
    const pixels = greys(bitmap);
    picture.history.begin(await makeStart(pixels, picture.width, picture.height), pixels);
    say("Began with the picture's trimap");
    return true;
  }

  take(picture, begun) {
    const parts = [this.painter, this.matte, this.autosave, this.beginnings, this.saving];
    for (const part of parts.filter((one) => one !== this.matte)) part.picture = picture;
    if (!this.picture) {
      const size = Math.max(4, Math.round(BRUSH * Math.max(picture.width, picture.height)));
      this.tools.set({ size });
    }
    this.picture = picture;
    picture.begun = begun;
    this.stage.show(picture);
    this.matte.take(picture);
    element("begin").hidden = begun;
    element("autosave").textContent = "";
    const { width, height, depth, light, name } = picture;
    element("title").textContent = name;
    element("title").title = name;
    document.title = `${name} – a2u`;
    element("facts").textContent = `${width}×${height}, ${light ? "linear light" : `${depth} bits`}`;
    if (begun) this.matte.changed();
    else say("Choose how to begin");
    this.show();
  }

  /** Show everything that depends on the strokes. */
  show() {
    const { history, raster } = this.picture;
    element("undo").disabled = !history.strokes.length;
    element("redo").disabled = !history.undone.length;
    const { counts } = this.matte;
    const total = raster.data.length;
    element("kinds-words").textContent =
      `object ${percent(counts.foreground / total)}, unknown ${percent(counts.unknown / total)}, ` +
      `background ${percent(counts.background / total)}`;
  }

  /** Hear that the trimap is another one. */
  changed() {
    element("begin").hidden = true;
    this.picture.begun = true;
    this.autosave.changed();
    this.matte.changed();
    this.strip.setState(this.picture.job, "started");
    this.stage.touchAll();
    this.show();
  }

  undo() {
    this.travel("undo", "Undone", "There is nothing to undo");
  }

  redo() {
    this.travel("redo", "Redone", "There is nothing to redo");
  }

  travel(how, done, none) {
    if (!this.picture || this.painter.stroke) return;
    const moved = this.picture.history[how]();
    say(moved ? `${done}; ${this.picture.history.strokes.length} strokes` : none);
    if (moved) this.changed();
  }

  /** Go to the place that is least certain. */
  async next() {
    if (!this.picture) return;
    say("Looking for the place to paint next…");
    this.looks.set({ doubt: true });
    await this.matte.enrich();
    const { next, doubt } = this.picture;
    if (!doubt) return say("The uncertain places come with the full matte: press Enter");
    if (!next) return say("All is sure: there is no place to paint next");
    const { camera } = this.stage;
    if (camera.scale < 1) camera.whole();
    camera.centre(...next);
    this.stage.touchAll();
    return say(`Paint here next: ${next[0]}, ${next[1]}`);
  }

  connect() {
    this.connectPainting();
    this.connectMatte();
    this.connectServer();
    this.connectButtons();
    new ResizeObserver(() => this.resize()).observe(element("stage"));
    addEventListener("resize", () => this.resize());
    this.tools.addEventListener("change", () => this.marks.showCursor());
    this.stage.after = () => {
      this.marks.draw();
      this.tellPlace();
    };
    this.marks.showCursor();
  }

  resize() {
    const { clientWidth, clientHeight } = element("stage");
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    Object.assign(element("marks"), { width, height });
    this.stage.resize(width, height);
  }

  connectPainting() {
    const { painter, stage, marks, pointers } = this;
    painter.addEventListener("begin", () => {
      say(""); // what was said is of before
      this.matte.hold();
      element("begin").hidden = true;
      if (!this.picture.begun && this.tools.tool !== "box") {
        this.picture.begun = true;
        stage.touchAll();
      }
    });
    painter.addEventListener("paint", ({ detail }) => stage.touch(detail));
    painter.addEventListener("move", () => marks.draw());
    painter.addEventListener("cancel", () => {
      stage.touchAll();
      this.matte.changed();
    });
    painter.addEventListener("stroke", () => this.changed());
    painter.addEventListener("box", ({ detail }) => {
      this.beginnings.box(detail).catch(report);
    });
    this.beginnings.addEventListener("begun", () => this.changed());
    pointers.moved = (event) => {
      marks.follow(event);
      if (!pointers.down.size) marks.showCursor();
      this.tellPlace();
    };
  }

  tellPlace() {
    const { at } = this.marks;
    const { camera } = this.stage;
    element("zoom-words").value = `${Math.round(100 * camera.scale)} %`;
    if (!at) return;
    const { x, y } = camera.toPicture(at.x, at.y);
    element("place").textContent = `${Math.floor(x)}, ${Math.floor(y)}`;
  }

  connectMatte() {
    const [words, bar] = [element("matte-words"), element("matte-progress")];
    this.matte.addEventListener("state", ({ detail: { state, words: text, done } }) => {
      element("matte").dataset.state = state;
      words.textContent = words.title = text;
      bar.hidden = element("matte-cancel").hidden = done === null;
      element("matte-run").hidden = done !== null;
      bar.value = done ?? 0;
      if (state === "done" || state === "failed") say(text);
    });
    this.matte.addEventListener("shown", () => this.stage.touchAll());
    this.looks.addEventListener("change", () => {
      this.stage.touchAll();
      if (this.picture) this.matte.enrich().catch(report);
    });
    this.autosave.addEventListener("kept", ({ detail }) => {
      const { length } = this.picture.history.strokes;
      element("autosave").textContent = `${length} strokes are kept in ${detail}`;
    });
  }

  connectServer() {
    const { api, strip } = this;
    api.addEventListener("gone", () => {
      banner("The server does not answer. Start a2u serve again; your strokes are kept in this page.");
    });
    api.addEventListener("back", () => {
      banner("");
      say("The server is back");
      if (!this.picture) return location.reload();
      this.matte.sent = -1;
      return this.changed();
    });
    api.addEventListener("busy", ({ detail }) => say(`${detail}; asking again`));
    strip.addEventListener("choose", ({ detail }) => this.open(detail));
    this.saving.addEventListener("saved", async () => {
      const { pictures } = await api.json("GET", "");
      strip.show(pictures);
      strip.setState(this.picture.job, "done");
    });
    element("banner").querySelector("button").addEventListener("click", () => location.reload());
  }

  connectButtons() {
    const press = (id, act) => element(id).addEventListener("click", act);
    const zoom = (act) => () => {
      act(this.stage.camera);
      this.stage.touchAll();
    };
    press("undo", () => this.undo());
    press("redo", () => this.redo());
    press("matte-run", () => this.picture && this.matte.full());
    press("matte-cancel", () => this.matte.cancel());
    press("save-open", () => this.saving.open());
    press("help-open", () => element("help").showModal());
    press("next-place", () => this.next().catch(report));
    press("behind-file", () => this.beginnings.ask("behind"));
    press("project-open", () => this.beginnings.ask("project"));
    press("project-download", () => this.downloadProject());
    press("zoom-in", zoom((camera) => camera.zoom(1.25)));
    press("zoom-out", zoom((camera) => camera.zoom(0.8)));
    press("zoom-fit", zoom((camera) => camera.fit()));
    press("zoom-whole", zoom((camera) => camera.whole()));
    press("panel-toggle", ({ currentTarget }) => {
      const isWide = document.body.classList.toggle("wide");
      currentTarget.setAttribute("aria-expanded", String(!isWide));
    });
    press("loupe-toggle", ({ currentTarget }) => {
      const isHidden = (element("loupe").hidden = !element("loupe").hidden);
      currentTarget.setAttribute("aria-pressed", String(!isHidden));
      this.marks.draw();
    });
  }

  connectKeys() {
    const commands = commandsOf(this);
    new Keys(commands);
    showKeys(commands, element("help-keys"));
    addEventListener("keyup", ({ key }) => key.toLowerCase() === "o" && this.looks.set({ held: false }));
    addEventListener("blur", () => this.looks.held && this.looks.set({ held: false }));
  }

  downloadProject() {
    if (!this.picture) return;
    const text = JSON.stringify(this.describe(this.picture));
    const name = `${this.picture.name.split("/").at(-1)}_project.json`;
    download(new Blob([text], { type: "application/json" }), name);
    say(`Downloaded ${name}`);
  }
}

const desk = new Desk();
desk.connectKeys();
desk.begin().catch((error) => tell(error.message, { bad: true }));
