import { createHash } from 'node:crypto'
import { link, mkdir, open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ReadableStream } from 'node:stream/web'
import type { Answer } from './api.js'
import { Checksum } from './checksum.js'
import { ChecksumError, ParqueueError } from './errors.js'
import { forEach } from './gate.js'
import { Again, retrying, type RetryPolicy } from './retry.js'
import type { Store } from './store.js'
import type { Engine, Run } from './upload.js'

const chunkSize = 8 << 20
/** How long a URL is taken for good; the server gives 5 minutes. */
const urlFor = 180_000

/** Bytes of a file: as with slice, the end is not among them, and a negative number counts from the end. */
export interface ByteRange {
  start?: number
  end?: number
}

/** Where a file's bytes are, and which they are. */
export interface Located {
  url: string
  /** When the URL stops to work. */
  expiresAt: string
  sizeBytes: number
  /** CRC-64/NVME, in base64; undefined when the server doesn't know it. */
  checksum: string | undefined
}

/** Asks the API where a file is. */
export type Locate = (signal?: AbortSignal) => Promise<Located>

/** Reads what an endpoint answers for "delivery": "url". */
export function locatedIn({ body }: Answer): Located {
  const { url, expires_at: expiresAt, size_bytes: sizeBytes, checksum_crc64nvme: checksum } = body
  return { url: String(url), expiresAt: String(expiresAt), sizeBytes: Number(sizeBytes), checksum: typeof checksum === 'string' ? checksum : undefined }
}

/** A file whose URL is asked for again when it has become old. */
export class RemoteFile {
  #known: { located: Located, until: number } | undefined
  #identity: Located | undefined
  #asking: Promise<Located> | undefined

  constructor(private readonly locate: Locate) {}

  async where(signal?: AbortSignal): Promise<Located> {
    if (this.#known && this.#known.until > Date.now()) return this.#known.located
    this.#asking ??= this.#ask(signal).finally(() => { this.#asking = undefined })
    return await this.#asking
  }

  async #ask(signal?: AbortSignal): Promise<Located> {
    const located = await this.locate(signal)
    this.#identity ??= located
    if (located.sizeBytes !== this.#identity.sizeBytes || located.checksum !== this.#identity.checksum) {
      throw new ParqueueError('file_changed', 'There is another file in its place now.', { hint: 'Download it again to get that one.' })
    }
    this.#known = { located, until: Date.now() + urlFor }
    return located
  }

  drop(url: string): void {
    if (this.#known?.located.url === url) this.#known = undefined
  }
}

/** The bytes of a file from one to before another, however often the connection breaks. */
export async function * bytesOf(from: { store: Store, retry: RetryPolicy }, file: RemoteFile, start: number, end: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  let at = start
  let iterator: AsyncGenerator<Uint8Array, void, undefined> | undefined
  try {
    while (at < end) {
      const chunk = await retrying(from.retry, signal, async () => {
        const located = await file.where(signal)
        iterator ??= from.store.get(located.url, at, end, located.sizeBytes, signal)
        try {
          const next = await iterator.next()
          if (!next.done) return next.value
          throw new Again(new Error('the bytes stopped before their end'))
        } catch (error) {
          iterator = undefined
          if (error instanceof Again) file.drop(located.url) // its time may be over, or the store elsewhere
          throw error
        }
      })
      at += chunk.length
      yield chunk
    }
  } finally {
    await iterator?.return(undefined)
  }
}

/** The bytes that a range means in a file of a size. */
export function resolveRange(range: ByteRange | undefined, size: number): { start: number, end: number } {
  const place = (value: number | undefined, otherwise: number): number => {
    if (value === undefined) return otherwise
    if (!Number.isSafeInteger(value)) throw new ParqueueError('invalid_request', 'A range is given in whole bytes.')
    return value < 0 ? Math.max(0, size + value) : Math.min(value, size)
  }
  const start = place(range?.start, 0)
  const end = place(range?.end, size)
  if (range !== undefined && start >= end) {
    throw new ParqueueError('range_not_satisfiable', 'The file has none of the bytes of the range.', { hint: `It has ${size} bytes.`, details: { size_bytes: size } })
  }
  return { start, end }
}

/** What a stream or the bytes of a file are read with. */
export interface ReadOptions {
  range?: ByteRange | undefined
  signal?: AbortSignal | undefined
}

/** A file as a stream, which reads as fast as its reader and goes on after a broken connection. The checksum of a whole file is verified before the stream ends. */
export function streamOf(from: { store: Store, retry: RetryPolicy }, file: RemoteFile, options: ReadOptions): ReadableStream<Uint8Array> {
  const chunks = verified(from, file, options)
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await chunks.next()
      if (next.done) controller.close()
      else controller.enqueue(next.value)
    },
    async cancel() {
      await chunks.return(undefined)
    },
  }, { highWaterMark: 0 })
}

/** A file's bytes at once. */
export async function wholeOf(from: { store: Store, retry: RetryPolicy }, file: RemoteFile, options: ReadOptions): Promise<Uint8Array> {
  const { sizeBytes } = await file.where(options.signal)
  const { start, end } = resolveRange(options.range, sizeBytes)
  const whole = new Uint8Array(end - start)
  let at = 0
  for await (const chunk of verified(from, file, options)) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

async function * verified(from: { store: Store, retry: RetryPolicy }, file: RemoteFile, { range, signal }: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const located = await file.where(signal)
  const { start, end } = resolveRange(range, located.sizeBytes)
  const sum = end - start === located.sizeBytes && located.checksum !== undefined ? new Checksum() : undefined
  for await (const chunk of bytesOf(from, file, start, end, signal ?? new AbortController().signal)) {
    sum?.update(chunk)
    yield chunk
  }
  if (sum && sum.toString() !== located.checksum) throw damaged()
}

function damaged(): ChecksumError {
  return new ChecksumError('The bytes that came are not those that were uploaded.', { hint: 'Try again; `parqueue datasets verify` says whether the store has them.' })
}

/**
 * Downloads a file to a path, in parallel. It is put in place whole, when its
 * checksum is right. What came before a process ended is used again by the next
 * that downloads the same file to the same path: beside the partial file is a list
 * of the chunks that it has.
 */
export async function fetchTo(engine: Engine, run: Run, file: RemoteFile, path: string, overwrite: boolean): Promise<void> {
  const located = await file.where(run.signal)
  await onDisk(dirname(path), async () => await mkdir(dirname(path), { recursive: true }))
  const partial = partialOf(path, located.sizeBytes, located.checksum)
  for (let tries = 1; ; tries++) {
    const sum = await onDisk(partial, async () => await fetchChunks(engine, run, file, located, partial))
    if (located.checksum === undefined || sum === located.checksum) break
    await removePartial(partial)
    run.meter.have(-located.sizeBytes)
    if (tries === 2) throw damaged()
  }
  await onDisk(path, async () => {
    await put(partial, path, overwrite)
    await removePartial(partial)
  })
}

/** Does something with files here. Errors of the system become a ParqueueError, with the system's own as its cause. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException
    if (cause instanceof ParqueueError || code === undefined || syscall === undefined) throw cause
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new ParqueueError('storage_full', `There is no room left for ${path}.`, { cause, hint: 'Free some space and call again: it goes on where it was.' })
    }
    throw new ParqueueError('invalid_request', `${path} can't be written.`, { cause, hint: 'Check the folder, and whether you may write there.' })
  }
}

/** Where a file is until it is whole. */
function partialOf(path: string, size: number, checksum: string | undefined): string {
  const identity = createHash('sha256').update(`${basename(path)}\n${size}\n${checksum ?? ''}`).digest('hex').slice(0, 24)
  return join(dirname(path), `.parqueue-${identity}.part`)
}

async function removePartial(partial: string): Promise<void> {
  await rm(partial, { force: true })
  await rm(`${partial}s`, { force: true })
}

/** Puts a complete file in its place. A hard link does not replace what came there meanwhile. */
async function put(partial: string, path: string, overwrite: boolean): Promise<void> {
  if (overwrite) return await rename(partial, path)
  try {
    await link(partial, path) // what is left is removed with the list of chunks
  } catch (cause) {
    if (await exists(path)) throw inTheWay(path)
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw cause
    await rename(partial, path) // a file system without links
  }
}

/** Whether something has a path. */
export async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false)
}

/** The path of a file that the server names: in the folder, whatever the server says. */
export function placeOf(folder: string, name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name)) {
    throw new ParqueueError('invalid_file_name', `${JSON.stringify(name)} can't be the name of a file here.`)
  }
  return join(folder, name)
}

/** Whether a path has a file already, by its size and checksum. Then what a process left that was killed as it had put it in place is removed. */
export async function sameAs(path: string, file: { sizeBytes: number, checksumCrc64nvme: string }): Promise<boolean> {
  const there = await stat(path).catch(() => undefined)
  if (!there?.isFile() || there.size !== file.sizeBytes) return false
  return await onDisk(path, async () => {
    const handle = await open(path, 'r')
    try {
      if ((await sumOf(handle, 0, file.sizeBytes)).toString() !== file.checksumCrc64nvme) return false
    } finally {
      await handle.close()
    }
    await removePartial(partialOf(path, file.sizeBytes, file.checksumCrc64nvme))
    return true
  })
}

/** The error of a download whose place is taken. */
export function inTheWay(path: string): ParqueueError {
  return new ParqueueError('file_exists', `${path} is another file.`, { hint: 'Move it away, or set overwrite.' })
}

async function fetchChunks(engine: Engine, run: Run, file: RemoteFile, located: Located, partial: string): Promise<string> {
  const size = located.sizeBytes
  const count = Math.ceil(size / chunkSize)
  const have = await chunksIn(partial, size)
  const out = await open(partial, have.size > 0 ? 'r+' : 'w+')
  const journal = await open(`${partial}s`, have.size > 0 ? 'a' : 'w')
  try {
    await out.truncate(size)
    const sums = new Array<Checksum>(count)
    await forEach(Array.from({ length: count }, (_, i) => i), engine.connections, run.signal, async (chunk, signal) => {
      const start = chunk * chunkSize
      const end = Math.min(size, start + chunkSize)
      const kept = have.get(chunk)
      if (kept !== undefined) {
        const sum = await sumOf(out, start, end)
        if (sum.toString() === kept) {
          sums[chunk] = sum
          run.meter.have(end - start)
          return
        }
      }
      await run.pause.passed(signal)
      await engine.gate.acquire(signal)
      try {
        const sum = new Checksum()
        for await (const bytes of bytesOf(engine, file, start, end, signal)) {
          await writeAll(out, bytes, start + sum.bytes)
          sum.update(bytes)
          run.meter.moved(bytes.length)
        }
        sums[chunk] = sum
        await journal.write(`${chunk} ${sum.toString()}\n`)
      } finally {
        engine.gate.release()
      }
    })
    await out.sync()
    const whole = new Checksum()
    for (const sum of sums) whole.append(sum)
    return whole.toString()
  } finally {
    await out.close()
    await journal.close()
  }
}

async function writeAll(out: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await out.write(bytes, written, bytes.length - written, at + written)).bytesWritten
  }
}

async function sumOf(file: FileHandle, start: number, end: number): Promise<Checksum> {
  const sum = new Checksum()
  const buffer = Buffer.allocUnsafe(256 << 10)
  while (start + sum.bytes < end) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - start - sum.bytes), start + sum.bytes)
    if (bytesRead === 0) break
    sum.update(buffer.subarray(0, bytesRead))
  }
  return sum
}

/** The chunks that a partial file has, with their sums. */
async function chunksIn(partial: string, size: number): Promise<Map<number, string>> {
  const have = new Map<number, string>()
  try {
    if ((await stat(partial)).size !== size) return have
    for (const line of (await readFile(`${partial}s`, 'latin1')).split('\n').slice(0, -1)) {
      const [chunk, sum] = line.split(' ')
      if (chunk !== undefined && sum !== undefined && /^\d{1,9}$/.test(chunk)) have.set(Number(chunk), sum)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return have
}
