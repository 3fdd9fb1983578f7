// A React application with the page client, and other libraries for event streams: the
// tests drive it through the values that it puts into `globalThis`.

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSourcePolyfill } from "event-source-polyfill";
import { createElement, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { subscribe } from "pgfan";

globalThis.libraries = { fetchEventSource, EventSourcePolyfill };

/** It outlives every component that shows something of it. */
const cache = new Map();
const seen = { mounts: 0, cache, gaps: [], staleWhenLive: [] };

function Orders({ url }) {
  const [state, setState] = useState("");
  useEffect(() => {
    seen.mounts += 1;
    const orders = subscribe("orders", {
      url,
      cache,
      onEvent: ({ payload }) => cache.delete(payload),
      onGap: ({ reason }) => {
        seen.gaps.push(reason);
        cache.clear();
      },
      onStatus: (status) => {
        if (status.live) seen.staleWhenLive.push(...cache.keys());
        setState(status.state);
      },
    });
    return () => orders.close();
  }, [url]);
  return createElement("output", null, state);
}

const root = createRoot(document.getElementById("root"));

globalThis.app = {
  seen,
  /** A route with orders on it, or without. */
  show: (url) => root.render(createElement(StrictMode, null, url && createElement(Orders, { url }))),
};
