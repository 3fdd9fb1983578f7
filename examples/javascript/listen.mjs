// Follows channels over SSE with fetch(), in Node, Deno, Bun and browsers.
//
//     node examples/javascript/listen.mjs http://127.0.0.1:8000 orders
//
// A page could use EventSource, which hides two things: the keepalives, so that a dead network looks like a quiet
// channel, and the reason of a refusal.

const SILENCE = 30_000 // twice the gateway's --keepalive

/** All messages, endlessly; `{type: 'disconnected'}` whenever the stream is lost. */
async function* follow(url, channels, token) {
  let cursor = null
  for (let attempts = 0; ; attempts += 1) {
    const silence = new AbortController()
    let timer = setTimeout(() => silence.abort(new Error('silent for too long')), SILENCE)
    try {
      const query = new URLSearchParams(channels.map(channel => ['channel', channel]))
      if (cursor) query.set('cursor', cursor)
      const headers = token ? { authorization: `Bearer ${token}` } : {}
      const answer = await fetch(`${url}/v1/sse?${query}`, { headers, signal: silence.signal })
      if ([400, 401, 403, 404, 421].includes(answer.status)) throw new Refused(await answer.text())
      if (!answer.ok) throw new Error(`status ${answer.status}`)
      for await (const { id, data } of messagesOf(answer.body)) {
        timer.refresh ? timer.refresh() : (clearTimeout(timer), (timer = setTimeout(() => silence.abort(), SILENCE)))
        attempts = 0
        const message = data && JSON.parse(data)
        cursor = id ?? cursor
        if (message) yield message
      }
    } catch (error) {
      if (error instanceof Refused) throw error
      console.error(String(error.cause ?? error))
    } finally {
      clearTimeout(timer)
    }
    yield { type: 'disconnected' }
    // Without a cursor the stream cannot resume.
    if (!cursor) yield { type: 'gap', reason: 'no_cursor' }
    const pause = (0.5 + Math.random() / 2) * Math.min(10_000, 100 * 2 ** attempts)
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

/** The gateway would refuse the next attempt too. */
class Refused extends Error {}

/**
 * Messages, and an empty one for each received chunk: a comment is a keepalive, and no empty line follows it. The
 * gateway's lines end with LF.
 */
async function* messagesOf(body) {
  let [text, message] = ['', {}]
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    yield {}
    const lines = (text + part).split('\n')
    text = lines.pop()
    for (const line of lines) {
      const [, field, value] = /^(id|data): ?(.*)/.exec(line) ?? []
      if (field) message[field] = value
      if (line) continue
      yield message
      message = {}
    }
  }
}

process.stdout.on('error', error => {
  if (error.code !== 'EPIPE') throw error
  process.exit() // the reader of the pipe has ended
})

const [url, ...channels] = process.argv.slice(2)
if (!channels.length) {
  console.error('usage: node listen.mjs URL CHANNEL…')
  process.exit(2)
}
for await (const message of follow(url, channels, process.env.PGFAN_TOKEN)) {
  switch (message.type) {
    case 'event':
      console.log(message.channel, message.payload)
      break
    case 'ready':
    case 'live':
      console.log('-- live')
      break
    case 'interrupted':
    case 'disconnected':
      console.log('-- nothing is heard: bypass what you hold')
      break
    default: // a gap, or a type of a later gateway
      console.log('-- something may be missing:', message.reason ?? message.code ?? message.type)
  }
}
