// The types of pgfan.js.

/** One notification. */
export interface PgfanEvent {
  /** Opaque: a cursor to resume from. */
  id: string;
  channel: string;
  /** The exact text of the notification; may be empty. */
  payload: string;
  /** Time of receipt at the gateway: RFC 3339, UTC, microseconds. */
  received_at: string;
}

/**
 * Events may be missing here: cached values of these channels have to be
 * discarded.
 */
export interface Gap {
  /**
   * The gateway's reasons, and three of this module: `not_resumed`, a
   * channel cannot resume from the position where it, or an earlier subscription
   * to it, stopped; `handler_failed`, `onEvent` threw
   * or its promise was rejected; `not_understood`, the gateway sent a message
   * that this module does not know.
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
  /** Only for gaps from the gateway. */
  id?: string;
  /** The exception of the handler. */
  error?: unknown;
}

export interface Status {
  /**
   * - `connecting`: not all channels are ready yet
   * - `live`: all channels are ready, and the gateway's database connection works
   * - `interrupted`: the gateway's database connection is lost or silent
   * - `checking`: the connection was silent for too long; the gateway was probed
   * - `waiting`: the connection is lost; the next attempt is in `retryIn`
   * - `paused`: the page is in the back/forward cache
   * - `refused`: permanently, or until another token; `code` has the reason
   * - `closed`: by `close`, after which no handler is called; or with the code
   *   `handler_failed` after `onGap` or `onStatus` has thrown
   */
  state: "connecting" | "live" | "interrupted" | "checking" | "waiting" | "paused" | "refused" | "closed";
  /** True if a cache may be used and filled; otherwise it has to be bypassed. */
  live: boolean;
  via?: "websocket" | "sse";
  /**
   * The reason why it is not live: a code of the gateway, `disconnected`, `timeout`,
   * `silent`, `token_failed` or `handler_failed`.
   */
  code?: string;
  /** The same as readable text. */
  reason?: string;
  /** Milliseconds. */
  retryIn?: number;
}

export interface Handlers {
  /** An exception, or the rejection of a promise that it returns, is reported as a gap. */
  onEvent?: ((event: PgfanEvent) => unknown) | undefined;
  /** An exception closes the subscription. */
  onGap?: ((gap: Gap) => unknown) | undefined;
  /** On every change, also of `code` and `retryIn`. */
  onStatus?: ((status: Status) => unknown) | undefined;
  /**
   * The cache that the handlers invalidate, if it outlives the subscription: any object,
   * such as a `Map`. A later subscription of the same cache resumes where the last one
   * stopped, or gets a gap. Without it a later one resumes where the first one
   * to this channel stopped.
   */
  cache?: object | undefined;
}

/**
 * A token, or a function that supplies one. It is called before each connection and, on
 * WebSocket, before the token expires; `refused` shows that the last one was
 * refused, so that a cached token is useless.
 */
export type Token = string | ((asked: { refused: boolean }) => string | undefined | Promise<string | undefined>);

export interface ClientOptions {
  /**
   * The gateway's address. By default the folder of this module, which does not work in
   * a bundle or in Node.
   */
  url?: string | URL | undefined;
  token?: Token | undefined;
  /** Seconds, equal to the gateway's `--keepalive`: 15. On a shared connection the first value counts. */
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
  /** Continues with another token; retries if the last one was refused. */
  setToken(token: Token | undefined): void;
}

/** Subscribes over one connection shared by all calls with the same `url` and `token` (also the same function). */
export function subscribe(channels: string | readonly string[], options?: ClientOptions & Handlers): Subscription;

/** A client with a separate connection, which is open while it has subscriptions. */
export function connect(options?: ClientOptions): Client;
