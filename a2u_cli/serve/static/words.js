// What the page says: states in the bottom line, news as notes, and that the server is gone.

const STAY = 9000; // milliseconds that a note stays, unless something went wrong

const element = (id) => document.getElementById(id);

/** Say a state, which screen readers hear as well. */
export function say(text) {
  element("live").textContent = text;
}

/** Show a note until it is closed, or for a while where nothing is wrong. */
export function tell(text, { bad = false } = {}) {
  const list = element("notices");
  for (const old of list.children) if (old.textContent === text) old.remove();
  const item = document.createElement("li");
  item.toggleAttribute("data-bad", bad);
  item.setAttribute("role", bad ? "alert" : "status");
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.className = "icon";
  close.setAttribute("aria-label", "Close this note");
  close.innerHTML = '<svg><use href="static/icons.svg#close"/></svg>';
  close.addEventListener("click", () => item.remove());
  item.append(words, close);
  list.append(item);
  while (list.children.length > 4) list.firstChild.remove();
  if (!bad) setTimeout(() => item.remove(), STAY);
}

/** Show what went wrong; what was cancelled or overtaken is nothing wrong. */
export function report(error) {
  if (error.name === "AbortError" || error.stale || error.gone) return;
  tell(error.message, { bad: true });
}

/** Show a line over the stage, or take it away. */
export function banner(text) {
  const line = element("banner");
  line.hidden = !text;
  if (text) line.querySelector("p").textContent = text;
}
