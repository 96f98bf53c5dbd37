// What the browser remembers for the page; a browser that forbids it keeps nothing, and all else works.

/** Remember words under names, in a storage that may be forbidden or full. */
class Memory {
  constructor(kind) {
    this.kind = kind; // "localStorage" or "sessionStorage": even to name it may be forbidden
  }

  /** Give the words of a name; null where there are none. */
  get(name) {
    try {
      return window[this.kind].getItem(name);
    } catch {
      return null;
    }
  }

  /** Keep words; gives whether that could be. */
  set(name, words) {
    try {
      window[this.kind].setItem(name, words);
      return true;
    } catch {
      return false;
    }
  }

  forget(name) {
    try {
      window[this.kind].removeItem(name);
    } catch {
      // there is nothing to forget
    }
  }

  /** Give what JSON words of a name say; null where they say nothing. */
  read(name) {
    try {
      return JSON.parse(this.get(name));
    } catch {
      return null;
    }
  }
}

export const lasting = new Memory("localStorage");
export const ofTab = new Memory("sessionStorage");
