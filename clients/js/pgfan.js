// pgfan in the browser: PostgreSQL notifications over one connection a page.
//
//   import { subscribe } from "https://gateway.example/pgfan.js";
//   const orders = subscribe(["orders"], {
//     onEvent: (event) => cache.delete(event.payload),
//     onGap: () => cache.clear(),
//     onStatus: (status) => { cache.live = status.live; },
//   });
//
// While `status.live` is true every event comes once and in commit order, or
// `onGap` reports that events may be missing. pgfan.d.ts documents the API.
//
// WebSocket is tried first. If it is blocked, SSE is read with `fetch`, not with
// `EventSource`: that exposes neither the reason of a refusal nor the keepalives,
// and needs a ticket in its URL instead of the token in a header.

/** Bounds of the pause between attempts, in ms; it doubles after each failure. */
const FIRST_PAUSE = 500, LAST_PAUSE = 30_000;
/** After a connection was ready for this time, in ms, the pause starts at FIRST_PAUSE again. */
const STEADY = 10_000;
/** Timeout for the first data of a connection, in ms. */
const OPEN_LIMIT = 10_000;
/** Timeout for the answer to a probe, in ms; or `keepalive` if that is less. */
const PROBE_LIMIT = 5_000;
/** Time, in ms, for which SSE is tried first after WebSocket was found to be blocked. */
const BLOCKED = 600_000;
/** Maximum delay of setTimeout, in ms. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** Maximum number of remembered channels of one cache: eight times a gateway's limit for one reader. */
const MAX_PLACES = 1024;
/** A separate constant, since bundlers treat `new URL(".", import.meta.url)` as a file to copy. */
const HERE = import.meta.url;

/** Codes after which another attempt would be refused again. */
const FINAL = ["invalid_request", "payload_too_large", "not_found", "forbidden"];
/** Codes for close frames without a code in their reason. */
const CLOSE_CODES = {
  1002: "invalid_request", 1003: "invalid_request", 1007: "invalid_request",
  1008: "invalid_request", 1009: "invalid_request", 4401: "unauthenticated", 4403: "forbidden",
};

/** Clients created by `subscribe` that have subscriptions. */
const shared = new Set();

/** Subscribes over the page's one connection to this gateway with this token. */
export function subscribe(channels, options = {}) {
  const { url, token, keepalive } = options;
  const isIt = (client) => client.url === addressOf(url) && client.token === token;
  const client = [...shared].find(isIt) ?? connect({ url, token, keepalive });
  const subscription = client.subscribe(channels, options);
  shared.add(client);
  return subscription;
}

/** A client with a connection of its own, opened for the first subscription. */
export function connect({ url, token, keepalive = 15 } = {}) {
  return new Client(addressOf(url), token, keepalive * 1000);
}

/** Base URL of the gateway; by default the folder of this module. */
function addressOf(url = new URL(".", HERE)) {
  const address = new URL(url, globalThis.location?.href);
  if (!/^https?:$/.test(address.protocol)) throw new TypeError("pgfan: `url` has to be the gateway's, http: or https:");
  if (!address.pathname.endsWith("/")) address.pathname += "/";
  return address.origin + address.pathname;
}

/** Compares two sets of names. */
const areSame = (some, others) => JSON.stringify([...some].sort()) === JSON.stringify([...others].sort());

/** Elapsed time by a clock that includes sleep. Absolute, since a clock that was set back may hide any time. */
const since = (time) => Math.abs(Date.now() - time);

/**
 * Positions at which the subscriptions of one cache left their channels. A cache may
 * outlive them: a later subscription resumes from there, or gets a gap.
 */
class Places {
  #left = new Map();
  #hasForgotten = false;

  static #named = new WeakMap();
  /** For all subscriptions without the option `cache`. */
  static #unnamed = new Places();

  static of(cache) {
    if (!cache) return Places.#unnamed;
    if (!Places.#named.has(cache)) Places.#named.set(cache, new Places());
    return Places.#named.get(cache);
  }

  /** The stored place of a channel; one without a cursor cannot be resumed. */
  at(channel) {
    return this.#left.get(channel) ?? (this.#hasForgotten ? {} : undefined);
  }

  leave(channel, place) {
    // It is unknown which unnamed cache returns: keep the first place, which has missed most.
    if (this === Places.#unnamed && place.cursor && this.#left.has(channel)) return;
    this.#left.delete(channel);
    this.#left.set(channel, place);
    if (this.#left.size <= MAX_PLACES) return;
    const [oldest] = this.#left.keys();
    this.#left.delete(oldest);
    this.#hasForgotten = true;
  }
}

class Subscription {
  /** Channels that were ready once: a missed event of these is a gap. */
  known = new Set();
  /** Events were missed before it began; `onGap` is still to be called. */
  missed = false;
  status = { state: "connecting", live: false };

  constructor(client, channels, handlers) {
    Object.assign(this, { client, channels, handlers, places: Places.of(handlers.cache) });
  }

  close() {
    this.client.leave(this);
  }

  event(event) {
    this.#call("onEvent", event, (error) => this.gap({ reason: "handler_failed", error }));
  }

  gap(gap) {
    this.#call("onGap", gap, (error) => this.#fail(error));
  }

  tell(status) {
    if (this.missed) {
      this.missed = false;
      this.gap({ reason: "not_resumed" });
    }
    if (this.closed) return;
    const news = ["state", "live", "via", "code", "retryIn"].some((key) => this.status[key] !== status[key]);
    this.status = status;
    if (news) this.#call("onStatus", status, (error) => this.#fail(error));
  }

  /** Closes the subscription: if it cannot process a gap, it must not appear live. */
  #fail(error) {
    this.client.leave(this, { code: "handler_failed", reason: String(error) });
  }

  /** Calls a handler; a rejected promise counts as an exception. */
  #call(name, argument, failed) {
    if (this.closed) return;
    const fail = (error) => {
      (globalThis.reportError ?? console.error)(error);
      if (this.closed) this.client.forget(this);
      else failed(error);
    };
    try {
      this.handlers[name]?.(argument)?.then?.(undefined, fail);
    } catch (error) {
      fail(error);
    }
  }
}

/** The last mark; each is unique. */
let lastMark = 0;

class Client {
  #subscriptions = new Set();
  /** Channels that are ready on this connection. */
  #joined = new Set();
  /** Channels that were ready on an earlier connection, each with the cursor to resume from. */
  #held = new Map();
  /** For each channel a mark of its last event or gap; NaN while handlers are called for it. */
  #marks = new Map();
  /** Channels that the gateway refuses, each with the reason. */
  #refused = new Map();
  /** Channels to request separately: a request with several channels was refused. */
  #alone = new Set();
  #cursor = "";
  #link = null;
  /** Number of the connection: messages of older ones are ignored. */
  #life = 0;
  /** The request that waits for an answer; only one at a time, since an error does not name its request. */
  #asked = null;
  /** The gateway has just removed channels: the next error has the reason, and is not an answer. */
  #takenAway = false;
  #interrupted = false;
  /** The connection was silent for too long to be considered live. */
  #doubted = false;
  #state = "idle";
  #end = {};
  #failures = 0;
  /** The refused token with the refusal; and below, a new token to send. */
  #refusal = null;
  #renewed;
  #sseUntil = 0;
  #worked = false;
  #timers = {};
  #scheduled = false;

  constructor(url, token, keepalive) {
    Object.assign(this, { url, token, keepalive });
  }

  subscribe(channels, handlers = {}) {
    const names = [...new Set([channels].flat())];
    if (!names.length || !names.every((name) => name && typeof name === "string")) {
      throw new TypeError("pgfan: `channels` are names, one at least");
    }
    if (handlers.cache && typeof handlers.cache !== "object") throw new TypeError("pgfan: `cache` is an object");
    const subscription = new Subscription(this, names, handlers);
    for (const name of names) this.#comeBack(subscription, name);
    if (!this.#subscriptions.size) this.#watch("addEventListener");
    this.#subscriptions.add(subscription);
    this.#schedule();
    return subscription;
  }

  /** Removes a subscription. Its own `close` is not reported; a close after a failed handler is. */
  leave(subscription, why) {
    if (!this.#subscriptions.delete(subscription)) return;
    const status = { state: "closed", live: false, ...why };
    if (why) {
      this.forget(subscription);
      subscription.tell(status);
    } else {
      this.#remember(subscription);
    }
    Object.assign(subscription, { status, closed: true });
    this.#schedule();
  }

  // Caches that outlive their subscriptions.

  /** Checks for changes since an earlier subscription of the same cache left the channel. */
  #comeBack(subscription, name) {
    const { cache } = subscription.handlers;
    const place = subscription.places.at(this.#placeOf(name));
    const isKept = cache && this.#of(name).some((one) => one.handlers.cache === cache && one.known.has(name));
    if (!place || isKept) return;
    subscription.known.add(name);
    if (!this.#joined.has(name) && !this.#held.has(name)) return void this.#held.set(name, place.cursor);
    // Other subscriptions have the channel, and events are not repeated for one alone.
    const mark = this.#marks.get(name);
    const isNext = place.cursor && place.cursor === this.#held.get(name) && !Number.isNaN(mark);
    const isThere = isNext || (mark && place.mark === mark);
    subscription.missed ||= !isThere;
  }

  #remember({ known, missed, places }) {
    for (const name of known) {
      const mark = this.#marks.get(name);
      const cursor = this.#joined.has(name) ? this.#cursor : this.#held.get(name);
      // If the channel was not ready, or a gap is pending, the earlier place remains.
      if (mark !== undefined && !missed) places.leave(this.#placeOf(name), { cursor, mark });
    }
  }

  /** After a failed handler: no cursor can repeat that event. */
  forget({ known, places }) {
    for (const name of known) places.leave(this.#placeOf(name), {});
  }

  /** Key of a channel of this gateway, independent of the token. */
  #placeOf(name) {
    return `${this.url} ${name}`;
  }

  /** Calls handlers. A subscription that leaves or joins meanwhile may or may not have received the event. */
  #tellOf(names, act) {
    for (const name of names) this.#marks.set(name, NaN);
    act();
    for (const name of names) this.#marks.set(name, ++lastMark);
  }

  /** Continues with another token; retries if the last one was refused. */
  setToken(token) {
    this.token = token;
    this.#refused.clear();
    if (this.#link?.isOpen) this.#renew();
    // A starting connection uses the previous token, and an SSE stream cannot change its token.
    else if (this.#link || this.#state === "connecting" || this.#state === "refused") this.#open();
    else this.#schedule();
  }

  // Wanted and joined channels. Calls within one task become one request.

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#reconcile();
    });
  }

  #wanted() {
    const names = [...this.#subscriptions].flatMap((one) => one.channels);
    return new Set(names.filter((name) => !this.#refused.has(name)));
  }

  #reconcile() {
    if (!this.#subscriptions.size) return this.#rest();
    const wanted = this.#wanted();
    for (const name of this.#held.keys()) if (!wanted.has(name)) this.#held.delete(name);
    for (const name of this.#marks.keys()) if (!this.#of(name).length) this.#marks.delete(name);
    for (const name of this.#joined) for (const one of this.#of(name)) one.known.add(name);
    const link = this.#link;
    if (this.#state === "idle") this.#open();
    // An SSE stream cannot change its channels.
    else if (link?.via === "sse" && !areSame(wanted, link.channels)) this.#open();
    else if (link?.isOpen && !this.#asked) this.#ask(this.#next(wanted));
    this.#tell();
  }

  /** The next request on a WebSocket. */
  #next(wanted) {
    if (this.#renewed) return { type: "auth", token: this.#renewed };
    const left = [...this.#joined].filter((name) => !wanted.has(name));
    if (left.length) return { type: "unsubscribe", channels: left };
    const missing = [...wanted].filter((name) => !this.#joined.has(name));
    // First the channels to resume; those with the same cursor together.
    const first = missing.find((name) => this.#held.has(name)) ?? missing[0];
    const cursor = this.#held.get(first);
    const isLikeIt = (name) => this.#held.get(name) === cursor && !this.#alone.has(name);
    const channels = this.#alone.has(first) ? [first] : missing.filter(isLikeIt);
    return first && { type: "subscribe", channels, ...(cursor && { cursor }) };
  }

  #ask(message) {
    if (!message) return;
    this.#asked = message;
    // Events of these channels are no longer guaranteed from now on.
    if (message.type === "unsubscribe") for (const name of message.channels) this.#joined.delete(name);
    if (message.type === "auth") {
      this.#link.token = message.token;
      this.#renewed = undefined;
      // The new token may grant channels that the last one did not.
      this.#refused.clear();
    }
    this.#link.say(message);
  }

  // Connections, one at a time.

  async #open() {
    this.#drop();
    const life = this.#life;
    const ifAlive = (act) => (value) => life === this.#life && act(value);
    const end = ifAlive((why) => this.#ended(why));
    if (!this.#wanted().size) return this.#become("refused", this.#end);
    this.#timers.open = setTimeout(end, OPEN_LIMIT, { code: "timeout", reason: "nothing was said in time" });
    // A handler may cause another connection here.
    this.#become("connecting");
    try {
      const token = await this.#currentToken();
      if (life !== this.#life) return;
      if (this.#refusal && this.#refusal.token === token) return this.#stop(this.#refusal.end);
      // Node has no WebSocket before version 22.
      const start = Date.now() < this.#sseUntil || !globalThis.WebSocket ? eventStream : webSocket;
      // A stream has one cursor for all channels. Channels at another position get a gap.
      const cursors = [...this.#held.values()];
      const cursor = cursors.includes(this.#cursor) ? this.#cursor : cursors.find(Boolean);
      const opened = ifAlive(() => this.#opened());
      const hear = ifAlive((message) => this.#heard(message));
      this.#link = start({ url: this.url, token, channels: this.#wanted(), cursor, opened, hear, end });
      this.#link.token = token;
    } catch (error) {
      end({ code: "token_failed", reason: String(error) });
    }
  }

  async #currentToken() {
    return typeof this.token === "function" ? this.token({ refused: !!this.#refusal }) : this.token;
  }

  /** Ends the connection; each channel resumes from its position. */
  #drop() {
    this.#life += 1;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#link?.close();
    for (const name of this.#joined) this.#held.set(name, this.#cursor);
    this.#joined.clear();
    this.#link = this.#asked = null;
    this.#takenAway = this.#interrupted = this.#doubted = false;
  }

  #rest() {
    this.#drop();
    this.#watch("removeEventListener");
    this.#state = "idle";
    this.#failures = 0;
    for (const kept of [this.#held, this.#marks, this.#refused, this.#alone]) kept.clear();
    shared.delete(this);
  }

  #ended(end) {
    const link = this.#link;
    this.#drop();
    if (Date.now() - link?.readyAt >= STEADY) this.#failures = 0;
    if (end.code === "unauthenticated") {
      this.#refusal = { token: link?.token, end };
      // Unless another token is set by now, or a function may supply one.
      if (this.token === link?.token) return this.#stop(end);
    } else if (FINAL.includes(end.code)) {
      const isOneOfMany = link?.via === "sse" && link.channels.size > 1;
      return isOneOfMany ? this.#sift(link, end) : this.#stop(end);
    } else if (link && !link.spoke && this.#isBlocked(link, end)) {
      return this.#open();
    }
    // Another connection may be granted channels that this one was not.
    if (link?.spoke) for (const kept of [this.#refused, this.#alone]) kept.clear();
    this.#wait(end);
  }

  /** Whether SSE is worth an attempt at once. */
  #isBlocked({ via }, { code }) {
    const isMute = code === "disconnected" || code === "timeout";
    // A WebSocket that worked before is not blocked: the gateway is away.
    const blocked = via === "websocket" && isMute && (!this.#worked || this.#failures > 2);
    this.#sseUntil = blocked ? Date.now() + BLOCKED : 0;
    return blocked;
  }

  /** With jitter, so that not all pages reconnect at once after a restart. */
  #wait({ retryAfter = 0, ...end }) {
    const longest = Math.min(LAST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++);
    const retryIn = Math.round(Math.max(longest * (1 + Math.random()) / 2, retryAfter));
    this.#become("waiting", { ...end, retryIn });
    this.#timers.retry = setTimeout(() => this.#open(), retryIn);
  }

  #stop({ code, reason }) {
    this.#drop();
    this.#become("refused", { code, reason });
  }

  /** Finds the refused channels of an SSE stream; the others then continue together. */
  async #sift({ channels, token }, end) {
    const life = this.#life;
    this.#become("connecting");
    for (const name of channels) {
      const why = await whyRefused({ url: this.url, token, channels: [name] });
      if (life !== this.#life) return;
      if (why) this.#refused.set(name, why);
    }
    this.#wait(end);
  }

  // Messages from the gateway.

  #opened() {
    const link = this.#link;
    link.isOpen = true;
    // Any answer proves that data passes in both directions.
    if (link.token) this.#ask({ type: "auth", token: link.token });
    else this.#probe();
    this.#schedule();
  }

  #heard(message) {
    const link = this.#link;
    // The first message after a sleep may have been buffered in this machine.
    const hasSlept = link.spoke && !this.#doubted && since(link.heardAt) >= 2 * this.keepalive;
    link.heardAt = Date.now();
    link.isAsked = false;
    if (!link.spoke) {
      link.spoke = true;
      this.#worked ||= link.via === "websocket";
      clearTimeout(this.#timers.open);
      this.#timers.tick = setInterval(() => this.#tick(), this.keepalive / 3);
    }
    const isReplayed = this.#isReplayed(message);
    this.#take(message);
    if (message.type !== "unsubscribed") this.#takenAway = false;
    // The cursor of a stream never goes back: replayed events are older.
    if (!isReplayed) this.#cursor = message.cursor || message.id || this.#cursor;
    if (hasSlept && link === this.#link) this.#wake(true);
    else if (message.type !== "event") this.#tell();
  }

  #take({ type, ...message }) {
    if (type === "ready") this.#ready(message);
    else if (type === "event") this.#event(message);
    else if (type === "gap") this.#gap(message);
    else if (type === "interrupted" || type === "live") this.#interrupted = type === "interrupted";
    else if (type === "unsubscribed") this.#unsubscribed(message);
    else if (type === "authenticated") this.#authenticated(message);
    else if (type === "error") this.#error({ code: message.code, reason: message.message });
    // A later gateway may send other types, which could mean a loss. A keepalive has no type.
    else if (type) this.#take({ type: "gap", reason: "not_understood" });
  }

  /** Whether a message belongs to the replay before the `ready` of a `subscribe` with a cursor. */
  #isReplayed({ type, channel }) {
    const { cursor, channels } = this.#asked ?? {};
    return !!cursor && (type === "gap" || (type === "event" && channels.includes(channel)));
  }

  #event(event) {
    const { channel } = event;
    const { via, channels } = this.#link;
    const asked = this.#asked?.type === "subscribe" ? this.#asked.channels : [];
    // An event of an unsubscribed channel may still arrive; a new subscription gets it again later.
    const isTheirs = via === "sse" ? channels.has(channel) : this.#joined.has(channel) || asked.includes(channel);
    if (isTheirs) this.#tellOf([channel], () => this.#of(channel).forEach((one) => one.event(event)));
  }

  #gap(gap) {
    // These reasons answer a cursor: on a WebSocket the cursor of a request, for its channels alone.
    const isAnswer = this.#asked?.cursor && ["unknown_cursor", "cursor_too_old"].includes(gap.reason);
    const names = isAnswer ? this.#asked.channels : [...this.#marks.keys()];
    const isTheirs = ({ known, channels }) => known.size && (!isAnswer || channels.some((name) => names.includes(name)));
    // A subscription that was never ready has missed nothing.
    this.#tellOf(names, () => [...this.#subscriptions].filter(isTheirs).forEach((one) => one.gap(gap)));
  }

  #ready({ channels }) {
    const link = this.#link;
    const from = link.cursor || this.#asked?.cursor;
    this.#refusal = null;
    this.#interrupted = false;
    link.readyAt ??= Date.now();
    for (const name of channels) {
      const goesOn = this.#joined.has(name) || (from && from === this.#held.get(name));
      if (!goesOn) this.#notResumed(name);
      // A handler may have caused another connection.
      if (link !== this.#link) return;
      if (!this.#marks.has(name)) this.#marks.set(name, ++lastMark);
      for (const one of this.#of(name)) one.known.add(name);
      this.#joined.add(name);
      for (const kept of [this.#held, this.#alone]) kept.delete(name);
    }
    this.#answered("subscribe");
  }

  #notResumed(name) {
    this.#held.set(name, undefined);
    const known = this.#of(name).filter((one) => one.known.has(name));
    this.#tellOf([name], () => known.forEach((one) => one.gap({ reason: "not_resumed" })));
  }

  #unsubscribed({ channels }) {
    // Without channels: the answer to a probe. That of an older probe may have been buffered during a sleep.
    if (!channels.length) return void (--this.#link.probes || (this.#doubted = false));
    const asked = this.#asked;
    if (asked?.type === "unsubscribe" && areSame(channels, asked.channels)) return this.#answered("unsubscribe");
    this.#takenAway = true;
    for (const name of channels) {
      this.#joined.delete(name);
      this.#refused.set(name, { code: "forbidden", reason: "this channel is no longer granted" });
    }
    // If channels of the request remain, their `ready` follows.
    if (asked?.channels?.every((name) => channels.includes(name))) this.#answered("subscribe");
    this.#schedule();
  }

  #authenticated({ expires_at: expires }) {
    this.#refusal = null;
    this.#link.isAuthenticated = true;
    clearTimeout(this.#timers.renew);
    const left = Date.parse(expires) - Date.now();
    // By a wrong local clock it may have expired: then it is renewed when the gateway reports that.
    if (left > 0 && typeof this.token === "function") {
      const due = Math.max(left - Math.min(30_000, left / 4), FIRST_PAUSE);
      this.#timers.renew = setTimeout(() => this.#renew(), Math.min(due, LONGEST_TIMER));
    }
    this.#answered("auth");
  }

  /** Sends a new token on the same WebSocket before the old one expires. */
  async #renew() {
    const life = this.#life;
    // Without one the stream ends when the old token expires, which is then reported.
    const token = await this.#currentToken().catch(() => undefined);
    if (life !== this.#life) return;
    this.#renewed = token;
    this.#schedule();
  }

  #error(end) {
    const { type, channels } = this.#asked ?? {};
    if (this.#link.via === "sse") this.#link.last = end;
    else if (this.#takenAway) return;
    else if (type === "auth") {
      if (!this.#link.isAuthenticated) return this.#ended(end);
      this.#answered("auth");
    } else if (type === "subscribe") {
      if (channels.length > 1) for (const name of channels) this.#alone.add(name);
      else this.#refused.set(channels[0], end);
      this.#answered("subscribe");
    }
  }

  #answered(type) {
    if (this.#asked?.type === type) this.#asked = null;
    this.#schedule();
  }

  #of(name) {
    return [...this.#subscriptions].filter((one) => one.channels.includes(name));
  }

  // Silence, sleep and network changes.

  /** Detects a dead connection. A page cannot see pings, so it probes and waits for the answer. */
  #tick() {
    const { via, heardAt, probedAt, isAsked } = this.#link;
    const silence = since(heardAt);
    const isGone = via === "sse"
      ? silence >= 2 * this.keepalive
      : isAsked && since(probedAt) >= Math.min(this.keepalive, PROBE_LIMIT);
    if (isGone) return this.#ended({ code: "silent", reason: "nothing was heard for too long" });
    if (via === "websocket" && silence >= this.keepalive && !isAsked) {
      // Timers fire late after the page or the machine has slept.
      this.#doubted ||= silence >= 2 * this.keepalive;
      this.#probe();
    }
    this.#tell();
  }

  #probe() {
    this.#link.probedAt = Date.now();
    this.#link.isAsked = true;
    this.#link.probes += this.#link.say({ type: "unsubscribe", channels: [] });
  }

  /** Checks the connection after a sleep or a network change. */
  #wake(changed) {
    const link = this.#link;
    if (this.#state === "waiting") return this.#open();
    if (!link?.spoke) return;
    if (changed && link.via === "sse") return this.#open();
    if (changed || since(link.heardAt) >= this.keepalive) {
      this.#doubted = link.via === "websocket";
      if (this.#doubted) this.#probe();
      else this.#tick();
    }
    this.#tell();
  }

  #handlers = {
    online: () => {
      this.#sseUntil = 0;
      this.#worked = false;
      this.#wake(true);
    },
    offline: () => this.#wake(true),
    visibilitychange: () => document.visibilityState === "visible" && this.#wake(),
    resume: () => this.#wake(),
    // A page in the back/forward cache must not have a connection, and receives nothing.
    pagehide: () => {
      this.#drop();
      this.#become("paused");
    },
    pageshow: () => this.#state === "paused" && this.#open(),
  };

  #watch(change) {
    for (const [name, handle] of Object.entries(this.#handlers)) {
      const isOfDocument = name === "visibilitychange" || name === "resume";
      // Node has neither `document` nor a global `addEventListener`.
      (isOfDocument ? globalThis.document : globalThis)?.[change]?.(name, handle);
    }
  }

  // Status of subscriptions.

  #become(state, end = {}) {
    this.#state = state;
    this.#end = end;
    this.#tell();
  }

  #tell() {
    for (const one of [...this.#subscriptions]) one.tell(this.#statusOf(one));
  }

  #statusOf({ channels }) {
    const refusal = channels.map((name) => this.#refused.get(name)).find(Boolean);
    if (refusal) return { state: "refused", live: false, ...refusal };
    if (!this.#link) return { state: this.#state, live: false, ...this.#end };
    const { via } = this.#link;
    if (!channels.every((name) => this.#joined.has(name))) return { state: "connecting", live: false, via };
    if (this.#interrupted) return { state: "interrupted", live: false, via };
    if (this.#doubted) return { state: "checking", live: false, via };
    return { state: "live", live: true, via };
  }
}

// Transports: each passes on its messages, as objects of the contract, and its end.

function webSocket({ url, opened, hear, end }) {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}v1/ws`);
  socket.onopen = opened;
  socket.onmessage = ({ data }) => {
    try {
      hear(JSON.parse(data));
    } catch (error) {
      // A message that cannot be parsed is lost: reconnect from the last cursor.
      end({ code: "disconnected", reason: String(error) });
    }
  };
  socket.onclose = ({ code, reason }) => {
    const [, word, text] = /^([a-z_]+): (.*)$/s.exec(reason) ?? [];
    end({ code: word ?? CLOSE_CODES[code] ?? "disconnected", reason: text ?? `close code ${code}` });
  };
  const say = (message) => {
    const isOpen = socket.readyState === WebSocket.OPEN;
    if (isOpen) socket.send(JSON.stringify(message));
    return isOpen;
  };
  return { via: "websocket", say, probes: 0, close: () => socket.close() };
}

function eventStream({ hear, end, ...asked }) {
  const abort = new AbortController();
  const link = { via: "sse", channels: asked.channels, cursor: asked.cursor, close: () => abort.abort() };
  const read = async () => {
    const response = await request(asked, abort);
    if (!response.ok) return end(await refusalOf(response));
    // `ready` may take longer than OPEN_LIMIT, so the response counts as the first data.
    hear({});
    for await (const { id, data } of messagesOf(response.body)) hear({ id, ...(data && JSON.parse(data)) });
    end(link.last ?? { code: "disconnected", reason: "the stream has ended" });
  };
  read().catch((error) => end({ code: "disconnected", reason: String(error) }));
  return link;
}

function request({ url, token, channels, cursor }, { signal }) {
  const query = new URLSearchParams([...channels].map((name) => ["channel", name]));
  if (cursor) query.set("cursor", cursor);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  return fetch(`${url}v1/sse?${query}`, { headers, signal, cache: "no-store", credentials: "include" });
}

/** The reason if the gateway refuses this permanently. */
async function whyRefused(asked) {
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(), OPEN_LIMIT);
  const response = await request(asked, abort).catch(() => undefined);
  const { code, reason } = response && !response.ok ? await refusalOf(response) : {};
  clearTimeout(limit);
  abort.abort();
  return FINAL.includes(code) && { code, reason };
}

/** The refusal in a problem document; a response without one is from a proxy. */
async function refusalOf(response) {
  const { code = "disconnected", detail } = await response.json().catch(() => ({}));
  const retryAfter = 1000 * response.headers.get("retry-after") || 0;
  return { code, reason: detail ?? `the answer was ${response.status}`, retryAfter };
}

/**
 * Messages of an event stream, and an empty one for each received chunk: a keepalive,
 * such as a comment, is not followed by the end of a block.
 */
async function* messagesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let [unread, message] = ["", {}];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield {};
    const lines = (unread + value).split("\n");
    unread = lines.pop();
    for (const line of lines) {
      const [, field, text] = /^(id|data): ?(.*?)\r?$/.exec(line) ?? [];
      if (field) message[field] = text;
      else if (/^\r?$/.test(line)) {
        yield message;
        message = {};
      }
    }
  }
}
