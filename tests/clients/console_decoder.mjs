// The console's decoder of gRPC-Web, byte by byte; tests/clients/javascript.rs
// runs it.

import assert from "node:assert/strict";

import { responses, subscribeRequest } from "../../console/protobuf.js";

/** A message in gRPC-Web's frame. */
const frame = (...bytes) => [0, 0, 0, 0, bytes.length, ...bytes];

async function heard(...frames) {
  const messages = [];
  for await (const message of responses(new Blob([Uint8Array.from(frames.flat())]).stream())) messages.push(message);
  return messages;
}

// Sets field 3 of SubscribeRequest: `heartbeat = true`.
assert.deepEqual([...subscribeRequest(["a"], "c")], frame(0x0a, 1, 0x61, 0x12, 1, 0x63, 0x18, 1));
assert.deepEqual([...subscribeRequest([], "")], frame(0x18, 1));

// Case 6 of SubscribeResponse is a heartbeat: with a cursor, and before `ready` without.
const alive = await heard(frame(0x32, 4, 0x0a, 2, 0x78, 0x79), frame(0x32, 0), frame(0x2a, 3, 0x0a, 1, 0x7a));
assert.deepEqual(alive, [
  { type: "heartbeat", cursor: "xy" },
  { type: "heartbeat", cursor: "" },
  { type: "live", cursor: "z" },
]);

// An unknown message may stand for a loss.
assert.deepEqual(await heard(frame(0x3a, 0)), [{ type: "gap", reason: "not_understood" }]);

console.log("decoded");
