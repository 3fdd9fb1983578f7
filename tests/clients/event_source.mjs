// npm's `eventsource`, which reconnects by itself: each message's payload, or its type.
//
//     node tests/clients/event_source.mjs URL

import { createRequire } from "node:module";

const npm = new URL("../../target/clients/npm/", import.meta.url);
const { EventSource } = createRequire(npm)("eventsource");

// Keeps the process alive during the client's pause before the next attempt.
const alive = setInterval(() => {}, 1000);

const source = new EventSource(process.argv[2]);
source.onopen = () => console.log("open");
source.onmessage = ({ data }) => {
  const { type, payload } = JSON.parse(data);
  console.log(payload ?? type);
  if (payload !== "stop") return;
  source.close();
  clearInterval(alive);
};
