import { execFile, spawn } from 'node:child_process'
import * as http from 'node:http'
import { promisify } from 'node:util'
import { answerOf, type Answer, type Api, type Call } from './api.js'
import { DaemonError, ParqueueError, errorFromBody, isRecord } from './errors.js'
import { jsonLines } from './jsonlines.js'
import { percentOf, type ProgressEvent, type TransferKind } from './progress.js'
import { camel, camelRows, defined } from './records.js'
import { Again, retrying, sleep, type RetryPolicy } from './retry.js'
import { abortable } from './source.js'
import type { Transfer, TransferOptions, Transfers } from './transfers.js'

/** What this client speaks. */
const protocol = 1
const startTime = 30_000
const reconnectTime = 100
const answerLimit = 64 << 20

/** Who a request of the daemon is for: a profile, or a server and a key; undefined leaves it to the daemon. */
export type ServerChoice = { profile: string } | { url: string, api_key: string, allow_http?: boolean } | undefined

/** Where the daemon is. */
type Address = { socketPath: string } | { url: string, token: string }

/** A message to the daemon. */
interface Message {
  method?: string
  body?: Record<string, unknown> | undefined
  signal?: AbortSignal | undefined
}

/** Speaks to the daemon, which it starts when it isn't there. */
export class Daemon {
  readonly #agent = new http.Agent({ keepAlive: true })
  #address: Promise<Address> | undefined

  constructor(readonly binaryPath: string | undefined, public server: ServerChoice, readonly retry: RetryPolicy) {}

  /** Sends a message and answers its response, whose body is to be read. Starts the daemon, again when it has ended. Errors that may pass are marked by Again. */
  async send(path: string, { method = 'GET', body, signal }: Message): Promise<http.IncomingMessage> {
    this.#address ??= this.#start()
    const asked = this.#address
    let address: Address
    try {
      address = await abortable(asked, signal)
    } catch (error) {
      if (this.#address === asked && !signal?.aborted) this.#address = undefined
      throw error
    }
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers: http.OutgoingHttpHeaders = { 'parqueue-protocol': String(protocol) }
    if (text !== undefined) {
      headers['content-type'] = 'application/json'
      headers['content-length'] = Buffer.byteLength(text)
    }
    const options: http.RequestOptions = { method, path, headers, agent: this.#agent }
    if (signal) options.signal = signal
    if ('socketPath' in address) {
      options.socketPath = address.socketPath
    } else {
      const { hostname, port } = new URL(address.url)
      Object.assign(options, { hostname, port })
      headers.authorization = `Bearer ${address.token}`
    }
    try {
      return await new Promise<http.IncomingMessage>((resolve, reject) => {
        http.request(options, resolve).on('error', reject).end(text)
      })
    } catch (cause) {
      signal?.throwIfAborted()
      if (this.#address === asked) this.#address = undefined
      throw new Again(new DaemonError('daemon_failed', "The daemon doesn't answer.", { cause, hint: 'Look at `parqueue daemon logs`.' }))
    }
  }

  /** Sends a message until it is answered for good, and reads the answer. */
  async ask(path: string, message: Message): Promise<Record<string, unknown>> {
    return await retrying(this.retry, message.signal, async () => {
      const response = await this.send(path, message)
      const status = response.statusCode ?? 0
      const body = parse(await readText(response, message.signal))
      if (status >= 200 && status < 300 && isRecord(body)) return body
      throw refusal(status, body)
    })
  }

  async #start(): Promise<Address> {
    const binary = this.binaryPath ?? 'parqueue'
    let text: string
    try {
      text = (await promisify(execFile)(binary, ['daemon', 'start', '--json'], { timeout: startTime, windowsHide: true })).stdout
    } catch (cause) {
      throw startError(binary, cause)
    }
    const found = parse(text.trim().split('\n').at(-1) ?? '')
    if (isRecord(found)) {
      if (typeof found.protocol === 'number' && found.protocol !== protocol) {
        throw new DaemonError('protocol_mismatch', `The daemon speaks protocol ${found.protocol}, and this package ${protocol}.`, { hint: 'Bring both to the same version, then run `parqueue daemon stop`.' })
      }
      if (typeof found.socket === 'string') return { socketPath: found.socket }
      if (typeof found.url === 'string' && typeof found.token === 'string') return { url: found.url, token: found.token }
    }
    throw new DaemonError('daemon_failed', `${binary} doesn't say where the daemon is.`, { hint: 'It may be another version: bring both to the same.' })
  }

  /** Lets go of the connections. The daemon goes on. */
  close(): void {
    this.#agent.destroy()
  }
}

function startError(binary: string, cause: unknown): DaemonError {
  const { code, stderr } = cause as { code?: unknown, stderr?: unknown }
  if (code === 'ENOENT' || code === 'EACCES') {
    return new DaemonError('daemon_not_found', `There is no program ${binary} that can be run.`, { cause, hint: 'Put parqueue on the PATH, name it with binaryPath, or connect with mode: "direct", which needs no daemon.' })
  }
  const said = typeof stderr === 'string' ? parse(stderr.trim().split('\n').at(-1) ?? '') : undefined
  const own = isRecord(said) && typeof said.error === 'string' ? said.error : typeof stderr === 'string' ? /^error: (.*)$/m.exec(stderr)?.[1] : undefined
  return new DaemonError('daemon_failed', own ?? "The daemon can't be started.", { cause, hint: 'Look at `parqueue daemon logs`, or connect with mode: "direct", which needs no daemon.' })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

async function readText(response: http.IncomingMessage, signal: AbortSignal | undefined): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response) {
      bytes += (chunk as Buffer).length
      if (bytes > answerLimit) throw new DaemonError('daemon_failed', "The daemon's answer is too long.")
      chunks.push(chunk as Buffer)
    }
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof ParqueueError) throw cause
    throw new Again(new DaemonError('daemon_failed', "The daemon's answer broke off.", { cause }))
  }
  return Buffer.concat(chunks).toString()
}

function refusal(status: number, body: unknown): Error {
  const error = errorFromBody(body, status)
  if (error?.code === 'protocol_mismatch') return new DaemonError(error.code, error.message, { hint: error.hint })
  if (error) return status === 503 ? new Again(error) : error
  return new DaemonError('daemon_failed', `The daemon answered ${status}.`, { hint: 'Look at `parqueue daemon logs`.' })
}

/** The API by the daemon, which adds the key. */
export class DaemonApi implements Api {
  constructor(private readonly daemon: Daemon) {}

  async call(endpoint: string, call: Call = {}): Promise<Answer> {
    const headers = defined({ 'Idempotency-Key': call.idempotencyKey, 'If-Match': call.ifMatch })
    const body = defined({ server: this.daemon.server, request: call.request ?? {}, headers: Object.keys(headers).length > 0 ? headers : undefined })
    return await retrying(this.daemon.retry, call.signal, async () => {
      const response = await this.daemon.send(`/v1/api/${endpoint}`, { method: 'POST', body, signal: call.signal })
      const text = await readText(response, call.signal)
      const one = (name: string): string | undefined => {
        const value = response.headers[name]
        return typeof value === 'string' ? value : undefined
      }
      return answerOf('the daemon', text, { status: response.statusCode ?? 0, etag: one('etag'), requestId: one('x-request-id'), retryAfter: one('retry-after') })
    })
  }
}

/** Transfers of the daemon. */
export class DaemonTransfers {
  constructor(private readonly daemon: Daemon, private readonly transfers: Transfers) {}

  /** Has the daemon make a transfer, and waits for its end. It goes on when this process ends, and is cancelled by the signal. */
  async run<T>(request: { kind: TransferKind } & Record<string, unknown>, options: TransferOptions): Promise<T> {
    const { signal } = options
    const begun = await this.daemon.ask('/v1/transfers', { method: 'POST', body: defined({ ...request, server: this.daemon.server }), signal })
    const transferId = String(begun.transfer_id)
    const { kind } = request
    try {
      const end = await this.#follow(transferId, kind, options)
      const failure = end.error === undefined || end.error === null ? undefined : endError(end.error)
      if (failure) throw failure
      if (end.state === 'cancelled') throw new ParqueueError('cancelled', 'The transfer was cancelled.')
      if (end.state === 'failed') throw new DaemonError('daemon_failed', 'The transfer failed.')
      const result = camel<T>({ transfer_id: transferId, ...(isRecord(end.result) ? end.result : {}) })
      this.transfers.emit('completed', { transferId, kind, result })
      return result
    } catch (error) {
      if (signal?.aborted) await this.change(transferId, 'cancel').catch(() => undefined) // it may be over
      this.transfers.emit('failed', { transferId, kind, error })
      throw error
    }
  }

  /** Reads a transfer's events until its end, from a daemon that may be killed and started again. */
  async #follow(transferId: string, kind: TransferKind, options: TransferOptions): Promise<Record<string, unknown>> {
    const { signal } = options
    const path = `/v1/transfers/${encodeURIComponent(transferId)}/events`
    let resumed = false
    for (;;) {
      let heard = false
      const end = await retrying(this.daemon.retry, signal, async () => {
        const response = await this.daemon.send(path, { signal })
        if (response.statusCode !== 200) throw refusal(response.statusCode ?? 0, parse(await readText(response, signal)))
        try {
          for await (const line of jsonLines(response)) {
            heard = true
            if (!isRecord(line)) continue
            if (line.type === 'end') return line
            if (line.type === 'state' && line.state === 'waiting' && isRecord(line.error) && line.error.code === 'unauthorized') {
              // The key was in the memory of a daemon that has ended; one that is given again and refused is another matter.
              if (resumed || this.daemon.server === undefined) throw endError(line.error)
              resumed = true
              await this.change(transferId, 'resume', signal)
            }
            this.#tell(progressOf(transferId, kind, line), options)
          }
        } catch (cause) {
          signal?.throwIfAborted()
          if (cause instanceof ParqueueError || cause instanceof Again) throw cause
          if (!heard) throw new Again(new DaemonError('daemon_failed', 'What the daemon tells broke off.', { cause }))
        } finally {
          response.destroy()
        }
        if (!heard) throw new Again(new DaemonError('daemon_failed', 'What the daemon tells broke off.'))
        return undefined
      })
      if (end) {
        this.#tell(progressOf(transferId, kind, end), options)
        return end
      }
      await sleep(reconnectTime, signal) // it was cut off in the middle
    }
  }

  #tell(event: ProgressEvent | undefined, options: TransferOptions): void {
    if (!event) return
    options.onProgress?.(event)
    this.transfers.emit('progress', event)
  }

  async list(signal?: AbortSignal): Promise<Transfer[]> {
    const body = await this.daemon.ask('/v1/transfers', { signal })
    return camelRows<Transfer>(body.transfers)
  }

  async change(transferId: string, change: 'pause' | 'resume' | 'cancel', signal?: AbortSignal): Promise<Transfer> {
    const body = change === 'resume' ? defined({ server: this.daemon.server }) : {}
    return camel<Transfer>(await this.daemon.ask(`/v1/transfers/${encodeURIComponent(transferId)}/${change}`, { method: 'POST', body, signal }))
  }
}

function endError(body: unknown): ParqueueError {
  const known = errorFromBody(body, 0)
  if (!known) return new DaemonError('daemon_failed', 'The transfer failed.', { details: isRecord(body) ? body : {} })
  return new ParqueueError(known.code, known.message, { hint: known.hint, details: known.details })
}

/** A line of the daemon, as an event; undefined for one without numbers. */
export function progressOf(transferId: string, kind: TransferKind, line: Record<string, unknown>): ProgressEvent | undefined {
  if (typeof line.bytes !== 'number') return undefined
  const n = (name: string): number => (typeof line[name] === 'number' ? line[name] as number : 0)
  const active = Array.isArray(line.active) ? line.active[0] as unknown : undefined
  const file = isRecord(line.file) ? line.file : isRecord(active) ? active : {}
  return {
    transferId, kind,
    fileName: typeof file.file_name === 'string' ? file.file_name : undefined,
    files: n('files'), filesDone: n('files_done'), bytes: n('bytes'), bytesDone: n('bytes_done'), bytesMoved: n('bytes_moved'),
    bytesPerSecond: n('bytes_per_second'), secondsLeft: typeof line.seconds_left === 'number' ? line.seconds_left : -1,
    percent: percentOf(n('bytes_done'), n('bytes')),
  }
}

/**
 * Runs the binary with the key on its standard input: never as an argument,
 * which other processes can see.
 * Errors: DaemonError when there is no binary; ParqueueError with the code that it told.
 */
export async function runBinary(binaryPath: string | undefined, args: string[], input: string, signal: AbortSignal | undefined): Promise<void> {
  const binary = binaryPath ?? 'parqueue'
  const child = spawn(binary, args, { stdio: ['pipe', 'ignore', 'pipe'], windowsHide: true, ...(signal ? { signal } : {}) })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { if (stderr.length < 64 << 10) stderr += text })
  child.stdin.on('error', () => undefined) // it may not want it
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (cause) => reject(signal?.aborted ? signal.reason as Error : startError(binary, cause)))
    child.once('close', resolve)
  })
  if (code === 0) return
  const message = /^error: (.*)$/m.exec(stderr)?.[1] ?? `${binary} ended with ${code}.`
  throw new ParqueueError(code === 4 ? 'unauthorized' : code === 3 ? 'unavailable' : 'invalid_request', message, { hint: /^hint: (.*)$/m.exec(stderr)?.[1] })
}
