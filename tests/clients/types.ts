// The types of the page client, as strict as TypeScript can be: it has to compile.

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

// What may be missing may be handed in as it is.
const subscription: Subscription = subscribe(["orders"], { ...maybe });
connect({ url: maybe.url, token: maybe.token, keepalive: maybe.keepalive }).subscribe("orders", {
  cache: maybe.cache,
  onEvent: maybe.onEvent,
  onGap: maybe.onGap,
  onStatus: maybe.onStatus,
});
connect().setToken(async ({ refused }) => (refused ? undefined : maybe.token));

// What it says has a field or has it not.
const { status } = subscription;
const code: string | undefined = status.code;
// @ts-expect-error: it is never there without a value
const none: Status = { state: "live", live: true, code: undefined };
// @ts-expect-error: a cache has an identity
subscribe("orders", { cache: "orders" });
// @ts-expect-error: whoever has a status cannot change it
subscription.status = status;

export { code, none };
