// The types of pgfan.js.

/** One notification. */
export interface PgfanEvent {
  /** Opaque: where a reader could go on from. */
  id: string;
  channel: string;
  /** The exact text of the notification; may be empty. */
  payload: string;
  /** When the gateway had it: RFC 3339, UTC, microseconds. */
  received_at: string;
}

/**
 * Something may be missing here: what is known of these channels is to be
 * thrown away.
 */
export interface Gap {
  /**
   * The gateway's own reasons, and three of this module: `not_resumed`, a
   * channel came back and cannot go on from where it, or an earlier subscription
   * to it, has stopped; `handler_failed`, `onEvent` threw
   * or its promise was rejected; `not_understood`, the gateway said what this
   * module does not know.
   */
  reason:
    | "source_lost"
    | "unknown_cursor"
    | "cursor_too_old"
    | "slow_reader"
    | "unreadable"
    | "not_resumed"
    | "handler_failed"
    | "not_understood"
    | (string & {});
  /** Of the gateway's gaps. */
  id?: string;
  /** What a handler threw. */
  error?: unknown;
}

export interface Status {
  /**
   * - `connecting`: not all channels are ready yet
   * - `live`: they are, and the database is heard
   * - `interrupted`: the gateway does not hear the database
   * - `checking`: nothing was heard for too long; the gateway was asked
   * - `waiting`: the connection is lost; the next attempt is in `retryIn`
   * - `paused`: the page is put away, for the browser's "back"
   * - `refused`: for good, or until another token; `code` says why
   * - `closed`: by `close`, after which no handler is called; or with the code
   *   `handler_failed` after `onGap` or `onStatus` has thrown
   */
  state: "connecting" | "live" | "interrupted" | "checking" | "waiting" | "paused" | "refused" | "closed";
  /** A cache may answer and be filled; otherwise it has to be bypassed. */
  live: boolean;
  via?: "websocket" | "sse";
  /**
   * Why it is not live: a code of the gateway's, `disconnected`, `timeout`,
   * `silent`, `token_failed` or `handler_failed`.
   */
  code?: string;
  /** The same for people. */
  reason?: string;
  /** Milliseconds. */
  retryIn?: number;
}

export interface Handlers {
  /** Its throwing, or the rejection of a promise that it returns, is a gap. */
  onEvent?: ((event: PgfanEvent) => unknown) | undefined;
  /** Its throwing ends the subscription. */
  onGap?: ((gap: Gap) => unknown) | undefined;
  /** On every change, also of `code` and `retryIn`. */
  onStatus?: ((status: Status) => unknown) | undefined;
  /**
   * What the handlers keep right, if it outlives the subscription: any object, as
   * a `Map`. A later subscription of the same cache goes on where the last one has
   * stopped, or is told a gap. Without it a later one goes on where the first one
   * to this channel has stopped.
   */
  cache?: object | undefined;
}

/**
 * A token, or what gives one. It is asked before each connection and, on
 * WebSocket, before the token's end; `refused` says that the last one was
 * refused, so that one from a cache is of no use.
 */
export type Token = string | ((asked: { refused: boolean }) => string | undefined | Promise<string | undefined>);

export interface ClientOptions {
  /**
   * The gateway's address. Without it the folder that this module came from: not in
   * a bundle, and not in Node.
   */
  url?: string | URL | undefined;
  token?: Token | undefined;
  /** Seconds, as the gateway's own `--keepalive`: 15. Of a shared connection the first one counts. */
  keepalive?: number | undefined;
}

export interface Subscription {
  readonly channels: readonly string[];
  readonly status: Status;
  /** No handler is called after it. */
  close(): void;
}

export interface Client {
  subscribe(channels: string | readonly string[], handlers?: Handlers): Subscription;
  /** Goes on with another token, and comes back where the last one was refused. */
  setToken(token: Token | undefined): void;
}

/** Over one connection for all who name the same `url` and the same `token` (the same function, too). */
export function subscribe(channels: string | readonly string[], options?: ClientOptions & Handlers): Subscription;

/** A client with a connection of its own, which is open while it has subscriptions. */
export function connect(options?: ClientOptions): Client;
