// Shows the contents of the cache.

import { Cache } from "./cache.js";

const asked = new URLSearchParams(location.search);
const [status, key, reads] = ["status", "key", "reads"].map((id) => document.getElementById(id));

async function load(key) {
  const answer = await fetch((asked.get("api") ?? "/api/") + encodeURIComponent(key), { cache: "no-store" });
  if (!answer.ok) throw new Error(`${key}: ${answer.status}`);
  return answer.text();
}

const cache = new Cache(asked.get("channel") ?? "orders", load, {
  url: asked.get("gateway") ?? undefined,
  keepalive: Number(asked.get("keepalive") ?? 15),
  onStatus: ({ state, reason = "" }) => (status.value = `${state} ${reason}`.trim()),
});

document.forms[0].addEventListener("submit", async (event) => {
  event.preventDefault();
  const line = reads.appendChild(document.createElement("li"));
  try {
    const { value, from } = await cache.read(key.value);
    line.textContent = `${key.value} is ${value} (${from})`;
  } catch (error) {
    line.textContent = String(error);
  }
});
