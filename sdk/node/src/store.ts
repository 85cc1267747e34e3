import { once } from 'node:events'
import * as http from 'node:http'
import * as https from 'node:https'
import { Checksum } from './checksum.js'
import { NetworkError, ParqueueError } from './errors.js'
import { Again, retryAfter } from './retry.js'
import { joinSignals } from './signals.js'
import type { Bytes } from './source.js'

/** How long a connection may stand still. */
const stallTime = 60_000
/** How often what the store refuses is tried: a refusal may be a URL whose time is over. */
const fewTries = 4

/** The store refused with a status. */
class StoreStatus extends Error {
  constructor(readonly status: number, readonly text: string) {
    super(`the store answered ${status} ${text}`.trim())
  }
}

/**
 * Carries bytes to and from presigned URLs. Parts go by node:http and not by
 * fetch, which copies a body, holds it as a whole and doesn't say how much of it
 * has gone.
 */
export class Store {
  readonly #agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': new https.Agent({ keepAlive: true }) }

  /**
   * Sends the bytes of a part, once, and returns their sum; undefined if it is there already, where headers with a condition were given. moved
   * hears how many went. Errors that may pass are marked by Again.
   */
  async put({ url, headers }: { url: string, headers?: Record<string, string> | undefined }, bytes: Bytes, length: number, signal: AbortSignal, moved: (bytes: number) => void): Promise<Checksum | undefined> {
    const sum = new Checksum()
    const request = this.#request(url, { method: 'PUT', headers: { ...headers, 'content-length': length }, signal })
    request.setTimeout(stallTime, () => request.destroy(new Error('the connection stood still')))
    const answered = answerTo(request)
    let over = false // it is answered, or failed, perhaps before all bytes went
    const ended = answered.then(() => { over = true }, () => { over = true })
    try {
      for await (const chunk of bytes()) {
        sum.update(chunk)
        const room = request.write(chunk)
        moved(chunk.length)
        if (!room) await Promise.race([once(request, 'drain'), ended])
        if (over) break
      }
      if (!over) request.end()
      const { status, text, after } = await answered
      if (status === 412 && headers !== undefined) {
        request.destroy()
        moved(-sum.bytes)
        return undefined
      }
      if (status !== 200) throw refusal(status, text, after)
      if (sum.bytes !== length) throw new Again(carrying(new Error('the store answered before it had all bytes')))
      return sum
    } catch (error) {
      request.destroy()
      moved(-sum.bytes)
      signal.throwIfAborted()
      if (error instanceof Again || error instanceof ParqueueError) throw error
      throw new Again(carrying(error))
    }
  }

  #request(url: string, options: http.RequestOptions): http.ClientRequest {
    const { protocol } = parseUrl(url)
    const request = protocol === 'https:' ? https.request(url, { ...options, agent: this.#agents['https:'] }) : http.request(url, { ...options, agent: this.#agents['http:'] })
    request.on('error', () => undefined) // answerTo tells
    return request
  }

  /**
   * Gets bytes of an object, from one to before another, of size in all. What
   * comes is as many as were asked for, or an error; those that may pass are marked
   * by Again. A reader that stops reading stops the connection, and the body has to
   * be read or left before the signal is done with.
   */
  async * get(url: string, from: number, to: number, size: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    parseUrl(url)
    const joined = joinSignals([signal])
    const watch = (): NodeJS.Timeout => setTimeout(() => joined.abort(new Error('the connection stood still')), stallTime)
    let timer = watch()
    let got = 0
    try {
      const part = to - from < size
      const headers: Record<string, string> = { 'accept-encoding': 'identity' }
      if (part) headers.range = `bytes=${from}-${to - 1}`
      const response = await fetch(url, { headers, redirect: 'manual', signal: joined.signal })
      if (response.status !== (part ? 206 : 200)) {
        if (response.ok) {
          await response.body?.cancel()
          throw new Again(carrying(new Error('the store sent another range than was asked for')), { tries: fewTries })
        }
        throw refusal(response.status, (await response.text()).slice(0, 8 << 10), retryAfter(response.headers.get('retry-after') ?? undefined))
      }
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer) // while the reader has the chunk, the connection may stand still
        got += (chunk as Uint8Array).length
        if (got > to - from) throw new Again(carrying(new Error('the store sent more than was asked for')), { tries: fewTries })
        yield chunk as Uint8Array
        timer = watch()
      }
      if (got < to - from) throw new Error('the bytes stopped before their end')
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof Again || error instanceof ParqueueError) throw error
      throw new Again(carrying(error))
    } finally {
      clearTimeout(timer)
      joined.release()
    }
  }

  /** Closes the connections that are kept. */
  close(): void {
    this.#agents['http:'].destroy()
    this.#agents['https:'].destroy()
  }
}

function parseUrl(url: string): URL {
  try {
    return new URL(url)
  } catch {
    throw new NetworkError("The server's answer about where the bytes are can't be understood.", { hint: 'Check the URL of the server.' })
  }
}

/** The answer to a request, whenever it comes. */
async function answerTo(request: http.ClientRequest): Promise<{ status: number, text: string, after: number }> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.once('error', reject)
    request.once('close', () => reject(new Error('the connection was closed')))
  })
  let text = ''
  for await (const chunk of response) {
    if (text.length < 8 << 10) text += String(chunk)
  }
  return { status: response.statusCode ?? 0, text, after: retryAfter(response.headers['retry-after']) }
}

/** What the store's refusal means, marked by Again when it may pass. */
function refusal(status: number, body: string, after: number): Error {
  const text = /<Code>([A-Za-z]{1,64})<\/Code>/.exec(body)?.[1] ?? ''
  const cause = new StoreStatus(status, text)
  if (status === 507) return new ParqueueError('storage_full', 'There is no room left where files are stored.', { cause, hint: 'Free some space there, or ask the operator to, and call again.' })
  if (text === 'NoSuchUpload') return new ParqueueError('upload_closed', 'The upload was closed meanwhile.', { cause, hint: 'Upload the file again.' })
  if (status === 429 || status === 408 || text === 'RequestTimeout' || (status >= 500 && status !== 501)) return new Again(carrying(cause), { after })
  return new Again(carrying(cause), { tries: fewTries })
}

/** An error of the way to the store and back. What was thrown has no URL in its text: it would let its reader have the bytes. */
function carrying(cause: unknown): NetworkError {
  return new NetworkError("The bytes can't be carried to or from the place where files are stored.", { cause, hint: 'Check the network, then call again.' })
}
