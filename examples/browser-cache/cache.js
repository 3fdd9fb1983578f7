// A cache that is never stale without knowing it: the recipe of docs/caching.md.

import { subscribe } from "pgfan";

/** Of values, and of changes remembered; one more than that flushes. */
const MAX_KEYS = 10_000;

/**
 * The keys that a payload names: those of `pgfan triggers install --keys`, the one
 * of the demo's table, or a text that is a key by itself. None: it may be any.
 */
export function keysOf(payload) {
  if (payload === "") return [];
  let change;
  try {
    change = JSON.parse(payload);
  } catch {
    return [payload];
  }
  if (typeof change !== "object" || change === null) return [payload];
  const rows = Array.isArray(change.keys) ? change.keys : [change];
  const keys = rows.map((row) => row?.id);
  // Of a number that JavaScript cannot hold the digits are lost.
  const isWhole = (key) => typeof key === "string" || Number.isSafeInteger(key);
  return keys.every(isWhole) ? keys.map(String) : [];
}

/**
 * Values by key. `load(key)` reads one from where it is kept, in a snapshot that begins
 * with it; a notification on `channel` names in its payload the keys that have changed.
 * Keys are compared as texts: pass them as PostgreSQL writes them (a uuid in lower case).
 * A value that has an `id` of another text than its key is not kept.
 */
export class Cache {
  #values = new Map();
  /** How often each key has changed, and all of them at once. */
  #changes = new Map();
  #flushes = 0;
  #live = false;
  #subscription;

  constructor(channel, load, { onChange = () => {}, ...options } = {}) {
    this.load = load;
    this.#subscription = subscribe([channel], {
      ...options,
      onEvent: ({ payload }) => {
        const keys = keysOf(payload);
        if (!keys.length) this.#flush();
        for (const key of keys) this.drop(key);
        onChange(payload);
      },
      onGap: () => {
        this.#flush();
        onChange("");
      },
      onStatus: (status) => {
        this.#live = status.live;
        options.onStatus?.(status);
      },
    });
  }

  /** The value, and where it came from. A number is the same key as its digits. */
  async read(key) {
    key = String(key);
    if (!this.#live) return { value: await this.load(key), from: "bypass" };
    if (this.#values.has(key)) return { value: this.#values.get(key), from: "cache" };
    const before = [this.#flushes, this.#count(key)];
    const value = await this.load(key);
    // What an event has overtaken may be the value of before.
    const isOvertaken = before[0] !== this.#flushes || before[1] !== this.#count(key);
    // 'A' may have found 'a', and the event will name 'a'.
    const isItsOwn = value?.id === undefined || String(value.id) === key;
    if (this.#live && !isOvertaken && isItsOwn) {
      if (this.#values.size >= MAX_KEYS) this.#flush();
      this.#values.set(key, value);
    }
    return { value, from: "source" };
  }

  /** After a write of your own: the event comes later than your next read. */
  drop(key) {
    key = String(key);
    if (this.#changes.size >= MAX_KEYS) this.#flush();
    this.#changes.set(key, this.#count(key) + 1);
    this.#values.delete(key);
  }

  close() {
    this.#subscription.close();
    this.#live = false;
    this.#flush();
  }

  #flush() {
    this.#flushes += 1;
    this.#values.clear();
    this.#changes.clear();
  }

  #count(key) {
    return this.#changes.get(key) ?? 0;
  }
}
