import { createWriteStream } from 'node:fs'
import { mkdtemp, open, rm, stat, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ReadableStream } from 'node:stream/web'
import { ParqueueError } from './errors.js'

/** What can be uploaded: a file's path, bytes, or a stream of them. */
export type Source = string | Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array> | Readable

/** Bytes of a file that are read at a time. */
const chunkSize = 256 << 10

/** Some bytes of a source, which can be read again. */
export type Bytes = () => AsyncIterable<Uint8Array>

/** A source of a known size, read part by part. */
export interface Content {
  readonly size: number
  /** The name that the source has by itself. */
  readonly name: string | undefined
  /** Parts can be read in any order and are not held; those of a stream come once and in order, each in memory. */
  readonly anyOrder: boolean
  part(offset: number, length: number): Promise<Bytes>
  /** Whether the file is another one by now. */
  changed(): Promise<boolean>
  close(): Promise<void>
}

/** Opens a source. A stream whose size isn't given is first written to a temporary file: the server wants to know the size. */
export async function openSource(source: Source, size: number | undefined, signal: AbortSignal | undefined): Promise<Content> {
  if (typeof source === 'string') return sized(await openFile(source), size)
  if (source instanceof Uint8Array) return sized(new BlockContent(source.length, (from, to) => once(source.subarray(from, to))), size)
  if (source instanceof ArrayBuffer) return openSource(new Uint8Array(source), size, signal)
  if (source instanceof Blob) return sized(new BlockContent(source.size, (from, to) => source.slice(from, to).stream() as ReadableStream<Uint8Array>, (source as { name?: unknown }).name), size)
  if (isAsyncIterable(source)) {
    if (size !== undefined) return new StreamContent(source, size, signal)
    return spool(source, signal)
  }
  throw new ParqueueError('invalid_request', 'That is nothing that can be uploaded.', { hint: 'Give a path, a Uint8Array, a Blob, a ReadableStream or a Readable.' })
}

/** A source's size where it can be told without opening it. */
export async function sizeOf(source: Source): Promise<number | undefined> {
  if (typeof source === 'string') return await stat(source).then((found) => found.size, () => undefined)
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return source.byteLength
  return source instanceof Blob ? source.size : undefined
}

function sized(content: Content, size: number | undefined): Content {
  if (size === undefined || size === content.size) return content
  throw new ParqueueError('invalid_request', `The source has ${content.size} bytes, and ${size} were announced.`, { hint: 'Leave sizeBytes out: it is for streams.' })
}

function isAsyncIterable(value: unknown): value is AsyncIterable<Uint8Array> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

async function * once(data: Uint8Array): AsyncGenerator<Uint8Array> {
  if (data.length > 0) yield data
}

/** Bytes in memory, and Blobs. */
class BlockContent implements Content {
  readonly anyOrder = true
  readonly name: string | undefined

  constructor(readonly size: number, private readonly slice: (from: number, to: number) => AsyncIterable<Uint8Array>, name?: unknown) {
    this.name = typeof name === 'string' && name !== '' ? name : undefined
  }

  async part(offset: number, length: number): Promise<Bytes> {
    return () => this.slice(offset, offset + length)
  }

  async changed(): Promise<boolean> {
    return false
  }

  async close(): Promise<void> {}
}

async function openFile(path: string): Promise<FileContent> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (cause) {
    throw new ParqueueError('invalid_request', `${path} can't be read.`, { cause, hint: 'Check the path, and whether you may read the file.' })
  }
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new ParqueueError('invalid_request', `${path} is not a file.`, { hint: 'Give the path of a file.' })
    return new FileContent(file, basename(path), found.size, found.mtimeMs)
  } catch (error) {
    await file.close()
    throw error
  }
}

class FileContent implements Content {
  readonly anyOrder = true

  constructor(private readonly file: FileHandle, readonly name: string | undefined, readonly size: number, private readonly mtime: number, private readonly folder?: string) {}

  async part(offset: number, length: number): Promise<Bytes> {
    return () => this.read(offset, length)
  }

  private async * read(offset: number, length: number): AsyncGenerator<Uint8Array> {
    for (let at = offset; at < offset + length;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(chunkSize, offset + length - at)) // its own, as it may be written later
      const { bytesRead } = await this.file.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) throw fileChanged(this.name)
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }

  async changed(): Promise<boolean> {
    const { size, mtimeMs } = await this.file.stat()
    return size !== this.size || mtimeMs !== this.mtime
  }

  async close(): Promise<void> {
    await this.file.close()
    if (this.folder !== undefined) await rm(this.folder, { recursive: true, force: true })
  }
}

/** The error of a file that changes while it is being sent. */
export function fileChanged(name: string | undefined): ParqueueError {
  return new ParqueueError('file_changed', `${name ?? 'The file'} changed while it was being sent.`, { hint: 'Upload it again when nobody writes to it.' })
}

/** A stream whose size is known. */
class StreamContent implements Content {
  readonly anyOrder = false
  readonly name = undefined
  private readonly chunks: AsyncIterator<Uint8Array>
  private rest: Uint8Array = new Uint8Array(0)
  private at = 0

  constructor(stream: AsyncIterable<Uint8Array>, readonly size: number, private readonly signal: AbortSignal | undefined) {
    this.chunks = stream[Symbol.asyncIterator]()
  }

  async part(offset: number, length: number): Promise<Bytes> {
    if (offset !== this.at) throw new ParqueueError('invalid_request', 'A stream can be sent once and in order only.')
    const held: Uint8Array[] = []
    let missing = length
    while (missing > 0) {
      if (this.rest.length === 0) {
        const next = await abortable(this.chunks.next(), this.signal)
        if (next.done) throw wrongSize(this.size)
        this.rest = bytesOf(next.value)
      }
      const taken = this.rest.subarray(0, missing)
      held.push(taken)
      this.rest = this.rest.subarray(taken.length)
      missing -= taken.length
    }
    this.at += length
    if (this.at === this.size) await this.end()
    return () => iterate(held)
  }

  /** Sees that nothing comes behind the last part. */
  private async end(): Promise<void> {
    while (this.rest.length === 0) {
      const next = await abortable(this.chunks.next(), this.signal)
      if (next.done) return
      this.rest = bytesOf(next.value)
    }
    throw wrongSize(this.size)
  }

  async changed(): Promise<boolean> {
    return false
  }

  /** Tells the stream that no more is wanted. What it answers is not waited for: a stream that hangs can hang there too. */
  async close(): Promise<void> {
    void this.chunks.return?.()?.catch(() => undefined)
  }
}

async function * iterate(held: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield * held
}

/** What a stream gave, as bytes. */
function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  if (typeof chunk === 'string') return Buffer.from(chunk)
  throw new ParqueueError('invalid_request', 'The stream gives something else than bytes.', { hint: 'Give a stream of Uint8Array.' })
}

function wrongSize(size: number): ParqueueError {
  return new ParqueueError('invalid_request', `The stream has not the ${size} bytes that were announced.`, { hint: 'Give sizeBytes as it is, or leave it out.' })
}

/** Waits for a promise, and no longer than the signal allows. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  signal.throwIfAborted()
  let stop: () => void = () => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Writes a stream to a temporary file, which is removed when the content is closed. */
async function spool(stream: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Promise<Content> {
  const folder = await mkdtemp(join(tmpdir(), 'parqueue-'))
  try {
    const path = join(folder, 'content')
    await pipeline(Readable.from(bytesIn(stream), { objectMode: false }), createWriteStream(path, { mode: 0o600 }), signal ? { signal } : {})
    const file = await open(path, 'r')
    const { size, mtimeMs } = await file.stat()
    return new FileContent(file, undefined, size, mtimeMs, folder)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    signal?.throwIfAborted()
    throw error
  }
}

async function * bytesIn(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) yield bytesOf(chunk)
}
