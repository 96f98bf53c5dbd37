// The matte follows the brush: a coarse one when the pen is lifted, the full one after a rest.

import { encode } from "./png.js";
import { report } from "./words.js";

const REST = 1000; // milliseconds without a stroke before the full matte
const LOOK = 250; // milliseconds between looks at its progress

/** Ask for mattes of the picture in hand; tells "state" and "shown". */
export class Matte extends EventTarget {
  constructor(api, looks) {
    super();
    Object.assign(this, { api, looks, picture: null, sequence: 0, sent: -1, running: null });
    this.sending = this.enriching = Promise.resolve();
  }

  /** Take another picture in hand; what was asked for the old one is dropped. */
  take(picture) {
    this.stop();
    this.sequence++;
    Object.assign(this, { picture, sent: -1 });
    this.look();
    this.state("none", this.lacks() || "No matte yet");
  }

  state(state, words, done = null) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, words, done } }));
  }

  /** Count the trimap's kinds anew. */
  look() {
    this.counts = this.picture.raster.count();
  }

  /** Say what the trimap lacks to be matted, if anything. */
  lacks() {
    const { background, unknown, foreground } = this.counts;
    if (!unknown) return "Paint the soft edge unknown";
    if (!foreground) return background ? "Paint some object" : "Paint object and background";
    return background ? "" : "Paint some background";
  }

  /** Wait with the full matte while the pen is down. */
  hold() {
    this.stop();
  }

  /** Begin anew: the trimap is another one. */
  async changed() {
    const sequence = ++this.sequence;
    this.stop();
    this.look();
    this.picture.isFull = false;
    const words = this.lacks();
    if (words) {
      this.picture.forget();
      this.shown();
      return this.state("none", words);
    }
    this.timer = setTimeout(() => this.full(), REST);
    this.state("working", "Draft…");
    this.drafting = new AbortController();
    const { signal } = this.drafting;
    await this.trying(sequence, () => this.draft(sequence, signal));
  }

  async draft(sequence, signal) {
    const { api, picture } = this;
    await this.send();
    if (sequence !== this.sequence) return;
    const query = { draft: 1, sequence };
    const blob = await api.blob(`/${picture.job}/alpha`, { query, signal });
    const isWanted = () => sequence === this.sequence && !picture.isFull; // else it is stale
    await picture.takeAlpha(blob, isWanted);
    if (!isWanted()) return;
    this.shown();
    if (!this.running) this.state("draft", "Draft");
  }

  /** Make the full matte now. */
  async full() {
    const words = this.lacks();
    if (words) return this.state("none", words);
    clearTimeout(this.timer);
    if (this.running) return;
    const { picture, sequence } = this;
    const running = (this.running = new AbortController());
    this.state("working", "Matte…", 0);
    this.watch(running);
    await this.trying(sequence, () => this.finish(picture, sequence, running.signal));
    running.abort();
    if (this.running === running) this.running = null;
  }

  async finish(picture, sequence, signal) {
    await this.send();
    const blob = await this.api.blob(`/${picture.job}/alpha`, { signal });
    const isWanted = () => sequence === this.sequence && !signal.aborted;
    await picture.takeAlpha(blob, isWanted);
    if (!isWanted()) return;
    picture.isFull = true;
    this.state("done", "Matte is full");
    this.shown();
    this.enrich().catch(report);
  }

  /** Fetch what the looks want beyond the full matte, one after the other. */
  enrich() {
    const enriched = this.enriching.then(() => this.fetch(this.picture, this.sequence));
    this.enriching = enriched.catch(() => {});
    return enriched;
  }

  /** Fetch clean colours and doubts, where they are shown and not there. */
  async fetch(picture, sequence) {
    const path = `/${picture.job}`;
    const isNow = () => sequence === this.sequence;
    if (!picture.isFull) return;
    if (this.looks.view === "cutout" && !picture.cutout) {
      const blob = await this.api.blob(`${path}/cutout`);
      await picture.takeCutout(blob, isNow);
    }
    if (this.looks.doubt && !picture.doubt && isNow()) {
      const answer = await this.api.ask("GET", `${path}/uncertain`);
      await picture.takeDoubt(await answer.blob(), answer.headers.get("X-A2U-Next"), isNow);
    }
    if (isNow()) this.shown();
  }

  /** Send the trimap, unless the server has it; one after the other. */
  send() {
    const { picture } = this;
    this.sending = this.sending.then(async () => {
      if (this.sent === this.sequence || picture !== this.picture) return;
      const { sequence } = this;
      const { width, height, raster } = picture;
      const body = await encode(raster.data, width, height);
      await this.api.ask("PUT", `/${picture.job}/trimap`, { body });
      this.sent = sequence;
    });
    const sent = this.sending;
    this.sending = sent.catch(() => {}); // one that failed holds up no other
    return sent;
  }

  /** Show how far the full matte is. */
  async watch({ signal }) {
    const path = `/${this.picture.job}`;
    while (!signal.aborted) {
      await new Promise((resume) => setTimeout(resume, LOOK));
      const facts = await this.api.json("GET", path, { signal }).catch(() => null);
      if (signal.aborted || !facts) return;
      const { state, place, step, done } = facts.work;
      if (state === "waiting") this.state("working", `Waiting, ${place} before it`, 0);
      if (state === "running") this.state("working", step || "Matte…", done);
    }
  }

  /** End what runs and what would. */
  stop() {
    clearTimeout(this.timer);
    this.drafting?.abort();
    if (!this.running) return;
    this.running.abort();
    this.running = null;
    this.api.ask("DELETE", `/${this.picture.job}/alpha`).catch(() => {});
  }

  /** End the full matte at the user's word. */
  cancel() {
    if (!this.running) return;
    this.stop();
    this.state(this.picture.mask ? "draft" : "none", "Cancelled");
  }

  async trying(sequence, work) {
    try {
      await work();
    } catch (error) {
      if (sequence !== this.sequence || error.stale || error.name === "AbortError") return;
      this.state("failed", "No matte");
      report(error);
    }
  }

  shown() {
    this.dispatchEvent(new Event("shown"));
  }
}
