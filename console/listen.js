// Listens to the same channels over three transports, side by side.

import { WIRES } from "./wires.js";

/** Maximum number of rows for each transport; the oldest are removed. */
const MAX_ROWS = 300;

/** Interval, in ms, at which received messages are rendered: a burst is one change of the page. */
const WRITE = 50;

class Wire {
  #stop;
  #waiting = [];
  #count = 0;
  #isReady = false;
  /** Whether to scroll to new rows; false after the user has scrolled up. */
  #follows = true;
  cursor = "";

  constructor({ name, key, start }, template, pickCursor) {
    this.start = start;
    this.name = name;
    this.pickCursor = pickCursor;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.wire = key;
    const find = (selector) => this.element.querySelector(selector);
    [this.pill, this.rows, this.toggle, this.counter] = [".pill", ".messages", ".toggle", ".count"].map(find);
    find("h3").textContent = name;
    this.rows.setAttribute("aria-label", `Messages over ${name}`);
    const { rows } = this;
    const isAtEnd = () => rows.scrollHeight - rows.scrollTop - rows.clientHeight < 24;
    rows.addEventListener("scroll", () => (this.#follows = isAtEnd()));
    new ResizeObserver(() => this.#follows && (rows.scrollTop = rows.scrollHeight)).observe(rows);
    this.rows.addEventListener("keydown", (event) => this.#walk(event));
    this.toggle.addEventListener("click", () => (this.#stop ? this.stop() : this.resume()));
  }

  listen(asked) {
    this.stop();
    this.rows.replaceChildren();
    this.#waiting = [];
    this.#count = 0;
    this.cursor = "";
    this.#open(asked);
  }

  /** Resumes from the last id or cursor. */
  resume() {
    this.#open({ ...this.asked, cursor: this.cursor || this.asked.cursor });
  }

  stop() {
    const stop = this.#stop;
    this.#stop = undefined;
    if (!stop) return;
    stop();
    this.#show("off", "off");
  }

  #open(asked) {
    this.asked = asked;
    this.#isReady = false;
    this.#show("connecting", "connecting");
    // Messages of a stopped stream are ignored.
    const life = {};
    this.life = life;
    this.#stop = this.start(asked, (message) => this.#stop && life === this.life && this.#hear(message));
    this.toggle.hidden = false;
    this.#offer("Stop");
  }

  #hear(message) {
    this.cursor = message.cursor || message.id || this.cursor;
    // A keepalive: it has no row, and does not displace another.
    if (message.type === "heartbeat") return;
    this.#isReady ||= message.type === "ready";
    if (message.type === "ready" || message.type === "live") this.#show("live", "live");
    else if (message.type === "interrupted") this.#show("interrupted", "interrupted");
    // The events that a cursor asked for come before `ready`.
    else if (!this.#isReady && ["event", "gap"].includes(message.type)) this.#show("connecting", "catching up");
    else if (message.type === "end") {
      this.#stop = undefined;
      this.#show("ended", message.code.replaceAll("_", " "));
    }
    if (message.type === "event") this.#count += 1;
    if (this.#waiting.push([message, new Date()]) === 1) setTimeout(() => this.#write(), WRITE);
    if (this.#waiting.length > MAX_ROWS) this.#waiting.splice(1, 1);
  }

  #write() {
    const rows = this.#waiting.map(([message, at]) => this.#row(message, at));
    this.#waiting = [];
    this.rows.append(...rows);
    while (this.rows.childElementCount > MAX_ROWS) this.rows.firstElementChild.remove();
    if (this.#follows) this.rows.scrollTop = this.rows.scrollHeight;
    this.counter.textContent = this.#count ? `${this.#count} ${this.#count === 1 ? "event" : "events"}` : "";
  }

  /** Inserts everything as text, since a payload is untrusted. */
  #row(message, at) {
    const { type, channel, channels, payload, reason, code, since } = message;
    const id = message.id || message.cursor;
    const row = document.createElement("li");
    row.dataset.type = type;
    const head = row.appendChild(document.createElement("div"));
    head.className = "head";
    const put = (name, text, tag = "span", to = head) => {
      const one = to.appendChild(document.createElement(tag));
      one.className = name;
      one.textContent = text;
      return one;
    };
    put("time", at.toTimeString().slice(0, 8));
    put("type", type);
    if (channel) put("channel", channel);
    if (id) {
      const button = put("id", id, "button");
      button.type = "button";
      button.tabIndex = -1;
      button.title = "Resume from here";
      button.addEventListener("click", () => this.pickCursor(id));
    }
    const detail = {
      ready: channels?.join(", "),
      gap: reason,
      interrupted: `since ${since}`,
      end: `${code}: ${reason}`,
    };
    const text = type === "event" ? payload : detail[type];
    if (text) put("text", text, "div", row);
    else if (type === "event") put("text none", "an empty payload", "div", row);
    return row;
  }

  #show(state, text) {
    this.pill.dataset.state = state;
    this.pill.textContent = text;
    if (!this.#stop) this.#offer("Resume");
  }

  /** Labels the button, with the transport for screen readers: three of them look the same. */
  #offer(text) {
    this.toggle.textContent = text;
    this.toggle.setAttribute("aria-label", `${text} ${this.name}`);
  }

  /** Arrow keys move from id to id: as tab stops there would be hundreds. */
  #walk(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    const ids = [...this.rows.querySelectorAll(".id")];
    const at = ids.indexOf(document.activeElement);
    const next = at < 0 ? ids.at(-1) : ids[at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}

/** Builds the columns; the form has the channels to listen to. */
export function listening({ token }) {
  const find = (id) => document.getElementById(id);
  const [form, names, cursor] = ["listen", "names", "cursor"].map(find);
  const pickCursor = (id) => (cursor.value = id);
  const wires = WIRES.map((wire) => new Wire(wire, find("wire"), pickCursor));
  find("wires").append(...wires.map((wire) => wire.element));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const asked = { channels: channelsOf(names.value), cursor: cursor.value.trim(), token: token() };
    if (asked.channels.length) for (const wire of wires) wire.listen(asked);
  });
  const fill = (all) => (names.value = [...new Set(all)].map(quoted).join(" "));
  find("stop").addEventListener("click", () => wires.forEach((wire) => wire.stop()));
  return {
    /** Adds a selected channel to those in the form. */
    add: (name) => {
      fill([...channelsOf(names.value), name]);
      find("channel").value = name;
    },
    /** Listens to the channels of the page's link, if there are any. */
    begin: (channels) => {
      if (!channels.length) return;
      fill(channels);
      [find("channel").value] = channels;
      form.requestSubmit();
    },
  };
}

/** Parses names separated by spaces; a name with a space is in double quotes. */
export function channelsOf(text) {
  const found = text.matchAll(/"((?:[^"]|"")*)"|(\S+)/g);
  return [...new Set([...found].map(([, inQuotes, plain]) => inQuotes?.replaceAll('""', '"') ?? plain))];
}

function quoted(name) {
  return /[\s"]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}
