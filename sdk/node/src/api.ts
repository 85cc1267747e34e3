import { randomUUID } from 'node:crypto'
import { ApiError, NetworkError, ParqueueError, errorFromBody, isRecord } from './errors.js'
import { Again, retryAfter, retrying, type RetryPolicy } from './retry.js'
import { joinSignals } from './signals.js'

/** Bytes of an answer; a page of a listing from a local server is the longest. */
const answerLimit = 64 << 20
/** Of one try, so that a lost answer is noticed. */
const callTime = 90_000
/** How often a call is made that meets a defect of the server, or an outage behind it. */
const internalTries = 5

/** One request of the API. */
export interface Call {
  /** JSON; left out for none. */
  request?: Record<string, unknown>
  idempotencyKey?: string
  ifMatch?: string
  signal?: AbortSignal | undefined
}

/** What the API answered with success. */
export interface Answer {
  body: Record<string, unknown>
  /** The ETag, where there is one. */
  etag?: string
}

/**
 * The API, directly or by the daemon. Every call is tried again when that is
 * safe: reads always, and writes because each of them either carries an
 * Idempotency-Key or is documented to have no second effect.
 *
 * Errors: ApiError, NetworkError, the signal's reason.
 */
export interface Api {
  call(endpoint: string, call?: Call): Promise<Answer>
}

/** Makes an Idempotency-Key. */
export const newKey = (): string => randomUUID()

/** Where a server is, and who speaks to it. */
export interface Credentials {
  url: string
  apiKey: string
  allowHttp?: boolean
}

/** Endpoints that take GET alone. */
const got = new Set(['try-authentication', 'get-quotas'])

/** The API over HTTP. */
export class HttpApi implements Api {
  readonly url: string
  readonly #key: string
  readonly #retry: RetryPolicy

  constructor(credentials: Credentials, retry: RetryPolicy) {
    this.url = checkUrl(credentials.url, credentials.allowHttp ?? false)
    this.#key = checkKey(credentials.apiKey)
    this.#retry = retry
  }

  async call(endpoint: string, call: Call = {}): Promise<Answer> {
    const get = got.has(endpoint)
    const headers: Record<string, string> = { 'authorization': `Key ${this.#key}`, 'user-agent': 'parqueue-node' }
    if (!get) headers['content-type'] = 'application/json'
    if (call.idempotencyKey !== undefined) headers['idempotency-key'] = call.idempotencyKey
    if (call.ifMatch !== undefined) headers['if-match'] = call.ifMatch
    const init: RequestInit = { method: get ? 'GET' : 'POST', headers, redirect: 'manual' } // a redirect would take the key elsewhere
    if (!get) init.body = JSON.stringify(call.request ?? {})
    return await retrying(this.#retry, call.signal, () => this.#try(endpoint, init, call.signal))
  }

  async #try(endpoint: string, init: RequestInit, signal: AbortSignal | undefined): Promise<Answer> {
    const joined = joinSignals([signal], { ms: callTime, reason: () => new Error(`no answer after ${callTime / 1000} seconds`) })
    try {
      let response: Response
      let text: string
      try {
        response = await fetch(`${this.url}/${endpoint}`, { ...init, signal: joined.signal })
        text = await readText(response)
      } catch (cause) {
        if (cause instanceof ParqueueError) throw cause
        throw new Again(unreachable(this.url, cause))
      }
      return answerOf(this.url, text, {
        status: response.status,
        etag: response.headers.get('etag') ?? undefined,
        requestId: response.headers.get('x-request-id') ?? undefined,
        retryAfter: response.headers.get('retry-after') ?? undefined,
      })
    } finally {
      joined.release()
    }
  }
}

/** The API over HTTP as whoever is signed in, which may be nobody. */
export class DirectApi implements Api {
  #who: HttpApi | ParqueueError

  constructor(who: HttpApi | ParqueueError) {
    this.#who = who
  }

  /** Signs in, or out with the error that calls fail with from now on. */
  become(who: HttpApi | ParqueueError): void {
    this.#who = who
  }

  get url(): string | undefined {
    return this.#who instanceof HttpApi ? this.#who.url : undefined
  }

  async call(endpoint: string, call?: Call): Promise<Answer> {
    if (this.#who instanceof HttpApi) return await this.#who.call(endpoint, call)
    throw this.#who
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length
    if (bytes > answerLimit) throw noAnswer(response.url, new Error('the answer is too long'))
    text += decoder.decode(chunk as Uint8Array, { stream: true })
  }
  return text + decoder.decode()
}

/** What an answer's header says. */
export interface Head {
  status: number
  etag: string | undefined
  requestId: string | undefined
  retryAfter: string | undefined
}

/** A good answer; anything else is thrown, marked by Again when the call may be made again. */
export function answerOf(url: string, text: string, head: Head): Answer {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    body = undefined
  }
  if (head.status === 200 && isRecord(body)) return head.etag === undefined ? { body } : { body, etag: head.etag }
  // What begins as an answer of Parqueue's lost its end to a proxy that passes on as whole what was broken off.
  if (head.status === 200 && body === undefined && /^\s*(\{|$)/.test(text)) throw new Again(noAnswer(url, new Error('the answer is not whole')), { tries: internalTries })
  const refusal = head.status === 200 ? undefined : errorFromBody(body, head.status, head.requestId)
  const error = refusal ?? statusError(url, head)
  if (refusal?.code === 'internal') throw new Again(error, { tries: internalTries })
  if (mayPass(head.status, refusal?.code)) throw new Again(error, { after: retryAfter(head.retryAfter) })
  throw error
}

/** A failure that the same call may not meet again. A conflict of writers is one; every other refusal with a code would be the same next time. */
function mayPass(status: number, code: string | undefined): boolean {
  return [429, 500, 502, 503, 504].includes(status) || code === 'conflict' || code === 'incomplete_body'
}

/** API Gateway and proxies have their own words. */
function statusError(url: string, { status, requestId }: Head): ParqueueError {
  const cause = new Error(`HTTP status ${status}`)
  switch (status) {
    case 401:
      return new ApiError('unauthorized', "The server doesn't take the API key.", status, { cause, requestId, hint: 'Sign in again, or set PARQUEUE_API_KEY to a key that is valid.' })
    case 403:
      return new ApiError('forbidden', "The server doesn't let the API key do that.", status, { cause, requestId, hint: 'Use a key with the right scope, and check the URL.' })
    case 429: case 500: case 502: case 503: case 504:
      return new NetworkError(`The server at ${url} is overloaded or down.`, { cause, hint: 'Try again in a minute.' })
  }
  return noAnswer(url, cause)
}

/** A request that got no whole answer. */
export function unreachable(url: string, cause: unknown): NetworkError {
  return new NetworkError(`The server at ${url} can't be reached.`, { cause, hint: 'Check the network, and the URL.' })
}

/** An answer that Parqueue would not give. */
function noAnswer(url: string, cause: unknown): NetworkError {
  return new NetworkError(`What answers at ${url} is not a Parqueue server that this client knows.`, {
    cause, hint: 'Check the URL: something else may be listening there, or an older server.',
  })
}

/**
 * A server's base URL in one form. Plain HTTP is for this machine, unless it is
 * allowed.
 * Errors: `invalid_request`.
 */
export function checkUrl(text: string, allowHttp: boolean): string {
  let url: URL | undefined
  try {
    url = new URL(text.trim())
  } catch {
    url = undefined
  }
  if (!url || url.host === '' || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '' || !['http:', 'https:'].includes(url.protocol)) {
    throw new ParqueueError('invalid_request', `${JSON.stringify(text)} is not the URL of a server.`, {
      hint: 'Give it as https://host/path; `sam list stack-outputs` shows a deployment\'s, and `parqueue serve` prints its own.',
    })
  }
  if (url.protocol === 'http:' && !allowHttp && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)) {
    throw new ParqueueError('invalid_request', `The key would be sent to ${url.host} in the clear.`, {
      hint: 'Use https. Where the network between is your own, set allowHttp.',
    })
  }
  return url.href.replace(/\/+$/, '')
}

function checkKey(text: string): string {
  if (/^[!-~]+$/.test(text)) return text
  throw new ParqueueError('unauthorized', text === '' ? 'There is no API key.' : 'The API key has characters that no key has.', {
    hint: 'Copy the key again: it begins with pq_live_ and is one word.',
  })
}
