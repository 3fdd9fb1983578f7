// A cache that is never stale without knowing it: the algorithm of docs/caching.md.

import { subscribe } from "pgfan";

/** Maximum number of values, and of remembered changes; one more flushes the cache. */
const MAX_KEYS = 10_000;

/**
 * The keys in a payload: those of `pgfan triggers install --keys`, the one of the
 * demo's table, or a text that is itself a key. Empty if any key may have changed.
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
  // JavaScript loses digits of numbers that are not safe integers.
  const isWhole = (key) => typeof key === "string" || Number.isSafeInteger(key);
  return keys.every(isWhole) ? keys.map(String) : [];
}

/**
 * Values by key. `load(key)` reads one from the primary, in a snapshot that begins with
 * the call; a notification on `channel` has the changed keys in its payload.
 * Keys are compared as texts: pass them as PostgreSQL writes them (a uuid in lower case).
 * A value whose `id` differs from its key as text is not stored.
 */
export class Cache {
  #values = new Map();
  /** Number of changes of each key; below, the number of flushes. */
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

  /** The value and its origin. A number is the same key as its digits. */
  async read(key) {
    key = String(key);
    if (!this.#live) return { value: await this.load(key), from: "bypass" };
    if (this.#values.has(key)) return { value: this.#values.get(key), from: "cache" };
    const before = [this.#flushes, this.#count(key)];
    const value = await this.load(key);
    // If an event arrived during the load, this may be the old value.
    const isOvertaken = before[0] !== this.#flushes || before[1] !== this.#count(key);
    // In citext 'A' finds the row 'a', and its events name 'a'.
    const isItsOwn = value?.id === undefined || String(value.id) === key;
    if (this.#live && !isOvertaken && isItsOwn) {
      if (this.#values.size >= MAX_KEYS) this.#flush();
      this.#values.set(key, value);
    }
    return { value, from: "source" };
  }

  /** Call after your own write: its event arrives later than your next read. */
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
