// Shapes as rows of pixels: a pixel is in a shape if its centre is, so nothing is ever antialiased.

/** Give the x-interval of a disc at height y, or null. */
function disc(at, radius, y) {
  const rise = y - at.y;
  const half = radius * radius - rise * rise;
  return half < 0 ? null : [at.x - Math.sqrt(half), at.x + Math.sqrt(half)];
}

/** Give the four corners where the outer tangents touch two discs, or null where one holds both. */
function tangents(from, to, fromRadius, toRadius) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy);
  if (length <= Math.abs(fromRadius - toRadius)) return null;
  const [ux, uy] = [dx / length, dy / length];
  const cosine = (fromRadius - toRadius) / length;
  const sine = Math.sqrt(Math.max(0, 1 - cosine * cosine));
  const left = [ux * cosine - uy * sine, uy * cosine + ux * sine];
  const right = [ux * cosine + uy * sine, uy * cosine - ux * sine];
  const corner = (at, radius, [x, y]) => ({ x: at.x + radius * x, y: at.y + radius * y });
  return [
    corner(from, fromRadius, left),
    corner(to, toRadius, left),
    corner(to, toRadius, right),
    corner(from, fromRadius, right),
  ];
}

/** Give the x-interval of a convex polygon at height y, or null. */
function slice(corners, y) {
  let [low, high] = [Infinity, -Infinity];
  corners.forEach((a, i) => {
    const b = corners[(i + 1) % corners.length];
    if (a.y > y === b.y > y) return;
    const x = a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x);
    low = Math.min(low, x);
    high = Math.max(high, x);
  });
  return low > high ? null : [low, high];
}

/** Give the pixels of a row, half open, whose centres lie in an interval; null if there are none. */
function pixels(low, high, width) {
  const from = Math.max(0, Math.ceil(low - 0.5));
  const to = Math.min(width, Math.floor(high - 0.5) + 1);
  return from < to ? [from, to] : null;
}

/** Call span(y, from, to) for the rows of two discs and all between them. */
export function capsule(from, to, fromRadius, toRadius, { width, height }, span) {
  const corners = tangents(from, to, fromRadius, toRadius);
  const top = Math.min(from.y - fromRadius, to.y - toRadius);
  const bottom = Math.max(from.y + fromRadius, to.y + toRadius);
  const last = Math.min(height - 1, Math.floor(bottom));
  for (let row = Math.max(0, Math.floor(top)); row <= last; row++) {
    const y = row + 0.5;
    let [low, high] = [Infinity, -Infinity];
    const parts = [disc(from, fromRadius, y), disc(to, toRadius, y), corners && slice(corners, y)];
    for (const part of parts) {
      if (!part) continue;
      low = Math.min(low, part[0]);
      high = Math.max(high, part[1]);
    }
    const found = pixels(low, high, width);
    if (found) span(row, ...found);
  }
}

/** Call span(y, from, to) for the rows of a polygon, also one that crosses itself (nonzero rule). */
export function polygon(points, { width, height }, span) {
  const ys = points.map((point) => point.y);
  const last = Math.min(height - 1, Math.floor(Math.max(...ys)));
  for (let row = Math.max(0, Math.floor(Math.min(...ys))); row <= last; row++) {
    const crossings = crossingsAt(points, row + 0.5);
    let winding = 0;
    crossings.forEach(({ x, turn }, i) => {
      winding += turn;
      const found = winding && pixels(x, crossings[i + 1].x, width);
      if (found) span(row, ...found);
    });
  }
}

/** Give where a closed line crosses height y, from left to right, each up (1) or down (-1). */
function crossingsAt(points, y) {
  const crossings = [];
  let a = points[points.length - 1];
  for (const b of points) {
    if (a.y > y !== b.y > y) {
      const x = a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x);
      crossings.push({ x, turn: a.y > y ? 1 : -1 });
    }
    a = b;
  }
  return crossings.sort((one, other) => one.x - other.x);
}

/** Call span(y, from, to) for the rows of the region of one value about a pixel; span changes it. */
export function region(data, { width, height }, x, y, span) {
  const value = data[y * width + x];
  const seeds = [[x, y]];
  while (seeds.length) {
    const [seed, row] = seeds.pop();
    const at = row * width;
    if (data[at + seed] !== value) continue;
    let [from, to] = [seed, seed + 1];
    while (from > 0 && data[at + from - 1] === value) from--;
    while (to < width && data[at + to] === value) to++;
    span(row, from, to);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      for (let i = from; i < to; i++) {
        const here = next * width + i;
        if (data[here] === value && (i === from || data[here - 1] !== value)) seeds.push([i, next]);
      }
    }
  }
}
