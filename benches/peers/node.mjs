// The usual implementation: ws for the readers, pg for LISTEN, one connection.
// argv: the folder of node_modules, which is not beside this file.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.argv[2]}/`);
const { WebSocketServer } = require("ws");
const pg = require("pg");

const database = new pg.Client();
await database.connect();

/** Sockets of each channel, and the LISTEN that they wait for. */
const channels = new Map();

/** pg runs one query after the other. */
let last = Promise.resolve();

function listen(name) {
  last = last.then(() => database.query(`LISTEN ${database.escapeIdentifier(name)}`));
  return last;
}

function joined(name) {
  let channel = channels.get(name);
  if (!channel) {
    channel = { sockets: new Set(), listening: listen(name) };
    channels.set(name, channel);
  }
  return channel;
}

database.on("notification", ({ channel, payload }) => {
  for (const socket of channels.get(channel)?.sockets ?? []) socket.send(payload);
});

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const server = createServer();
server.on("upgrade", async (request, connection, head) => {
  const name = new URL(request.url, "http://bench").searchParams.get("channel");
  const channel = joined(name);
  await channel.listening;
  sockets.handleUpgrade(request, connection, head, (socket) => {
    channel.sockets.add(socket);
    socket.on("close", () => channel.sockets.delete(socket));
  });
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, () => {
  console.log(`port ${server.address().port}`);
});
