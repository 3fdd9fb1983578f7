// Bun's own publish and subscribe: uWebSockets, without a database.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request, server) {
    const channel = new URL(request.url).searchParams.get("channel");
    if (request.method === "POST") {
      server.publish(channel, await request.text());
      return new Response("published");
    }
    if (server.upgrade(request, { data: { channel } })) return undefined;
    return new Response("a WebSocket is wanted", { status: 400 });
  },
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: 64 << 20,
    open: (socket) => socket.subscribe(socket.data.channel),
    message: () => {},
  },
});
console.log(`port ${server.port}`);
