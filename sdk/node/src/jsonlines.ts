import { ParqueueError } from './errors.js'

/** The longest line that is taken, in UTF-16 units: a stream without line ends must not fill the memory. */
const lineLimit = 1 << 20

/**
 * Reads JSON lines from bytes that are cut anywhere, in the middle of a character
 * too. Empty lines count for nothing, and so does a last line that has no end: the
 * sender was cut off.
 *
 * Errors: `invalid_json` for a line that is none, or too long.
 */
export async function * jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void, undefined> {
  const decoder = new TextDecoder('utf-8')
  let rest = ''
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true })
    const last = text.lastIndexOf('\n')
    if (last < 0) {
      rest += text
    } else {
      const lines = (rest + text.slice(0, last)).split('\n')
      rest = text.slice(last + 1)
      for (const line of lines) {
        if (line.trim() !== '') yield parse(line)
      }
    }
    if (rest.length > lineLimit) throw new ParqueueError('invalid_json', 'A line is longer than any that the daemon writes.')
  }
}

function parse(line: string): unknown {
  if (line.length > lineLimit) throw new ParqueueError('invalid_json', 'A line is longer than any that the daemon writes.')
  try {
    return JSON.parse(line) as unknown
  } catch (cause) {
    throw new ParqueueError('invalid_json', 'A line is not JSON.', { cause })
  }
}
