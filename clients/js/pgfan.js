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
// `onGap` says that something may be missing. pgfan.d.ts says what each word
// means.
//
// WebSocket comes first. Where it is blocked, SSE is read by `fetch`, not by
// `EventSource`: that shows neither why it was refused nor the signs of life,
// and its URL would have to carry a ticket where a header can carry the token.

/** Pauses between attempts double from the first to the last of these, in ms. */
const FIRST_PAUSE = 500, LAST_PAUSE = 30_000;
/** A connection that was ready for so long, in ms, begins with the first again. */
const STEADY = 10_000;
/** What has not said anything by then, in ms, will not. */
const OPEN_LIMIT = 10_000;
/** What has not answered by then, in ms, is gone; `keepalive` where that is less. */
const PROBE_LIMIT = 5_000;
/** For so long, in ms, SSE comes first where WebSocket was found to be blocked. */
const BLOCKED = 600_000;
/** What setTimeout can hold, in ms. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** Channels of one cache whose place is kept: eight times what a gateway gives one reader. */
const MAX_PLACES = 1024;
/** By itself, as bundlers take `new URL(".", import.meta.url)` for a file to copy. */
const HERE = import.meta.url;

/** Would only be refused again. */
const FINAL = ["invalid_request", "payload_too_large", "not_found", "forbidden"];
/** Where a close frame has no word for its code. */
const CLOSE_CODES = {
  1002: "invalid_request", 1003: "invalid_request", 1007: "invalid_request",
  1008: "invalid_request", 1009: "invalid_request", 4401: "unauthenticated", 4403: "forbidden",
};

/** The clients of `subscribe` that have something to do. */
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

/** Without a URL the folder that this module came from. */
function addressOf(url = new URL(".", HERE)) {
  const address = new URL(url, globalThis.location?.href);
  if (!/^https?:$/.test(address.protocol)) throw new TypeError("pgfan: `url` has to be the gateway's, http: or https:");
  if (!address.pathname.endsWith("/")) address.pathname += "/";
  return address.origin + address.pathname;
}

/** Two sets of names. */
const areSame = (some, others) => JSON.stringify([...some].sort()) === JSON.stringify([...others].sort());

/** By a clock that goes on while the machine sleeps. One that was set back may hide any time. */
const since = (time) => Math.abs(Date.now() - time);

/**
 * Where the subscriptions of one cache have left their channels. A cache may outlive
 * them: what comes back goes on from there, or is told a gap.
 */
class Places {
  #left = new Map();
  #hasForgotten = false;

  static #named = new WeakMap();
  /** Of all caches without a name. */
  static #unnamed = new Places();

  static of(cache) {
    if (!cache) return Places.#unnamed;
    if (!Places.#named.has(cache)) Places.#named.set(cache, new Places());
    return Places.#named.get(cache);
  }

  /** One without a cursor cannot be gone on from. */
  at(channel) {
    return this.#left.get(channel) ?? (this.#hasForgotten ? {} : undefined);
  }

  leave(channel, place) {
    // Which of the unnamed will come back nobody knows: the first that left has missed most.
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
  /** Channels that were ready once: to miss something of them is a gap. */
  known = new Set();
  /** Something was missed before it began; its handlers are still to be told. */
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

  /** Who cannot hear of a loss must not believe to be live. */
  #fail(error) {
    this.client.leave(this, { code: "handler_failed", reason: String(error) });
  }

  /** A promise that is rejected has failed as much as a handler that throws. */
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

/** Never given out twice. */
let lastMark = 0;

class Client {
  #subscriptions = new Set();
  /** Channels that are ready on this connection. */
  #joined = new Set();
  /** Channels that were ready on one before, each with the cursor to go on from. */
  #held = new Map();
  /** Of each channel a mark of the last that came, or was missed; NaN, while it is told. */
  #marks = new Map();
  /** Channels that the gateway refuses, each with why. */
  #refused = new Map();
  /** Channels to ask for one by one: together with others they were refused. */
  #alone = new Set();
  #cursor = "";
  #link = null;
  /** Rises with each connection: what an older one says is not heard. */
  #life = 0;
  /** The one request without an answer yet: an error does not name its own. */
  #asked = null;
  /** Channels were just taken away: the error that comes next says why, and answers nothing. */
  #takenAway = false;
  #interrupted = false;
  /** It has been silent for longer than one who can be relied on. */
  #doubted = false;
  #state = "idle";
  #end = {};
  #failures = 0;
  /** A token that was refused, and how; and one to go on with. */
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

  /** Its own `close` is no news; that it was closed for a handler that failed is. */
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

  /** Its cache may hold what changed after an earlier subscription had left the channel. */
  #comeBack(subscription, name) {
    const { cache } = subscription.handlers;
    const place = subscription.places.at(this.#placeOf(name));
    const isKept = cache && this.#of(name).some((one) => one.handlers.cache === cache && one.known.has(name));
    if (!place || isKept) return;
    subscription.known.add(name);
    if (!this.#joined.has(name) && !this.#held.has(name)) return void this.#held.set(name, place.cursor);
    // Others have the channel, and nothing is repeated for one alone.
    const mark = this.#marks.get(name);
    const isNext = place.cursor && place.cursor === this.#held.get(name) && !Number.isNaN(mark);
    const isThere = isNext || (mark && place.mark === mark);
    subscription.missed ||= !isThere;
  }

  #remember({ known, missed, places }) {
    for (const name of known) {
      const mark = this.#marks.get(name);
      const cursor = this.#joined.has(name) ? this.#cursor : this.#held.get(name);
      // What was not ready, or has a gap to be told, is where it was left before.
      if (mark !== undefined && !missed) places.leave(this.#placeOf(name), { cursor, mark });
    }
  }

  /** It has failed over what it was told: no cursor brings that back. */
  forget({ known, places }) {
    for (const name of known) places.leave(this.#placeOf(name), {});
  }

  /** A channel of this gateway, whatever the token. */
  #placeOf(name) {
    return `${this.url} ${name}`;
  }

  /** While handlers are told, who leaves or comes may or may not have heard of it. */
  #tellOf(names, act) {
    for (const name of names) this.#marks.set(name, NaN);
    act();
    for (const name of names) this.#marks.set(name, ++lastMark);
  }

  /** Goes on with another token, and comes back where the last one was refused. */
  setToken(token) {
    this.token = token;
    this.#refused.clear();
    if (this.#link?.isOpen) this.#renew();
    // One that begins has the last token, and an SSE stream cannot be given another.
    else if (this.#link || this.#state === "connecting" || this.#state === "refused") this.#open();
    else this.#schedule();
  }

  // What is wanted and what is there. What is called in one go is one request.

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
    // An SSE stream cannot be asked for other channels.
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
    // First those that go on; from one cursor together.
    const first = missing.find((name) => this.#held.has(name)) ?? missing[0];
    const cursor = this.#held.get(first);
    const isLikeIt = (name) => this.#held.get(name) === cursor && !this.#alone.has(name);
    const channels = this.#alone.has(first) ? [first] : missing.filter(isLikeIt);
    return first && { type: "subscribe", channels, ...(cursor && { cursor }) };
  }

  #ask(message) {
    if (!message) return;
    this.#asked = message;
    // Nothing of these is sure from now on.
    if (message.type === "unsubscribe") for (const name of message.channels) this.#joined.delete(name);
    if (message.type === "auth") {
      this.#link.token = message.token;
      this.#renewed = undefined;
      // What the last token could not read this one may.
      this.#refused.clear();
    }
    this.#link.say(message);
  }

  // One connection after the other.

  async #open() {
    this.#drop();
    const life = this.#life;
    const ifAlive = (act) => (value) => life === this.#life && act(value);
    const end = ifAlive((why) => this.#ended(why));
    if (!this.#wanted().size) return this.#become("refused", this.#end);
    this.#timers.open = setTimeout(end, OPEN_LIMIT, { code: "timeout", reason: "nothing was said in time" });
    // Who is told may have it opened anew.
    this.#become("connecting");
    try {
      const token = await this.#currentToken();
      if (life !== this.#life) return;
      if (this.#refusal && this.#refusal.token === token) return this.#stop(this.#refusal.end);
      // Node has no WebSocket before version 22.
      const start = Date.now() < this.#sseUntil || !globalThis.WebSocket ? eventStream : webSocket;
      // A stream has one cursor for all. Who was elsewhere has a gap.
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

  /** Each channel is to go on from where this connection was. */
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
      // Unless there is another by now, or may be.
      if (this.token === link?.token) return this.#stop(end);
    } else if (FINAL.includes(end.code)) {
      const isOneOfMany = link?.via === "sse" && link.channels.size > 1;
      return isOneOfMany ? this.#sift(link, end) : this.#stop(end);
    } else if (link && !link.spoke && this.#isBlocked(link, end)) {
      return this.#open();
    }
    // Another connection may have what this one had not.
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

  /** With jitter: after a restart not all pages may come in one moment. */
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

  /** Which of its channels was it? Those that are good alone go on together. */
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

  // What the gateway says.

  #opened() {
    const link = this.#link;
    link.isOpen = true;
    // Any answer proves that the wire carries both ways.
    if (link.token) this.#ask({ type: "auth", token: link.token });
    else this.#probe();
    this.#schedule();
  }

  #heard(message) {
    const link = this.#link;
    // What is heard first after a sleep may have waited in this machine.
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
    // The cursor of a stream never goes back: what is repeated for some channels is older.
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
    // A later gateway may say more; it could be a loss. A sign of life has no type.
    else if (type) this.#take({ type: "gap", reason: "not_understood" });
  }

  /** Before the `ready` that a `subscribe` with a cursor waits for. */
  #isReplayed({ type, channel }) {
    const { cursor, channels } = this.#asked ?? {};
    return !!cursor && (type === "gap" || (type === "event" && channels.includes(channel)));
  }

  #event(event) {
    const { channel } = event;
    const { via, channels } = this.#link;
    const asked = this.#asked?.type === "subscribe" ? this.#asked.channels : [];
    // Of one that is given up it may be on its way; who comes meanwhile is given it later.
    const isTheirs = via === "sse" ? channels.has(channel) : this.#joined.has(channel) || asked.includes(channel);
    if (isTheirs) this.#tellOf([channel], () => this.#of(channel).forEach((one) => one.event(event)));
  }

  #gap(gap) {
    // These answer a cursor: on a WebSocket that of a request, and for its channels alone.
    const isAnswer = this.#asked?.cursor && ["unknown_cursor", "cursor_too_old"].includes(gap.reason);
    const names = isAnswer ? this.#asked.channels : [...this.#marks.keys()];
    const isTheirs = ({ known, channels }) => known.size && (!isAnswer || channels.some((name) => names.includes(name)));
    // Who was never ready misses nothing.
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
      // Who was told may have it opened anew.
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
    // Of none: the answer to a probe. An older one's may have waited in this machine while it slept.
    if (!channels.length) return void (--this.#link.probes || (this.#doubted = false));
    const asked = this.#asked;
    if (asked?.type === "unsubscribe" && areSame(channels, asked.channels)) return this.#answered("unsubscribe");
    this.#takenAway = true;
    for (const name of channels) {
      this.#joined.delete(name);
      this.#refused.set(name, { code: "forbidden", reason: "this channel is no longer granted" });
    }
    // Of the rest of them there is a `ready` to come.
    if (asked?.channels?.every((name) => channels.includes(name))) this.#answered("subscribe");
    this.#schedule();
  }

  #authenticated({ expires_at: expires }) {
    this.#refusal = null;
    this.#link.isAuthenticated = true;
    clearTimeout(this.#timers.renew);
    const left = Date.parse(expires) - Date.now();
    // By a clock that is wrong it may be over: then it is, and is renewed, when the gateway says so.
    if (left > 0 && typeof this.token === "function") {
      const due = Math.max(left - Math.min(30_000, left / 4), FIRST_PAUSE);
      this.#timers.renew = setTimeout(() => this.#renew(), Math.min(due, LONGEST_TIMER));
    }
    this.#answered("auth");
  }

  /** A new token on the same WebSocket, before the old one is over. */
  async #renew() {
    const life = this.#life;
    // Without one the stream ends with the old token, and that is then said.
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

  // Silence, sleep and other networks.

  /** A page sees no ping: it asks, and who does not answer is gone. */
  #tick() {
    const { via, heardAt, probedAt, isAsked } = this.#link;
    const silence = since(heardAt);
    const isGone = via === "sse"
      ? silence >= 2 * this.keepalive
      : isAsked && since(probedAt) >= Math.min(this.keepalive, PROBE_LIMIT);
    if (isGone) return this.#ended({ code: "silent", reason: "nothing was heard for too long" });
    if (via === "websocket" && silence >= this.keepalive && !isAsked) {
      // Timers come late where the page or the machine has slept.
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

  /** The page was asleep, or its network has changed. */
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
    // A page that is kept for "back" may hold no connection, and hears nothing.
    pagehide: () => {
      this.#drop();
      this.#become("paused");
    },
    pageshow: () => this.#state === "paused" && this.#open(),
  };

  #watch(change) {
    for (const [name, handle] of Object.entries(this.#handlers)) {
      const isOfDocument = name === "visibilitychange" || name === "resume";
      // Node has neither.
      (isOfDocument ? globalThis.document : globalThis)?.[change]?.(name, handle);
    }
  }

  // What subscriptions are told.

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

// The wires: each says what it hears, in the contract's objects, and its end.

function webSocket({ url, opened, hear, end }) {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}v1/ws`);
  socket.onopen = opened;
  socket.onmessage = ({ data }) => {
    try {
      hear(JSON.parse(data));
    } catch (error) {
      // Not understood is not heard: from the last cursor once more.
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
    // A `ready` may wait for longer than anything else would.
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

/** Why the gateway refuses this for good, where it does. */
async function whyRefused(asked) {
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(), OPEN_LIMIT);
  const response = await request(asked, abort).catch(() => undefined);
  const { code, reason } = response && !response.ok ? await refusalOf(response) : {};
  clearTimeout(limit);
  abort.abort();
  return FINAL.includes(code) && { code, reason };
}

/** A problem document is the gateway's word, anything else a proxy's. */
async function refusalOf(response) {
  const { code = "disconnected", detail } = await response.json().catch(() => ({}));
  const retryAfter = 1000 * response.headers.get("retry-after") || 0;
  return { code, reason: detail ?? `the answer was ${response.status}`, retryAfter };
}

/**
 * Messages of an event stream, and an empty one for whatever else has come: that is
 * a sign of life, as a comment is, after which no block ends.
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
