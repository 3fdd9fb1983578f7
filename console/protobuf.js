// The few messages of pgfan.v1.GatewayService, in protobuf's wire format
// (https://protobuf.dev/programming-guides/encoding/), and gRPC-Web's frames
// around them (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Reasons of a gap, indexed by their number in the .proto file. */
const REASONS = ["unspecified", "source_lost", "unknown_cursor", "cursor_too_old", "slow_reader", "unreadable"];

/** gRPC statuses with which the gateway ends a stream, by number, as its own codes. */
const STATUSES = {
  3: "invalid_request", 7: "forbidden", 8: "too_many", 12: "not_found", 13: "internal", 14: "source_unavailable",
  16: "unauthenticated",
};

/** A SubscribeRequest in a frame. */
export function subscribeRequest(channels, cursor) {
  const fields = channels.map((name) => text(1, name));
  if (cursor) fields.push(text(2, cursor));
  // Requests `heartbeat`, since a page cannot see HTTP/2 pings.
  fields.push(Uint8Array.of((3 << 3) | 0, 1));
  const length = fields.reduce((sum, field) => sum + field.length, 0);
  const frame = new Uint8Array(5 + length);
  new DataView(frame.buffer).setUint32(1, length);
  let at = 5;
  for (const field of fields) {
    frame.set(field, at);
    at += field.length;
  }
  return frame;
}

function text(number, value) {
  const bytes = encoder.encode(value);
  return Uint8Array.from([...varint((number << 3) | 2), ...varint(bytes.length), ...bytes]);
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

/** The messages of a body as the objects of WebSocket and SSE, and last the end. */
export async function* responses(body) {
  const reader = body.getReader();
  let unread = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    unread = joined(unread, value);
    while (unread.length >= 5) {
      const length = new DataView(unread.buffer, unread.byteOffset).getUint32(1);
      if (unread.length < 5 + length) break;
      const payload = unread.subarray(5, 5 + length);
      // The highest bit marks trailers.
      yield unread[0] & 128 ? ended(payload) : message(payload);
      unread = unread.subarray(5 + length);
    }
  }
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Parses trailers: lines, as in HTTP/1.1. */
function ended(payload) {
  const lines = decoder.decode(payload).split("\r\n").map((line) => line.split(/: ?(.*)/s));
  const trailers = new Map(lines.map(([name, value]) => [name.toLowerCase(), value]));
  return endOf(trailers);
}

/** The end, from trailers, or from headers if the response has no body. */
export function endOf(named) {
  const status = Number(named.get("grpc-status"));
  const reason = decodeURIComponent(named.get("grpc-message") ?? "");
  return { type: "end", code: STATUSES[status] ?? `gRPC status ${status}`, reason };
}

/** A SubscribeResponse. */
function message(bytes) {
  const [[number, inner]] = fields(bytes);
  const found = [...fields(inner)];
  const all = (wanted) => found.filter(([at]) => at === wanted).map(([, value]) => value);
  const string = (wanted) => (all(wanted).length ? decoder.decode(all(wanted)[0]) : "");
  switch (number) {
    case 1: return { type: "ready", channels: all(1).map((name) => decoder.decode(name)), cursor: string(2) };
    case 2: {
      const [id, channel, payload] = [1, 2, 3].map(string);
      return { type: "event", id, channel, payload, received_at: time(all(4)[0]) };
    }
    case 3: return { type: "gap", id: string(1), reason: REASONS[all(2)[0]] ?? REASONS[0] };
    case 4: return { type: "interrupted", since: time(all(1)[0]) };
    case 5: return { type: "live", cursor: string(1) };
    // The keepalive of an idle stream.
    case 6: return { type: "heartbeat", cursor: string(1) };
    // A later gateway may send other types, which could mean a loss.
    default: return { type: "gap", reason: "not_understood" };
  }
}

/** Fields of a message: the number, and a number or bytes as the value. */
function* fields(bytes) {
  let at = 0;
  const number = () => {
    let [value, factor] = [0, 1];
    for (; bytes[at] & 128; factor *= 128) value += (bytes[at++] & 127) * factor;
    return value + bytes[at++] * factor;
  };
  while (at < bytes.length) {
    const tag = number();
    const value = number();
    if ((tag & 7) === 0) yield [tag >> 3, value];
    else if ((tag & 7) === 2) yield [tag >> 3, bytes.subarray(at, (at += value))];
    else throw new Error(`a field of the wire type ${tag & 7}`);
  }
}

/** A Timestamp, as RFC 3339 with microseconds. */
function time(bytes = new Uint8Array(0)) {
  const { 1: seconds = 0, 2: nanos = 0 } = Object.fromEntries(fields(bytes));
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
}
