// The page: files come in, the engine mattes, and what came out is shown and saved.

import { Engine } from "./engine.js";
import { readGreys, readPicture, readPixels } from "./files.js";
import { encode } from "./png.js";
import { enlarge, layBand, shares, shrink, sort, UNKNOWN } from "./trimap.js";

const NAMED = /trimap|mask|alpha|matte/i; // of two files that are dropped, the one so called
const STRIDE = 16;

const element = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;
const sized = ({ width, height }) => `${width}x${height}`;
const hand = { picture: null, greys: null, trimap: null, alpha: null, working: null, fits: null };
const given = new URLSearchParams(location.search);
const facts = await (await fetch("model.json")).json();
const engine = new Engine(facts, { wanted: given.get("runtime") ?? "auto", tell: showWork });

/** Say where things stand. */
function say(text) {
  element("state").textContent = text;
}

/** Say what is wrong, in a line of its own; nothing takes it away. */
function complain(text) {
  element("wrong").textContent = text;
  element("wrong").hidden = !text;
}

function showWork(words, share) {
  say(words);
  if (share === null) element("progress").removeAttribute("value");
  else element("progress").value = share;
}

/** Take a file for the picture or for its trimap. */
async function take(slot, file) {
  if (!file) return;
  stop();
  complain("");
  try {
    if (slot === "picture") hand.picture = await readPicture(file);
    else {
      hand.greys = await readGreys(file);
      choose(hasUnknown(hand.greys) ? "trimap" : "mask");
    }
  } catch (error) {
    complain(error.message);
    return;
  }
  refresh();
}

/** Tell whether a file has anything unknown; transparency is a mask. */
function hasUnknown({ greys, transparent }) {
  return !transparent && sort(greys).includes(UNKNOWN);
}

function choose(kind) {
  document.querySelector(`[name="kind"][value="${kind}"]`).checked = true;
}

/** Make the trimap of what is chosen; give a note on it. */
function makeTrimap() {
  const { greys, name, width, height } = hand.greys;
  const isMask = document.querySelector('[name="kind"]:checked').value === "mask";
  const band = element("band");
  element("kinds").hidden = false;
  element("band-row").hidden = !isMask;
  const wide = band.validity.valid && band.value ? band.valueAsNumber : 1.5;
  const reach = (wide / 100) * Math.hypot(width, height);
  hand.trimap = isMask ? layBand(greys, width, height, reach) : sort(greys);
  element("band-pixels").textContent = `of the diagonal: ${Math.round(reach)} pixels`;
  const { unknown } = shares(hand.trimap);
  if (unknown || !isMask) return `${sized(hand.greys)}, ${percent(unknown)} unknown`;
  throw new Error(`${name} has no edge to matte along; give a mask that is white on the object.`);
}

/** Throw unless picture and trimap belong together. */
function requirePair() {
  const { picture, greys } = hand;
  if (sized(picture) !== sized(greys)) {
    throw new Error(
      `${greys.name} is ${sized(greys)} but ${picture.name} is ${sized(picture)}; resize one.`,
    );
  }
  if (!shares(hand.trimap).unknown) {
    throw new Error(
      `${greys.name} has no unknown pixels; paint the soft edges grey, or take it as a mask.`,
    );
  }
}

/** Show what is in hand, and say what comes next. */
function refresh() {
  forgetMatte();
  const { picture, greys } = hand;
  try {
    if (picture) {
      show("picture", picture, picture.bitmap);
      element("picture-facts").textContent = `${picture.name}, ${sized(picture)}`;
    }
    if (greys) {
      element("trimap-facts").textContent = `${greys.name}, ${makeTrimap()}`;
      show("trimap", greys, greyPicture(hand.trimap, greys));
    }
    if (picture && greys) {
      requirePair();
      invite();
    } else say(`Now choose ${picture ? "its trimap, or a mask" : "the picture that it belongs to"}.`);
  } catch (error) {
    say("");
    complain(error.message);
  }
}

/** Offer to matte: as it is, or smaller where it does not fit. */
function invite() {
  const { picture } = hand;
  const { background, foreground } = shares(hand.trimap);
  hand.fits = pixelsOf(picture) <= facts.most_pixels;
  element("run").disabled = !hand.fits;
  setWorking(false);
  if (hand.fits) {
    const lacks = [!background && "background", !foreground && "foreground"].filter(Boolean);
    const words = ["Ready."];
    const lacking = `The trimap has no ${lacks.join(" and no ")}; the matte may be a guess.`;
    if (lacks.length) words.unshift(lacking);
    const size = Math.round(facts.bytes / 1e6);
    if (!engine.graph) words.push(`The network, ${size} MB, is fetched first.`);
    say(words.join(" "));
    return;
  }
  const small = sized(smaller(picture));
  element("smaller").textContent = `Scale down to ${small} and matte`;
  say("The matte is then enlarged to the picture's own size; a2u matte takes the picture whole.");
  const found = `${picture.name} is ${sized(picture)}, ${megapixels(pixelsOf(picture))} megapixels`;
  complain(`${found}; a browser has memory for ${megapixels(facts.most_pixels)}.`);
}

function pixelsOf({ width, height }) {
  const up = (side) => Math.ceil(side / STRIDE) * STRIDE; // as the network pads it
  return up(width) * up(height);
}

function megapixels(pixels) {
  return Number((pixels / 1e6).toFixed(2));
}

/** Give the largest size that fits, of the same shape but for rounding. */
function smaller({ width, height }) {
  let scale = Math.sqrt(facts.most_pixels / (width * height));
  for (;; scale *= 0.99) {
    const size = {
      width: Math.max(1, Math.floor(width * scale)),
      height: Math.max(1, Math.floor(height * scale)),
    };
    if (pixelsOf(size) <= facts.most_pixels) return size;
  }
}

/** Matte what is in hand, at a size. */
async function run(size) {
  const { picture, trimap } = hand;
  const working = new AbortController();
  hand.working = working;
  setWorking(true);
  complain("");
  const begin = performance.now();
  try {
    const isWhole = sized(size) === sized(picture);
    const pixels = readPixels(picture.bitmap, size.width, size.height);
    const known = isWhole ? trimap : shrink(trimap, picture, size);
    const alpha = await engine.matte(pixels, known, size, working.signal);
    const whole = isWhole ? alpha : enlarge(alpha, size, trimap, picture);
    const file = await encode(levelsOf(whole), picture.width, picture.height);
    if (hand.working !== working) return; // other files were taken
    const seconds = (performance.now() - begin) / 1000;
    finish(whole, file, seconds, isWhole ? "" : `, matted at ${sized(size)}`);
  } catch (error) {
    if (hand.working !== working) return;
    say(working.signal.aborted ? "Cancelled." : "");
    if (!working.signal.aborted) complain(error.message);
  } finally {
    if (hand.working === working) setWorking(false);
  }
}

function levelsOf(alpha) {
  return Uint8Array.from(alpha, (value) => Math.round(255 * value));
}

/** Show a matte, and offer its file. */
function finish(alpha, file, seconds, note) {
  const { picture } = hand;
  hand.alpha = alpha;
  const save = element("save");
  save.href = URL.createObjectURL(file);
  save.download = `${picture.name.replace(/\.[^.]*$/, "")}_alpha.png`;
  save.hidden = false;
  element("views").disabled = false;
  element("matte-facts").textContent = `${sized(picture)}${note}`;
  element("runtime").textContent = engine.words;
  showMatte();
  element("matte-view").scrollIntoView({ block: "nearest" });
  say(`Done in ${seconds.toFixed(1)} s.`);
  dispatchEvent(new CustomEvent("a2u-matte", { detail: { alpha, seconds } }));
}

function stop() {
  hand.working?.abort(new DOMException("cancelled", "AbortError"));
}

function setWorking(isWorking) {
  const atCancel = document.activeElement === element("cancel");
  if (!isWorking) hand.working = null;
  element("progress").hidden = !isWorking;
  element("cancel").hidden = !isWorking;
  element("run").hidden = isWorking || hand.fits === false;
  element("smaller").hidden = isWorking || hand.fits !== false;
  if (isWorking) element("cancel").focus();
  else if (atCancel) element(hand.fits === false ? "smaller" : "run").focus();
}

function forgetMatte() {
  hand.fits = null;
  setWorking(false);
  hand.alpha = null;
  if (element("save").href) URL.revokeObjectURL(element("save").href);
  element("save").hidden = element("matte-view").hidden = true;
  element("run").disabled = element("views").disabled = true;
  element("matte-facts").textContent = "";
  element("matte-place").removeAttribute("data-full");
}

/** Show the cut-out over checks, or the alpha. */
function showMatte() {
  const { picture, alpha } = hand;
  if (!alpha) return;
  if (document.querySelector('[name="view"]:checked').value === "alpha") {
    show("matte", picture, greyPicture(levelsOf(alpha), picture));
    return;
  }
  const pixels = readPixels(picture.bitmap, picture.width, picture.height);
  for (let at = 0; at < alpha.length; at++) pixels[4 * at + 3] = Math.round(255 * alpha[at]);
  show("matte", picture, new ImageData(pixels, picture.width));
}

function greyPicture(levels, { width, height }) {
  const picture = new ImageData(width, height);
  for (let at = 0; at < levels.length; at++) picture.data.fill(levels[at], 4 * at, 4 * at + 3);
  for (let at = 0; at < levels.length; at++) picture.data[4 * at + 3] = 255;
  return picture;
}

/** Show pixels in a card. */
function show(card, { width, height }, pixels) {
  const view = element(`${card}-view`);
  Object.assign(view, { width, height, hidden: false });
  const context = view.getContext("2d");
  if (pixels instanceof ImageData) context.putImageData(pixels, 0, 0);
  else context.drawImage(pixels, 0, 0);
  view.parentElement.setAttribute("data-full", "");
  view.parentElement.style.aspectRatio = `${Math.max(0.75, Math.min(2, width / height))}`;
}

/** Take what was dropped: one file for the card under it, two for both. */
async function drop(event) {
  const files = [...event.dataTransfer.files];
  const slot = event.target.closest?.("[data-slot]")?.dataset.slot;
  const free = hand.picture && !hand.greys ? "trimap" : "picture";
  if (files.length === 1) return take(slot ?? free, files[0]);
  const trimaps = files.filter((file) => NAMED.test(file.name));
  if (files.length !== 2 || trimaps.length !== 1) {
    const wanted = "drop a picture and its trimap, called NAME_trimap, or one by one";
    complain(`${files.length} files were dropped; ${wanted}.`);
    return;
  }
  await take("picture", files.find((file) => file !== trimaps[0]));
  await take("trimap", trimaps[0]);
}

function bind() {
  for (const slot of ["picture", "trimap"]) {
    const input = element(`${slot}-file`);
    input.addEventListener("change", async () => {
      const [file] = input.files;
      input.value = ""; // the same file may be chosen again, after it was changed
      await take(slot, file);
    });
  }
  const mark = (place) => {
    document.querySelector("[data-over]")?.removeAttribute("data-over");
    place?.setAttribute("data-over", "");
  };
  addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(event.target.closest?.("[data-slot]"));
  });
  addEventListener("dragleave", () => mark(null));
  addEventListener("drop", (event) => {
    event.preventDefault();
    mark(null);
    drop(event);
  });
  for (const input of document.querySelectorAll('[name="kind"], #band')) {
    input.addEventListener("change", () => {
      stop();
      complain("");
      refresh();
    });
  }
  element("views").addEventListener("change", showMatte);
  element("run").addEventListener("click", () => run(hand.picture));
  element("smaller").addEventListener("click", () => run(smaller(hand.picture)));
  element("cancel").addEventListener("click", stop);
  addEventListener("keydown", (event) => event.key === "Escape" && stop());
  element("facts").textContent =
    `Network ${facts.name}, ${facts.licence}; made by a2u-cli ${facts.made_by}. ` +
    `sha256 of its weights ${facts.weights_sha256.slice(0, 16)}…; ` +
    `it runs in onnxruntime-web ${facts.runtime}, MIT.`;
}

bind();
