// The three transports: each passes on its messages as objects of the API, and ends
// with one of the type `end`. Each returns a function that stops it.

import { endOf, responses, subscribeRequest } from "./protobuf.js";

/** Messages of a WebSocket; the token is sent in the first frame. */
function webSocket({ channels, cursor, token }, hear) {
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/ws`);
  const say = (message) => socket.send(JSON.stringify(message));
  const subscribe = () => say({ type: "subscribe", channels, ...(cursor && { cursor }) });
  socket.onopen = () => (token ? say({ type: "auth", token }) : subscribe());
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "authenticated") subscribe();
    else if (message.type === "error") hear({ type: "end", code: message.code, reason: message.message });
    else hear(message);
    if (message.type === "error") socket.close();
  };
  socket.onclose = ({ code, reason }) => {
    const [, word, text] = /^([a-z_]+): (.*)$/s.exec(reason) ?? [, "disconnected", `close code ${code}`];
    hear({ type: "end", code: word, reason: text });
  };
  return () => socket.close();
}

/** Messages of an event stream, read with `fetch`, which can send a token. */
function sse({ channels, cursor, token }, hear) {
  return reading(hear, async (signal) => {
    const query = new URLSearchParams(channels.map((name) => ["channel", name]));
    if (cursor) query.set("cursor", cursor);
    const response = await fetch(`/v1/sse?${query}`, { signal, headers: authorization(token), cache: "no-store" });
    if (!response.ok) return problem(response);
    let unread = "";
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      const lines = (unread + value).split("\n");
      unread = lines.pop();
      for (const line of lines) {
        const message = line.startsWith("data: ") && JSON.parse(line.slice(6));
        if (message?.type === "error") return { code: message.code, reason: message.message };
        if (message) hear(message);
      }
    }
  });
}

function grpcWeb({ channels, cursor, token }, hear) {
  return reading(hear, async (signal) => {
    const headers = { ...authorization(token), "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
    const body = subscribeRequest(channels, cursor);
    const response = await fetch("/pgfan.v1.GatewayService/Subscribe", { method: "POST", signal, headers, body });
    if (response.headers.has("grpc-status")) return endOf(response.headers);
    if (!response.ok) return problem(response);
    for await (const message of responses(response.body)) {
      if (message.type === "end") return message;
      hear(message);
    }
    return undefined;
  });
}

export const WIRES = [
  { name: "WebSocket", key: "websocket", start: webSocket },
  { name: "SSE", key: "sse", start: sse },
  { name: "gRPC-Web", key: "grpc", start: grpcWeb },
];

export function authorization(token) {
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** The gateway's code and text of an error response. */
export async function problem(response) {
  const { code = "disconnected", detail } = await response.json().catch(() => ({}));
  return { code, reason: detail ?? `the answer was ${response.status}` };
}

/** Reads until the end, and reports it, or until it is stopped. */
function reading(hear, read) {
  const abort = new AbortController();
  const nothing = { code: "disconnected", reason: "the stream has ended" };
  read(abort.signal)
    .catch((error) => ({ code: "disconnected", reason: String(error) }))
    .then((end = nothing) => hear({ ...end, type: "end" }));
  return () => abort.abort();
}
