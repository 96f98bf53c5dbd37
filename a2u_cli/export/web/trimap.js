// What a trimap means, as a2u_cli/trimap.py has it; greys are sums of three channels, 0 to 765.

export const [BACKGROUND, UNKNOWN, FOREGROUND] = [0, 128, 255];
const TOP = 765;
const SOFT = 0.02; // of a mask: less is noise, as JPEG leaves it

/** Sort greys: up to 10 % is background, from 90 % foreground, the rest unknown. */
export function sort(greys) {
  return Uint8Array.from(greys, (grey) =>
    10 * grey <= TOP ? BACKGROUND : 10 * grey >= 9 * TOP ? FOREGROUND : UNKNOWN,
  );
}

/** Make a trimap of a mask: a band of `reach` pixels to both sides of every edge is unknown. */
export function layBand(greys, width, height, reach) {
  const trimap = new Uint8Array(greys.length).fill(UNKNOWN);
  const kinds = [
    [FOREGROUND, (grey) => grey > (1 - SOFT) * TOP],
    [BACKGROUND, (grey) => grey < SOFT * TOP],
  ];
  for (const [kind, isSolid] of kinds) {
    const squares = squaredDistances(greys, isSolid, width, height);
    for (let at = 0; at < trimap.length; at++) {
      if (isSolid(greys[at]) && squares[at] > reach * reach) trimap[at] = kind;
    }
  }
  return trimap;
}

/**
 * Give each solid pixel's squared distance from the nearest that is not; Infinity where all are.
 *
 * Source: Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", 2012.
 */
function squaredDistances(greys, isSolid, width, height) {
  const squares = Float64Array.from(greys, (grey) => (isSolid(grey) ? Infinity : 0));
  for (let x = 0; x < width; x++) sweep(squares, x, width, height);
  for (let y = 0; y < height; y++) sweep(squares, y * width, 1, width);
  return squares;
}

/** Take the lower envelope of the parabolas that stand on one line of an array, in place. */
function sweep(squares, start, step, length) {
  const own = Float64Array.from({ length }, (_, at) => squares[start + at * step]);
  const [feet, from] = [[], []]; // of each parabola of the envelope, and where it begins
  for (let at = 0; at < length; at++) {
    if (own[at] === Infinity) continue;
    let begins = -Infinity;
    while (feet.length) {
      const last = feet[feet.length - 1];
      begins = (own[at] + at * at - own[last] - last * last) / (2 * (at - last));
      if (begins > from[from.length - 1]) break;
      feet.pop();
      from.pop();
      begins = -Infinity;
    }
    feet.push(at);
    from.push(begins);
  }
  for (let at = 0, of = 0; feet.length && at < length; at++) {
    while (of + 1 < feet.length && from[of + 1] < at) of++;
    squares[start + at * step] = (at - feet[of]) ** 2 + own[feet[of]];
  }
}

/** Give the trimap of a smaller picture: known is what is known all over. */
export function shrink(trimap, from, to) {
  const small = new Uint8Array(to.width * to.height);
  for (let y = 0; y < to.height; y++) {
    const rows = covered(y, from.height / to.height, from.height);
    for (let x = 0; x < to.width; x++) {
      const columns = covered(x, from.width / to.width, from.width);
      small[y * to.width + x] = common(trimap, from.width, rows, columns);
    }
  }
  return small;
}

/** Give the first pixel that a smaller one covers, and the one after the last. */
function covered(at, scale, side) {
  return [Math.floor(at * scale), Math.min(side, Math.ceil((at + 1) * scale))];
}

function common(trimap, width, [top, bottom], [left, right]) {
  const kind = trimap[top * width + left];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) if (trimap[y * width + x] !== kind) return UNKNOWN;
  }
  return kind;
}

/** Enlarge an alpha between pixel centres, and put the known pixels of the large trimap back. */
export function enlarge(alpha, from, trimap, to) {
  const large = new Float32Array(to.width * to.height);
  const columns = Array.from({ length: to.width }, (_, x) => between(x, from.width, to.width));
  for (let y = 0; y < to.height; y++) {
    const [above, below, down] = between(y, from.height, to.height);
    for (let x = 0; x < to.width; x++) {
      const [left, right, across] = columns[x];
      const row = (number) => {
        const at = number * from.width;
        return alpha[at + left] + across * (alpha[at + right] - alpha[at + left]);
      };
      const known = trimap[y * to.width + x];
      const value = row(above) + down * (row(below) - row(above));
      large[y * to.width + x] = known === UNKNOWN ? value : known / FOREGROUND;
    }
  }
  return large;
}

/** Give the two pixels that a place lies between, and how far from the first. */
function between(at, from, to) {
  const place = Math.min(from - 1, Math.max(0, ((at + 0.5) * from) / to - 0.5));
  const first = Math.floor(place);
  return [first, Math.min(from - 1, first + 1), place - first];
}

/** Say how much of a trimap is of each kind, or that something is missing. */
export function shares(trimap) {
  const counts = { [BACKGROUND]: 0, [UNKNOWN]: 0, [FOREGROUND]: 0 };
  for (const value of trimap) counts[value]++;
  const share = (kind) => counts[kind] / trimap.length;
  return { background: share(BACKGROUND), unknown: share(UNKNOWN), foreground: share(FOREGROUND) };
}
