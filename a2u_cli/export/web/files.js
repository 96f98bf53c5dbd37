// Files that come in: pictures, and the greys of trimaps and masks, or why they are neither.

import { decode } from "./png.js";

// More between channels are colours, if in more of the pixels than these: as images/meaning.py.
const [COLOURED_FROM, COLOURED_SHARE, FEWEST] = [25.5, 0.01, 1e-4];
const OPAQUE_FROM = 0.98 * 255;

/** Open a picture, upright and in sRGB; throws an Error in one line. */
export async function readPicture(file) {
  const bitmap = await open(file, () => createImageBitmap(file));
  return { name: file.name, width: bitmap.width, height: bitmap.height, bitmap };
}

/** Read a trimap or mask as greys, 0 to 765, upright; throws an Error in one line. */
export async function readGreys(file) {
  const bitmap = await open(file, () => decode(file));
  const { width, height } = bitmap;
  const pixels = readPixels(bitmap, width, height);
  const greys = new Uint16Array(width * height);
  const [seen, transparent] = readAlpha(pixels, greys);
  if (!transparent) readColours(pixels, greys, file.name);
  else if (!seen) {
    throw new Error(`${file.name} has both greys and transparency; save it without one of them.`);
  }
  return { name: file.name, width, height, greys, transparent };
}

/** Draw a picture at a size, and give its pixels: RGBA. */
export function readPixels(bitmap, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

async function open(file, decoded) {
  try {
    return await decoded();
  } catch {
    throw new Error(
      `${file.name} is no picture that this browser can open; expected PNG, JPEG or WebP.`,
    );
  }
}

/** Take transparency as greys; tell whether what can be seen is of one colour, and any is there. */
function readAlpha(pixels, greys) {
  let [least, low, high] = [255, 255, 0];
  for (let at = 0; at < greys.length; at++) {
    const alpha = pixels[4 * at + 3];
    greys[at] = 3 * alpha;
    least = Math.min(least, alpha);
    if (alpha < 128) continue; // the colour of what can hardly be seen is rounded
    for (let channel = 0; channel < 3; channel++) {
      low = Math.min(low, pixels[4 * at + channel]);
      high = Math.max(high, pixels[4 * at + channel]);
    }
  }
  return [high - low <= 2, least < OPAQUE_FROM];
}

/** Take the channels' sums as greys; throws where they are colours. */
function readColours(pixels, greys, name) {
  let [coloured, between] = [0, 0];
  for (let at = 0; at < greys.length; at++) {
    const [red, green, blue] = [pixels[4 * at], pixels[4 * at + 1], pixels[4 * at + 2]];
    const [high, low] = [Math.max(red, green, blue), Math.min(red, green, blue)];
    greys[at] = red + green + blue;
    if (high - low > COLOURED_FROM) coloured++;
    if (high > COLOURED_FROM && low < 255 - COLOURED_FROM) between++;
  }
  if (coloured > Math.max(COLOURED_SHARE * between, FEWEST * greys.length)) {
    throw new Error(
      `${name} has colours, expected a trimap: black, grey and white; a picture goes to the left.`,
    );
  }
}
