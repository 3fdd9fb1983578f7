// The types of the page client, in TypeScript's strictest mode: the file has to
// compile.

import { connect, subscribe, type Gap, type PgfanEvent, type Status, type Subscription } from "pgfan";

declare const maybe: {
  url: string | undefined;
  token: string | undefined;
  keepalive: number | undefined;
  cache: Map<string, number> | undefined;
  onEvent: ((event: PgfanEvent) => Promise<void>) | undefined;
  onGap: ((gap: Gap) => void) | undefined;
  onStatus: ((status: Status) => void) | undefined;
};

// Optional values may be passed as they are.
const subscription: Subscription = subscribe(["orders"], { ...maybe });
connect({ url: maybe.url, token: maybe.token, keepalive: maybe.keepalive }).subscribe("orders", {
  cache: maybe.cache,
  onEvent: maybe.onEvent,
  onGap: maybe.onGap,
  onStatus: maybe.onStatus,
});
connect().setToken(async ({ refused }) => (refused ? undefined : maybe.token));

// A field of a status is either present or absent.
const { status } = subscription;
const code: string | undefined = status.code;
// @ts-expect-error: it is never there without a value
const none: Status = { state: "live", live: true, code: undefined };
// @ts-expect-error: a cache has an identity
subscribe("orders", { cache: "orders" });
// @ts-expect-error: a status is read-only
subscription.status = status;

export { code, none };
