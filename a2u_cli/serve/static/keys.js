// The keys: one table, which the page obeys and its help shows.

const TYPING = 'input:not([type="radio"], [type="checkbox"], [type="range"], [type="color"]), select, textarea';

/** Name a key press as the table does: "Ctrl+Shift+z", "?", "PageUp". */
function nameOf(event) {
  const isLetter = /^[a-z]$/i.test(event.key);
  const key = isLetter ? event.key.toLowerCase() : event.key;
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const shift = event.shiftKey && (isLetter || key.startsWith("Arrow")) ? "Shift+" : "";
  return control + shift + key;
}

/** Obey a table of groups of [keys, shown, words, act]; `act` gives false for what is not its. */
export class Keys {
  constructor(groups) {
    this.acts = new Map();
    for (const rows of Object.values(groups)) {
      for (const [keys, , , act] of rows) for (const key of keys) this.acts.set(key, act);
    }
    addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.defaultPrevented || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]") || event.target.matches?.(TYPING)) return;
    if (event.target.type === "range" && event.key.startsWith("Page")) return; // steps of its own
    const act = this.acts.get(nameOf(event));
    if (!act || act(event) === false) return;
    event.preventDefault();
  }
}

/** Write the table as help. */
export function showKeys(groups, into) {
  const sections = Object.entries(groups).map(([title, rows]) => {
    const section = document.createElement("section");
    const head = document.createElement("h3");
    head.textContent = title;
    section.append(head);
    for (const [, shown, words] of rows.filter(([, key]) => key)) {
      const line = document.createElement("p");
      const key = document.createElement("kbd");
      key.textContent = shown;
      line.append(words, key);
      section.append(line);
    }
    return section;
  });
  into.replaceChildren(...sections);
}
