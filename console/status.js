// Status of the gateway: polls `GET /v1/status` every two seconds. Its numbers are
// counters; the difference from the previous response is the rate.

import { Chart, duration } from "./chart.js";
import { authorization, problem } from "./wires.js";

/** Polling interval, in ms. */
const EVERY = 2000;

/** Usage of PostgreSQL's notification queue above which the gateway is not ready. */
const QUEUE_LIMIT = 0.25;

const WIRES = { websocket: "WebSocket", sse: "SSE", grpc: "gRPC", pgcachewatch: "PGCacheWatch" };

const find = (id) => document.getElementById(id);

/** Polls the status while the page is open; it shows what this client's token permits. */
export function watching({ token, pick }) {
  const chart = new Chart(find("latency"));
  update(find("channels"), []);
  let before;
  let timer;
  const ask = async () => {
    clearTimeout(timer);
    timer = setTimeout(ask, EVERY);
    // A hidden page does not poll, to save the gateway work.
    if (document.hidden) return;
    try {
      const response = await fetch("/v1/status", { headers: authorization(token()), cache: "no-store" });
      if (!response.ok) return showRefusal(await problem(response));
      const now = await response.json();
      const since = before?.version === now.version && before.events <= now.events ? before : undefined;
      show(now, since, { chart, pick });
      before = now;
    } catch {
      showSource("unreachable", "unreachable");
      notice("The gateway does not answer; the figures are the last that it gave.");
    }
  };
  document.addEventListener("visibilitychange", ask);
  return {
    redraw: () => chart.draw(),
    ask: () => {
      before = undefined;
      ask();
    },
  };
}

function show(now, before, { chart, pick }) {
  const { state, since } = now.source;
  showSource(state, state === "live" ? "live" : `${state} since ${clock(since)}`);
  notice(warning(now));
  find("version").textContent = now.version;
  const seconds = before && (Date.parse(now.now) - Date.parse(before.now)) / 1000;
  const rate = (read) => (seconds > 0 ? Math.max(0, read(now) - read(before)) / seconds : undefined);
  find("events").value = figure(rate((status) => status.events));
  find("events-note").textContent = `${whole(now.events)} in all, ${whole(now.log.events)} in the log`;
  find("deliveries").value = figure(rate((status) => sum(status.deliveries)));
  find("deliveries-note").textContent = `${whole(sum(now.deliveries))} in all`;
  find("readers").value = whole(sum(now.readers));
  split("readers-by", named(now.readers, WIRES));
  find("gaps").value = whole(sum(now.gaps));
  split("gaps-by", named(now.gaps, {}));
  showLatency(now.latency, before?.latency, chart);
  showChannels(now, before, seconds, pick);
}

function showRefusal({ code, reason }) {
  showSource("refused", code.replaceAll("_", " "));
  notice(code === "unauthenticated" ? "This gateway asks for a token." : reason);
}

function showSource(state, text) {
  find("source").dataset.state = state;
  find("source").textContent = text;
}

function notice(text) {
  find("notice").textContent = find("notice").title = text;
}

function warning({ source, queue_usage: usage }) {
  const full = Math.round(100 * usage);
  if (source.state === "interrupted") return "Nothing arrives until the database is heard again.";
  if (usage > QUEUE_LIMIT) return `PostgreSQL's queue is ${full} % full: some listener does not read.`;
  return "";
}

function showLatency(now, before, chart) {
  // Without a previous response the counts are not of the last two seconds.
  const [p50, p99] = before ? [0.5, 0.99].map((part) => quantile(now, before, part)) : [];
  chart.add(p50, p99);
  find("p50").value = duration(p50);
  find("p99").value = duration(p99);
}

/** Quantile between two responses; values are assumed to be uniform within a bucket. */
export function quantile(now, before, part) {
  const counts = now.buckets.map(({ count }, index) => count - before.buckets[index].count);
  const total = now.count - before.count;
  if (!total) return undefined;
  const wanted = total * part;
  const index = counts.findIndex((count) => count >= wanted);
  // Above the last bound: a lower limit.
  if (index < 0) return now.buckets.at(-1).seconds;
  const [below, from] = index ? [counts[index - 1], now.buckets[index - 1].seconds] : [0, 0];
  const inside = (wanted - below) / (counts[index] - below);
  return from + (now.buckets[index].seconds - from) * inside;
}

function showChannels(now, before, seconds, pick) {
  const known = new Map(before?.channels.map((one) => [one.channel, one.events]));
  const rows = now.channels.map(({ channel, readers, events }) => {
    const rose = seconds > 0 && known.has(channel) && events >= known.get(channel);
    const rate = rose ? (events - known.get(channel)) / seconds : undefined;
    return { channel, cells: [whole(readers), figure(rate), whole(events)] };
  });
  const body = find("channels");
  update(body, rows, pick);
  const hidden = now.channel_count - now.channels.length - now.more_channels;
  const more = now.more_channels && `${whole(now.more_channels)} more`;
  const others = hidden > 0 && `${whole(hidden)} that this token may not read`;
  find("channels-note").textContent = [more, others].filter(Boolean).join(", ");
}

/** Updates rows and reuses existing ones, so that a button under the mouse stays the same. */
function update(body, rows, pick) {
  if (!rows.length) return void body.replaceChildren(emptyRow());
  const known = new Map([...body.rows].map((row) => [row.dataset.channel, row]));
  const next = rows.map(({ channel, cells }) => {
    const row = known.get(channel) ?? newRow(channel, pick);
    cells.forEach((text, index) => (row.cells[index + 1].textContent = text));
    return row;
  });
  const same = next.length === body.rows.length && next.every((row, index) => row === body.rows[index]);
  if (!same) body.replaceChildren(...next);
}

function newRow(channel, pick) {
  const row = document.createElement("tr");
  row.dataset.channel = channel;
  const button = row.insertCell().appendChild(document.createElement("button"));
  button.type = "button";
  button.textContent = channel;
  button.title = `Listen to ${channel}`;
  button.addEventListener("click", () => pick(channel));
  for (let count = 0; count < 3; count += 1) row.insertCell().className = "number";
  return row;
}

function emptyRow() {
  const row = document.createElement("tr");
  const cell = row.insertCell();
  cell.colSpan = 4;
  cell.className = "empty";
  cell.textContent = "Nobody reads a channel that you may read";
  return row;
}

function split(id, pairs) {
  const items = pairs.map(([name, number]) => {
    const item = document.createElement("li");
    item.textContent = name;
    item.appendChild(document.createElement("b")).textContent = whole(number);
    return item;
  });
  find(id).replaceChildren(...items);
}

/** Nonzero numbers with readable names, first those that are named here. */
function named(numbers, names) {
  const all = new Set([...Object.keys(names), ...Object.keys(numbers)]);
  const some = [...all].filter((name) => numbers[name] > 0);
  return some.map((name) => [names[name] ?? name.replaceAll("_", " "), numbers[name]]);
}

const sum = (numbers) => Object.values(numbers).reduce((all, one) => all + one, 0);

const whole = (number) => number.toLocaleString("en");

const figure = (rate) => {
  if (rate === undefined) return "–";
  return rate > 0 && rate < 10 ? String(Math.round(rate * 10) / 10) : whole(Math.round(rate));
};

const clock = (time) => new Date(time).toTimeString().slice(0, 8);
