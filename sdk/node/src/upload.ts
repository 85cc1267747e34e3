import { newKey } from './api.js'
import { Checksum } from './checksum.js'
import { ChecksumError, ParqueueError } from './errors.js'
import { Gate, forEach, type Pause } from './gate.js'
import type { Meter } from './progress.js'
import { Again, retrying, type RetryPolicy } from './retry.js'
import { abortable, fileChanged, type Bytes, type Content } from './source.js'
import type { Store } from './store.js'
import type { Upload, Uploads } from './uploads.js'

const MiB = 1 << 20
/** What an interruption costs at most for each connection, and large against the time that the store takes to answer. */
const usualPart = 8 * MiB
const maxParts = 10_000
/** Part URLs asked for at a time, and how long they are taken for good by this machine's clock; the server gives 15 minutes. */
const partsAsked = 100
const urlsFor = 600_000
/** Parts of a stream that are held at a time. */
const heldParts = 4

/** What moves bytes, for all transfers of a client. */
export interface Engine {
  readonly uploads: Uploads
  readonly store: Store
  readonly retry: RetryPolicy
  readonly gate: Gate
  readonly connections: number
}

/** One transfer, as what it is made of sees it. */
export interface Run {
  readonly signal: AbortSignal
  readonly meter: Meter
  readonly pause: Pause
}

/** The size of a file's parts, in whole MiB. */
export function partSizeOf(size: number, wanted?: number): number {
  return wanted ?? Math.max(usualPart, Math.ceil(size / maxParts / MiB) * MiB)
}

/** What is to be uploaded, and where to. */
export interface Sending {
  content: Content
  /** Makes a new upload. */
  create: (idempotencyKey: string) => Promise<Upload>
  /** An upload that was begun before. */
  uploadId?: string | undefined
  /** Hears of the upload's id, with which it can be gone on with. */
  begun?: ((uploadId: string) => void) | undefined
  /** Completes the upload. */
  complete: (uploadId: string, checksum: string) => Promise<Upload>
}

/** Uploads one file, and answers what completing it did. */
export async function sendFile(engine: Engine, run: Run, sending: Sending): Promise<Upload> {
  const upload = await FileUpload.begin(engine, run, sending)
  let again = sending
  try {
    return await upload.run()
  } catch (error) {
    if (!sending.content.anyOrder || !(error instanceof ParqueueError)) throw error
    if (error.code === 'checksum_mismatch' && upload.single) { // what went as one is not replaced
      await engine.uploads.abort(upload.uploadId, { signal: run.signal }).catch(() => undefined) // or it ends by itself
      again = { ...sending, uploadId: undefined }
    } else if (error.code !== 'upload_closed' || sending.uploadId === undefined) throw error
  }
  // Otherwise an earlier call's last request may have completed it just now, while its answer was not waited for.
  upload.forget()
  return await (await FileUpload.begin(engine, run, again)).run()
}

class FileUpload {
  readonly #sums: (Checksum | undefined)[]
  readonly #arrived = new Set<number>()
  readonly #resumed = new Set<number>() // of those that arrived, what another run sent
  readonly #urls = new Map<number, { url: string, headers: Record<string, string> | undefined, until: number }>()
  readonly #there = new Set<number>() // that the server said have arrived when it was asked again
  #anew = false // what has arrived is not to be trusted
  #asking: Promise<void> = Promise.resolve()

  private constructor(private readonly engine: Engine, private readonly flow: Run, private readonly sending: Sending, private readonly row: Upload) {
    this.#sums = new Array<Checksum | undefined>(row.partCount)
    this.#keepUrls(row)
  }

  static async begin(engine: Engine, run: Run, sending: Sending): Promise<FileUpload> {
    if (sending.uploadId === undefined) {
      const row = await sending.create(newKey())
      sending.begun?.(row.uploadId)
      return new FileUpload(engine, run, sending, row)
    }
    const row = await engine.uploads.get(sending.uploadId, { limit: 1000, signal: run.signal })
    if (row.sizeBytes !== sending.content.size) {
      throw new ParqueueError('invalid_request', `${row.uploadId} is of ${row.sizeBytes} bytes, and the source has ${sending.content.size}.`, { hint: 'Give the same file, or begin a new upload.' })
    }
    if (row.state === 'aborted' || row.state === 'expired') {
      throw new ParqueueError('upload_closed', `${row.uploadId} is ${row.state}.`, { hint: 'Begin a new upload.', details: { state: row.state } })
    }
    const upload = new FileUpload(engine, run, sending, row)
    upload.#keepArrived(row)
    for (let from = row.nextPartsFrom; from !== undefined && from > 0;) {
      const next = await engine.uploads.get(row.uploadId, { partsFrom: from, limit: 1000, signal: run.signal })
      upload.#keepArrived(next)
      from = next.nextPartsFrom
    }
    sending.begun?.(row.uploadId)
    return upload
  }

  get uploadId(): string {
    return this.row.uploadId
  }

  /** Whether the file goes as one. */
  get single(): boolean {
    return this.row.partUrls?.some((part) => part.headers !== undefined) ?? false
  }

  /** Takes what was done off the progress again. */
  forget(): void {
    for (const sum of this.#sums) this.flow.meter.have(-(sum?.bytes ?? 0))
  }

  async run(): Promise<Upload> {
    await this.#sendParts()
    const { content, complete } = this.sending
    if (await content.changed()) throw fileChanged(content.name)
    const sum = this.#whole()
    if (this.row.state !== 'open' && this.row.checksumCrc64nvme !== sum) {
      throw new ChecksumError(`${this.row.uploadId} is complete, and of another file.`, { hint: 'Begin a new upload.' })
    }
    try {
      return await complete(this.row.uploadId, sum)
    } catch (error) {
      if (!this.#mayRepair(error)) throw error
    }
    // Some part that arrived before is not of this file.
    for (const part of this.#resumed) {
      this.#arrived.delete(part)
      this.flow.meter.have(-this.#bytesOf(part))
    }
    this.#resumed.clear()
    this.#anew = true
    await this.#sendParts()
    return await complete(this.row.uploadId, sum)
  }

  #mayRepair(error: unknown): boolean {
    return error instanceof ParqueueError && error.code === 'checksum_mismatch' && !this.single && this.#resumed.size > 0 && this.sending.content.anyOrder
  }

  #whole(): string {
    const whole = new Checksum()
    for (const sum of this.#sums) {
      if (sum) whole.append(sum)
    }
    return whole.toString()
  }

  /** Sends what has not arrived, and reads the rest for its sum. */
  async #sendParts(): Promise<void> {
    const { engine, flow, sending: { content } } = this
    const missing: number[] = []
    for (let part = 1; part <= this.row.partCount; part++) {
      if (!this.#arrived.has(part) || !this.#sums[part - 1]) missing.push(part)
    }
    const atOnce = content.anyOrder ? engine.connections : Math.min(heldParts, engine.connections)
    // A stream's part is read before its turn comes, in order; so many at once are held.
    const parts = async function * (): AsyncGenerator<{ part: number, bytes: Bytes }> {
      for (const part of missing) yield { part, bytes: await content.part(offset(part), length(part)) }
    }
    const offset = (part: number): number => (part - 1) * this.row.partSize
    const length = (part: number): number => this.#bytesOf(part)
    await forEach(parts(), atOnce, flow.signal, async ({ part, bytes }, signal) => {
      await flow.pause.passed(signal)
      await engine.gate.acquire(signal)
      try {
        await this.#part(part, bytes, signal)
      } finally {
        engine.gate.release()
      }
    })
  }

  async #part(part: number, bytes: Bytes, signal: AbortSignal): Promise<void> {
    const { meter } = this.flow
    const read = async (): Promise<Checksum> => {
      const sum = new Checksum()
      for await (const chunk of bytes()) {
        signal.throwIfAborted()
        sum.update(chunk)
      }
      meter.have(sum.bytes)
      return sum
    }
    if (this.#arrived.has(part) || this.row.state !== 'open') {
      this.#sums[part - 1] = await read()
      return
    }
    this.#sums[part - 1] = await retrying(this.engine.retry, signal, async () => {
      const to = await this.#url(part, signal)
      if (this.#there.has(part) && !this.#anew) return await read() // the answer to an earlier try was lost
      try {
        return await this.engine.store.put(to, bytes, this.#bytesOf(part), signal, (n) => meter.moved(n)) ?? await read()
      } catch (error) {
        if (error instanceof Again) this.#urls.delete(part) // its time may be over, or it took the part
        throw error
      }
    })
    this.#arrived.add(part)
    this.#urls.delete(part)
  }

  #bytesOf(part: number): number {
    return Math.min(this.row.partSize, this.row.sizeBytes - (part - 1) * this.row.partSize)
  }

  #keepArrived(row: Upload): void {
    this.#keepUrls(row)
    for (const { partNumber: part, sizeBytes: size } of row.parts ?? []) {
      if (part < 1 || part > this.row.partCount || size !== this.#bytesOf(part)) continue
      this.#arrived.add(part)
      this.#resumed.add(part)
      this.#urls.delete(part)
    }
  }

  #keepUrls(row: Upload): void {
    const until = Date.now() + urlsFor
    for (const { partNumber: part, url, headers } of row.partUrls ?? []) this.#urls.set(part, { url, headers, until })
  }

  /** The URL of a part. Of many parts that need new ones, one asks for a hundred. */
  async #url(part: number, signal: AbortSignal): Promise<{ url: string, headers: Record<string, string> | undefined }> {
    const known = (): { url: string, headers: Record<string, string> | undefined } | undefined => {
      const kept = this.#urls.get(part)
      return kept && kept.until > Date.now() ? kept : undefined
    }
    for (let to = known(); ; to = known()) {
      if (to !== undefined) return to
      const before = this.#asking
      await abortable(before.catch(() => undefined), signal)
      if (this.#asking === before && known() === undefined) {
        this.#asking = this.#ask(part, signal)
        this.#asking.catch(() => undefined)
        await this.#asking
      }
    }
  }

  async #ask(part: number, signal: AbortSignal): Promise<void> {
    const row = await this.engine.uploads.get(this.row.uploadId, { partsFrom: part, limit: partsAsked, signal })
    this.#keepUrls(row)
    for (const { partNumber, sizeBytes } of row.parts ?? []) {
      if (sizeBytes === this.#bytesOf(partNumber)) this.#there.add(partNumber)
    }
    if (row.state !== 'open' || !this.#urls.has(part)) {
      throw new ParqueueError('upload_closed', 'The upload was closed meanwhile.', { hint: 'Upload the file again.', details: { state: row.state } })
    }
  }
}
