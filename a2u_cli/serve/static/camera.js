// How the picture lies on the screen, in the screen's own pixels.

const LEAST = 0.02;
const MOST = 64;

/** Hold a scale and an offset: a place on the screen is the picture's times scale, plus offset. */
export class Camera {
  constructor() {
    Object.assign(this, { scale: 1, x: 0, y: 0, width: 1, height: 1, fitted: true });
    this.picture = { width: 1, height: 1 };
  }

  /** Take the screen's size, and keep the middle where it was. */
  resize(width, height) {
    this.x += (width - this.width) / 2;
    this.y += (height - this.height) / 2;
    Object.assign(this, { width, height });
    if (this.fitted) this.fit();
  }

  /** Show the whole picture. */
  fit() {
    const { width, height } = this.picture;
    const margin = 0.96;
    this.scale = Math.min(MOST, (margin * this.width) / width, (margin * this.height) / height);
    this.centre(width / 2, height / 2);
    this.fitted = true;
  }

  /** Show a pixel for a pixel, and this place of the picture in the middle. */
  whole() {
    this.zoom(1 / this.scale);
  }

  /** Bring a place of the picture to the middle. */
  centre(x, y) {
    this.x = Math.round(this.width / 2 - x * this.scale);
    this.y = Math.round(this.height / 2 - y * this.scale);
    this.fitted = false;
  }

  /** Zoom by a factor about a place on the screen, or about the middle. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * factor));
    const { x: atX, y: atY } = this.toPicture(x, y);
    Object.assign(this, { scale, fitted: false });
    this.x = Math.round(x - atX * scale);
    this.y = Math.round(y - atY * scale);
  }

  move(dx, dy) {
    Object.assign(this, { x: this.x + dx, y: this.y + dy, fitted: false });
  }

  toPicture(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  toScreen(x, y) {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y };
  }

  /** Give the screen's pixels that a box of the picture's may touch. */
  cover({ x0, y0, x1, y1 }) {
    const from = this.toScreen(x0, y0);
    const to = this.toScreen(x1, y1);
    return this.clip({
      x0: Math.floor(from.x) - 1,
      y0: Math.floor(from.y) - 1,
      x1: Math.ceil(to.x) + 1,
      y1: Math.ceil(to.y) + 1,
    });
  }

  clip({ x0, y0, x1, y1 }) {
    return {
      x0: Math.max(0, x0),
      y0: Math.max(0, y0),
      x1: Math.min(this.width, x1),
      y1: Math.min(this.height, y1),
    };
  }
}
