// How things are shown: view, layers, what lies behind the cut-out, the slider, the theme.

import { lasting } from "./memory.js";
import { bindChoice, Choices } from "./tools.js";

const KEPT = "a2u-looks";
const THEMES = { system: "as the system", light: "light", dark: "dark" };
const LAYERS = {
  foreground: { shown: true, colour: "#2fd07a", opacity: 0.4 },
  background: { shown: true, colour: "#f0484f", opacity: 0.3 },
  unknown: { shown: true, colour: "#4d8dff", opacity: 0.4 },
};
const BEHIND = { kind: "checker", colour: "#2b5f9e", picture: null, file: null };

const element = (id) => document.getElementById(id);

/** Hold the looks, remembered from one visit to the next; tells "change". */
export class Looks extends Choices {
  constructor() {
    super({ view: "picture", held: false, compare: null, doubt: false, layers: LAYERS, behind: BEHIND });
    const kept = lasting.read(KEPT) ?? {};
    this.layers = { ...LAYERS, ...kept.layers };
    this.behind = { ...BEHIND, colour: kept.colour ?? BEHIND.colour };
    bindChoice("view", this, "view");
    for (const row of document.querySelectorAll("[data-layer]")) this.bindLayer(row);
    this.bindBehind();
    this.bindDoubt();
    bindTheme();
    this.bindSlider();
    this.addEventListener("change", () => this.keep());
    this.dispatchEvent(new Event("change"));
  }

  keep() {
    const { layers, behind } = this;
    lasting.set(KEPT, JSON.stringify({ layers, colour: behind.colour }));
  }

  bindLayer(row) {
    const kind = row.dataset.layer;
    const [shown, colour, opacity] = row.querySelectorAll("input");
    const read = () => {
      const layer = { shown: shown.checked, colour: colour.value, opacity: opacity.value / 100 };
      this.set({ layers: { ...this.layers, [kind]: layer } });
    };
    for (const input of [shown, colour, opacity]) input.addEventListener("input", read);
    this.addEventListener("change", () => {
      const layer = this.layers[kind];
      shown.checked = layer.shown;
      colour.value = layer.colour;
      opacity.value = Math.round(layer.opacity * 100);
      document.querySelector(`#kinds [data-kind="${kind}"]`).style.background = layer.colour;
    });
  }

  bindBehind() {
    const colour = element("behind-colour");
    const set = (values) => this.set({ behind: { ...this.behind, ...values } });
    for (const input of document.querySelectorAll('[name="behind"]')) {
      input.addEventListener("change", () => {
        set({ kind: input.value });
        if (input.value === "picture" && !this.behind.picture) element("behind-file").click();
      });
      this.addEventListener("change", () => (input.checked = input.value === this.behind.kind));
    }
    colour.addEventListener("input", () => set({ kind: "colour", colour: colour.value }));
    this.addEventListener("change", () => (colour.value = this.behind.colour));
  }

  bindDoubt() {
    const input = element("doubt");
    input.addEventListener("change", () => this.set({ doubt: input.checked }));
    this.addEventListener("change", () => (input.checked = this.doubt));
  }

  /** Show before and after side by side, or no longer. */
  toggleCompare() {
    this.set({ compare: this.compare === null ? 0.5 : null });
  }

  bindSlider() {
    const [slider, button] = [element("slider"), element("compare")];
    const set = (share) => this.set({ compare: Math.min(0.98, Math.max(0.02, share)) });
    button.addEventListener("click", () => this.toggleCompare());
    slider.addEventListener("pointerdown", (event) => slider.setPointerCapture(event.pointerId));
    slider.addEventListener("pointermove", (event) => {
      const { left, width } = slider.parentElement.getBoundingClientRect();
      if (slider.hasPointerCapture(event.pointerId)) set((event.clientX - left) / width);
    });
    slider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!steps) return;
      event.preventDefault();
      set(this.compare + steps * (event.shiftKey ? 0.1 : 0.02));
    });
    this.addEventListener("change", () => {
      button.setAttribute("aria-pressed", String(this.compare !== null));
      slider.hidden = this.compare === null;
      if (this.compare === null) return;
      slider.style.left = `${100 * this.compare}%`;
      slider.setAttribute("aria-valuenow", Math.round(100 * this.compare));
    });
  }
}

/** Let a button go through the themes. */
function bindTheme() {
  const button = element("theme");
  const names = Object.keys(THEMES);
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-label", `Theme: ${THEMES[theme]}`);
    button.title = `Theme: ${THEMES[theme]}`;
  };
  show(lasting.get("a2u-theme") ?? "system");
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    lasting.set("a2u-theme", next);
    show(next);
    dispatchEvent(new Event("resize")); // the stage has a theme's ground
  });
}
