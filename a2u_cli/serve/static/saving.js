// The dialog that saves: what, in which format, and where it went.

const ENDINGS = { jpeg: "jpg", tiff: "tif" };
const LATER = "A later a2u batch takes the painted trimap; with the same options it finds these done.";
const FLOAT = 32; // bits a channel of linear light
const WHOLE = ["alpha", "cutout", "foreground", "composite"];

/** Let the browser keep a file. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Save results of the picture in hand; tells "saved". */
export class Saving extends EventTarget {
  constructor(api, matte, looks) {
    super();
    Object.assign(this, { api, matte, looks, picture: null, offered: null });
    this.dialog = document.getElementById("save");
    this.form = document.getElementById("save-form");
    this.words = document.getElementById("save-words");
    this.form.elements.format.addEventListener("change", () => this.offerDepths());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run(() => this.write());
    });
    document.getElementById("save-close").addEventListener("click", () => this.dialog.close());
    const fetching = document.getElementById("save-download");
    fetching.addEventListener("click", () => this.run(() => this.fetch()));
  }

  /** Offer what this server can write. */
  offer({ formats, save, output }) {
    const { format } = this.form.elements;
    this.formats = formats;
    const names = Object.keys(formats);
    format.replaceChildren(...names.map((name) => new Option(name.toUpperCase(), name)));
    format.value = "png";
    for (const box of this.kinds()) box.checked = save.includes(box.value);
    document.getElementById("save-where").textContent = `Save writes into ${output}; Download asks the browser`;
  }

  kinds() {
    return [...this.form.querySelectorAll('[name="kinds"]')];
  }

  offerDepths() {
    const { format, depth } = this.form.elements;
    const depths = this.formats[format.value];
    depth.replaceChildren(...depths.map((bits) => new Option(`${bits} bits`, bits)));
    const { depth: bits, light } = this.picture ?? { depth: 8 };
    const own = Math.min(light ? FLOAT : bits, depths.at(-1));
    depth.value = depths.includes(own) ? own : depths[0];
  }

  /** Offer for the composite what is seen behind the cut-out. */
  offerBehind() {
    const { background } = this.form.elements;
    const { kind, file } = this.looks.behind;
    background.querySelector('[value="own"]').disabled = !file;
    const seen = { colour: "colour", picture: file ? "own" : null }[kind];
    if (seen) background.value = seen;
  }

  /** Offer a format that holds linear light for a picture that has it. */
  offerFormat() {
    const { format } = this.form.elements;
    if (this.offered === this.picture) return;
    this.offered = this.picture;
    if (this.picture.light && format.value === "png") format.value = "exr";
  }

  open() {
    if (!this.picture) return;
    this.offerFormat();
    this.offerDepths();
    this.offerBehind();
    this.say("");
    this.dialog.showModal();
  }

  say(text, bad = false) {
    this.words.textContent = text;
    this.words.toggleAttribute("data-bad", bad);
  }

  /** Give what is asked for, without what was left empty. */
  wish() {
    const words = Object.fromEntries(new FormData(this.form));
    const kinds = this.kinds().filter((box) => box.checked).map((box) => box.value);
    const { format, depth, background, levels, choke, feather } = words;
    const wish = { format, depth, levels, choke, feather };
    for (const name of Object.keys(wish)) if (!wish[name]) delete wish[name];
    return { kinds, wish, background, force: "force" in words };
  }

  /** Give what is behind the composite, as a request names it; a picture is sent first. */
  async behind(background) {
    const { colour, file } = this.looks.behind;
    if (background === "colour") return colour;
    if (background === "own") {
      await this.api.json("PUT", `/${this.picture.job}/background`, { body: file });
    }
    return background;
  }

  /** Do it with the buttons held, and say what went wrong. */
  async run(work) {
    const buttons = [...this.form.querySelectorAll("button:not(#save-close)")];
    for (const button of buttons) button.disabled = true;
    this.say("Saving…");
    try {
      const lacks = this.matte.lacks();
      if (lacks) throw new Error(`there is no matte to save yet: ${lacks.toLowerCase()}`);
      await this.matte.send();
      await work();
    } catch (error) {
      this.say(error.message, true);
    }
    for (const button of buttons) button.disabled = false;
  }

  async write() {
    const { kinds, wish, background, force } = this.wish();
    const backed = kinds.includes("composite") ? { background: await this.behind(background) } : {};
    const body = JSON.stringify({ kinds, ...wish, ...backed, force });
    const { paths } = await this.api.json("POST", `/${this.picture.job}/save`, { body });
    this.say(`Saved:\n${paths.join("\n")}\n${LATER}`);
    this.dispatchEvent(new Event("saved"));
  }

  /** Fetch the files into the browser's own folder. */
  async fetch() {
    const { kinds, wish, background } = this.wish();
    if (!kinds.length) throw new Error("nothing is chosen; choose what to save");
    const name = this.picture.name.split("/").at(-1);
    const names = [];
    for (const kind of kinds) {
      const query = WHOLE.includes(kind) ? { ...wish } : {};
      if (kind === "composite") query.background = await this.behind(background);
      const ending = query.format ? (ENDINGS[query.format] ?? query.format) : "png";
      const file = `${name}_${kind}.${ending}`;
      download(await this.api.blob(`/${this.picture.job}/${kind}`, { query }), file);
      names.push(file);
    }
    this.say(`Downloaded:\n${names.join("\n")}`);
  }
}
