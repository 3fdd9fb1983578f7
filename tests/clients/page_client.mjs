// The page client outside of a page: its messages, line by line, until it is asked to stop.
//
//     node tests/clients/page_client.mjs URL CHANNEL [KEEPALIVE]

import { subscribe } from "../../clients/js/pgfan.js";

const [url, channel, keepalive = 15] = process.argv.slice(2);
const say = (...words) => console.log(...words);

try {
  subscribe(channel);
} catch (error) {
  say("without a url:", error.name, error.message);
}

const subscription = subscribe(channel, {
  url,
  keepalive: Number(keepalive),
  onGap: ({ reason }) => say("gap", reason),
  onStatus: ({ state, via = "nothing" }) => say(state, "via", via),
  onEvent: ({ payload }) => {
    say("event", payload);
    // After this nothing keeps the process alive.
    if (payload === "stop") subscription.close();
  },
});
