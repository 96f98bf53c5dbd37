// Requests to the server that the page came from: the token, refusals in words, and its absence.

import { ofTab } from "./memory.js";

const TOKEN = "a2u-token";
const AGAIN = 2000; // milliseconds between looks for a server that is gone
const MOST_TRIES = 5; // where the server is busy

/** Take the token from the address, where it stays in no history, or from this tab's memory.
 *
 * Gives it, and whether the tab remembers it: else only the address has it after a reload. */
export function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!found) return { token: ofTab.get(TOKEN) ?? "", isKept: true };
  const isKept = ofTab.set(TOKEN, found);
  history.replaceState(null, "", location.pathname);
  return { token: found, isKept };
}

/** Say what the server refused, in its own words. */
export class Refusal extends Error {
  constructor(status, facts) {
    super(facts.error ?? `the server answered ${status}; try again`);
    Object.assign(this, { status, stale: facts.stale === true });
  }
}

/** Say that no server answers. */
export class Gone extends Error {
  constructor() {
    super("the server does not answer; start a2u serve again, this page waits and keeps your strokes");
    this.gone = true;
  }
}

/** Ask the server; tells "gone", "back" and "busy" as events. */
export class Api extends EventTarget {
  constructor(token) {
    super();
    Object.assign(this, { token, isGone: false });
  }

  /** Ask, and give the answer; what is refused or gone is thrown in words. */
  async ask(method, path, { query = {}, body, signal, keepalive = false } = {}) {
    const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
    const address = `/api/jobs${path}${words.size ? `?${words}` : ""}`;
    const headers = { "X-A2U-Token": this.token };
    for (let tries = 1; ; tries++) {
      const answer = await this.reach(address, { method, headers, body, signal, keepalive });
      if (answer.ok) return answer;
      const wait = Number(answer.headers.get("Retry-After"));
      const refusal = new Refusal(answer.status, await answer.json().catch(() => ({})));
      if (![429, 503].includes(answer.status) || tries === MOST_TRIES) throw refusal;
      this.dispatchEvent(new CustomEvent("busy", { detail: refusal.message }));
      await new Promise((resume) => setTimeout(resume, 1000 * Math.max(1, wait)));
      signal?.throwIfAborted();
    }
  }

  async json(method, path, options) {
    const answer = await this.ask(method, path, options);
    return answer.status === 204 ? null : answer.json();
  }

  async blob(path, options) {
    return (await this.ask("GET", path, options)).blob();
  }

  async reach(address, options) {
    try {
      return await fetch(address, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      this.wait();
      throw new Gone();
    }
  }

  /** Look for the server until it answers. */
  async wait() {
    if (this.isGone) return;
    this.isGone = true;
    this.dispatchEvent(new Event("gone"));
    while (!(await this.isThere())) await new Promise((resume) => setTimeout(resume, AGAIN));
    this.isGone = false;
    this.dispatchEvent(new Event("back"));
  }

  async isThere() {
    try {
      return (await fetch("/health")).ok;
    } catch {
      return false;
    }
  }
}
