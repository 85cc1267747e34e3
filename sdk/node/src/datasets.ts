import { resolve, join } from 'node:path'
import { mkdir, writeFile } from 'node:fs/promises'
import type { ReadableStream } from 'node:stream/web'
import { newKey, type Api } from './api.js'
import { Checksum } from './checksum.js'
import type { Core } from './core.js'
import { RemoteFile, exists, fetchTo, inTheWay, locatedIn, onDisk, placeOf, sameAs, streamOf, wholeOf, type ByteRange, type Locate, type Located } from './download.js'
import { ParqueueError } from './errors.js'
import { filesAt } from './folder.js'
import { forEach } from './gate.js'
import { Listing, camel, camelRows, defined, type Dataset, type DatasetDeletion, type DatasetFile } from './records.js'
import { joinSignals } from './signals.js'
import { openSource, sizeOf, type Content, type Source } from './source.js'
import type { TransferOptions } from './transfers.js'
import { partSizeOf, sendFile, type Run } from './upload.js'
import type { Upload } from './uploads.js'

const datasetsPage = 100
const filesPage = 10_000
const uploadsPage = 1000
/** What the server appends in one step; a longer list goes in such runs anyway. */
const appendRun = 32
const maxAppend = 1000
/** Files under way at a time, and URLs that are asked for ahead. */
const filesAtOnce = 32
const urlsAhead = 16
/** All that a listing says of a file but the schema, which is the same in every row. */
const fileFields = ['file_name', 'file_id', 'position', 'size_bytes', 'row_count', 'checksum_crc64nvme', 'uploaded_at']

/** Only a signal. */
export interface CallOptions {
  signal?: AbortSignal | undefined
}

/** What to create. */
export interface CreateDataset extends CallOptions {
  name?: string | undefined
  /** A JSON object of up to 16 KiB. */
  metadata?: Record<string, unknown> | undefined
}

/** Bytes under a name. */
export interface NamedSource {
  source: Source
  /** Needed where the source has no name of its own. */
  fileName?: string | undefined
  /** Of a stream, if it is known: without it the stream goes to a temporary file first. */
  sizeBytes?: number | undefined
  /** An upload that was begun before, of the same file. */
  uploadId?: string | undefined
}

/** How files are uploaded to a dataset. */
export interface DatasetUploadOptions extends TransferOptions {
  /**
   * Go on where an earlier call ended: files that the dataset has with the same
   * checksum are skipped, and uploads of the same name and size are gone on with.
   * The daemon always does.
   */
  resume?: boolean | undefined
  /** Bytes of a part, from 5 MiB; only without the daemon. */
  partSize?: number | undefined
  /** Hears of each upload's id, with which it can be gone on with; only without the daemon. */
  onUpload?: ((upload: { fileName: string, uploadId: string }) => void) | undefined
}

/** What an upload did. */
export interface DatasetUpload {
  transferId: string
  datasetId: string
  uploadedCount: number
  skippedCount: number
  uploadedBytes: number
  /** By this run; more than it had to when parts were sent again. */
  sentBytes: number
  firstPosition?: number
  lastPosition?: number
}

/** How files are downloaded to a folder. */
export interface DatasetDownloadOptions extends TransferOptions {
  /** The folder; it is made when it isn't there. */
  to: string
  /** Names of files; all without it. */
  files?: string[] | undefined
  /** Replace other files of the same names. */
  overwrite?: boolean | undefined
}

/** What a download did. */
export interface DatasetDownload {
  transferId: string
  datasetId: string
  folder: string
  downloadedCount: number
  /** They were there, with the same checksum. */
  skippedCount: number
  downloadedBytes: number
  /** By this run. */
  receivedBytes: number
}

/** How a file is read. */
export interface FileReadOptions extends CallOptions {
  range?: ByteRange | undefined
}

/** A file of an open dataset. */
export interface OpenFile extends DatasetFile {
  /** Takes GET with Range and without a key. */
  url: string
  /** When the URL stops to work; a transfer that has begun by then goes on. */
  expiresAt: string
}

/** Datasets, and the files in them. */
export class Datasets {
  readonly #core: Core

  /** @internal */
  constructor(core: Core) {
    this.#core = core
  }

  /** Makes a dataset. */
  async create({ name, metadata, signal }: CreateDataset = {}): Promise<Dataset> {
    return camel<Dataset>((await this.#core.api.call('create-dataset', { request: defined({ name, metadata }), idempotencyKey: newKey(), signal })).body)
  }

  /** The datasets, newest first. */
  list({ signal }: CallOptions = {}): Listing<Dataset> {
    return listing<Dataset>(this.#core.api, 'list-datasets', 'datasets', { limit: datasetsPage }, signal)
  }

  /** One dataset. */
  async get(datasetId: string, { signal }: CallOptions = {}): Promise<Dataset> {
    return camel<Dataset>((await this.#core.api.call('get-dataset', { request: { dataset_id: datasetId }, signal })).body)
  }

  /** Deletes a dataset and all that is in it, if it still has the version that is given. */
  async delete(datasetId: string, { ifVersion, signal }: CallOptions & { ifVersion?: number | undefined } = {}): Promise<DatasetDeletion> {
    const request = defined({ dataset_id: datasetId, if_version: ifVersion })
    return camel<DatasetDeletion>((await this.#core.api.call('delete-dataset', { request, idempotencyKey: newKey(), signal })).body)
  }

  /** Takes a file out of a dataset. Its position stays empty. */
  async deleteFile(datasetId: string, fileName: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#core.api.call('delete-dataset-file', { request: { dataset_id: datasetId, file_name: fileName }, idempotencyKey: newKey(), signal })
  }

  /** A dataset's files, in order. */
  files(datasetId: string, { signal }: CallOptions = {}): Listing<DatasetFile> {
    return listing<DatasetFile>(this.#core.api, 'list-dataset-files', 'files', { dataset_id: datasetId, fields: fileFields, limit: filesPage }, signal)
  }

  /**
   * A dataset's files in order, each with a URL that anything can read it from for
   * some minutes. URLs are made as the listing is read, a few ahead.
   */
  open(datasetId: string, { signal }: CallOptions = {}): Listing<OpenFile> {
    const located = async (file: DatasetFile, joined: AbortSignal): Promise<OpenFile> => {
      const { url, expiresAt } = await this.#locate(datasetId, file.fileName)(joined)
      return { ...file, url, expiresAt }
    }
    const files = this.files(datasetId, { signal })
    return new Listing(async function * () {
      const joined = joinSignals([signal])
      try {
        const ahead: Promise<OpenFile>[] = []
        for await (const file of files) {
          const next = located(file, joined.signal)
          next.catch(() => undefined) // it is told in its turn
          ahead.push(next)
          if (ahead.length === urlsAhead) yield [await ahead.shift()!]
        }
        for (const next of ahead) yield [await next]
      } finally {
        joined.release()
        joined.abort() // of what was asked for ahead, when the reader leaves early
      }
    })
  }

  /** Where a file's bytes are: a URL that anything can read it from for some minutes, by GET with Range and without a key. */
  async url(datasetId: string, fileName: string, { signal }: CallOptions = {}): Promise<Located> {
    return await this.#locate(datasetId, fileName)(signal)
  }

  /** A file as a stream. The checksum of a whole file is verified before the stream ends. */
  stream(datasetId: string, fileName: string, options: FileReadOptions = {}): ReadableStream<Uint8Array> {
    return streamOf(this.#core.engine, new RemoteFile(this.#locate(datasetId, fileName)), options)
  }

  /** A file's bytes. The checksum of a whole file is verified. */
  async bytes(datasetId: string, fileName: string, options: FileReadOptions = {}): Promise<Uint8Array> {
    return await wholeOf(this.#core.engine, new RemoteFile(this.#locate(datasetId, fileName)), options)
  }

  #locate(datasetId: string, fileName: string): Locate {
    const request = { dataset_id: datasetId, file_name: fileName, delivery: 'url' }
    return async (signal) => locatedIn(await this.#core.api.call('download-from-dataset', { request, signal }))
  }

  /**
   * Appends files in the order given, whatever order their bytes arrive in: the
   * dataset always has a prefix of the list. A path of a folder stands for the
   * Parquet files inside, in natural order. Paths alone are the daemon's to upload,
   * where there is one; with anything else this process does it.
   */
  async upload(datasetId: string, what: Source | NamedSource | readonly (Source | NamedSource)[], options: DatasetUploadOptions = {}): Promise<DatasetUpload> {
    const sources = (Array.isArray(what) ? what : [what]) as readonly (Source | NamedSource)[]
    const paths = sources.filter((one): one is string => typeof one === 'string')
    if (this.#core.daemon && paths.length === sources.length) {
      return await this.#core.daemon.transfers.run<DatasetUpload>({ kind: 'upload_dataset', dataset_id: datasetId, paths: paths.map((path) => resolve(path)), order: 'given' }, options)
    }
    return await this.#core.transfers.run({ kind: 'upload_dataset', datasetId, server: this.#core.direct?.url }, options, async (run) => {
      const items = await itemsOf(sources)
      return await new DatasetUploading(this.#core, datasetId, options, run).run(items)
    })
  }

  /** Downloads files to a folder, and their order to `_order.json` beside them. Each is put in place whole, when its checksum is right. */
  async download(datasetId: string, options: DatasetDownloadOptions): Promise<DatasetDownload> {
    const folder = resolve(options.to)
    const { files, overwrite = false } = options
    if (this.#core.daemon) {
      return await this.#core.daemon.transfers.run<DatasetDownload>(defined({ kind: 'download_dataset', dataset_id: datasetId, to: folder, files, overwrite }) as { kind: 'download_dataset' }, options)
    }
    return await this.#core.transfers.run({ kind: 'download_dataset', datasetId, server: this.#core.direct?.url }, options, async (run) => {
      let rows = await this.files(datasetId, { signal: run.signal }).all()
      if (files) rows = chosen(rows, files)
      const { meter } = run
      meter.files = rows.length
      meter.bytes = rows.reduce((sum, row) => sum + row.sizeBytes, 0)
      let skipped = 0
      await forEach(rows, filesAtOnce, run.signal, async (row, signal) => {
        const path = placeOf(folder, row.fileName)
        if (await sameAs(path, row)) {
          skipped++
          meter.have(row.sizeBytes)
        } else {
          if (!overwrite && await exists(path)) throw inTheWay(path)
          await fetchTo(this.#core.engine, { ...run, signal }, new RemoteFile(this.#locate(datasetId, row.fileName)), path, overwrite)
        }
        meter.fileDone(row.fileName)
      })
      await onDisk(folder, async () => {
        await mkdir(folder, { recursive: true })
        await writeFile(join(folder, '_order.json'), JSON.stringify(rows.map((row) => row.fileName), null, 2) + '\n')
      })
      const bytes = rows.reduce((sum, row) => sum + row.sizeBytes, 0)
      return { transferId: meter.transferId, datasetId, folder, downloadedCount: rows.length - skipped, skippedCount: skipped, downloadedBytes: bytes, receivedBytes: meter.bytesMoved }
    })
  }
}

/** The rows of an endpoint, page by page. */
export function listing<T>(api: Api, endpoint: string, rows: string, request: Record<string, unknown>, signal: AbortSignal | undefined): Listing<T> {
  return new Listing(async function * () {
    for (let cursor: unknown; ;) {
      const { body } = await api.call(endpoint, { request: defined({ ...request, cursor }), signal })
      yield camelRows<T>(body[rows])
      cursor = body.next_cursor
      if (typeof cursor !== 'string' || cursor === '') return
    }
  })
}

/** The files of a listing that are wanted, in the listing's order. */
function chosen(rows: DatasetFile[], names: string[]): DatasetFile[] {
  const wanted = new Set(names)
  const found = rows.filter((row) => wanted.delete(row.fileName))
  const [missing] = wanted
  if (missing !== undefined) throw new ParqueueError('file_not_found', `The dataset has no file ${JSON.stringify(missing)}.`, { hint: 'files() lists them.' })
  return found
}

/** A file of an upload. */
interface Item extends NamedSource {
  name: string
}

async function itemsOf(sources: readonly (Source | NamedSource)[]): Promise<Item[]> {
  const items: Item[] = []
  for (const one of sources) {
    const named: NamedSource = typeof one === 'object' && 'source' in one ? one : { source: one as Source }
    const many = typeof named.source === 'string' && named.fileName === undefined ? await filesAt(named.source) : [named.source]
    for (const source of many) items.push({ ...named, source, name: named.fileName ?? nameOf(source) })
  }
  const names = new Set<string>()
  for (const { name } of items) {
    if (name === '') throw new ParqueueError('invalid_request', 'A source has no name.', { hint: 'Give { source, fileName }.' })
    if (names.has(name)) throw new ParqueueError('file_exists', `Two files are called ${JSON.stringify(name)}.`, { hint: 'In a dataset a name is there once: rename one.' })
    names.add(name)
  }
  return items
}

function nameOf(source: Source): string {
  if (typeof source === 'string') return source.replace(/^.*[/\\]/s, '')
  const { name } = source as { name?: unknown } // of a File
  return typeof name === 'string' ? name : ''
}

/** One upload of files to a dataset. */
class DatasetUploading {
  readonly #ready: (string | 'skipped' | undefined)[] = [] // upload ids that can be appended, by place
  #appended = 0 // how many of the list are in the dataset
  #appending: Promise<void> = Promise.resolve()
  #skipped = 0
  #positions: number[] = []

  constructor(private readonly core: Core, private readonly datasetId: string, private readonly options: DatasetUploadOptions, private readonly flow: Run) {}

  async run(items: Item[]): Promise<DatasetUpload> {
    const { flow, options, datasetId } = this
    const { meter } = flow
    const there = options.resume ? await this.#there(items) : new Map<string, DatasetFile>()
    const begun = options.resume ? await this.#begun(items) : new Map<string, Upload[]>()
    meter.files = items.length
    let bytes = 0
    const sizes = await Promise.all(items.map(async (item) => item.sizeBytes ?? await sizeOf(item.source)))
    meter.bytes = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
    const places = items.map((item, place) => ({ item, place }))
    await forEach(places, Math.min(filesAtOnce, this.core.engine.connections), flow.signal, async ({ item, place }, signal) => {
      const content = await openSource(item.source, item.sizeBytes, signal)
      try {
        meter.bytes += content.size - (sizes[place] ?? 0)
        if (await this.#one(item, place, content, there, begun, { ...flow, signal })) bytes += content.size
      } finally {
        await content.close()
      }
      await this.#append(items.length, signal)
    })
    await this.#append(items.length, flow.signal)
    const result: DatasetUpload = {
      transferId: meter.transferId, datasetId,
      uploadedCount: items.length - this.#skipped, skippedCount: this.#skipped, uploadedBytes: bytes, sentBytes: meter.bytesMoved,
    }
    if (this.#positions.length > 0) {
      result.firstPosition = this.#positions[0]!
      result.lastPosition = this.#positions.at(-1)!
    }
    return result
  }

  /** Brings one file so far that it can be appended, and says whether it has to be. */
  async #one(item: Item, place: number, content: Content, there: Map<string, DatasetFile>, begun: Map<string, Upload[]>, run: Run): Promise<boolean> {
    const file = there.get(item.name)
    if (file) {
      if (!content.anyOrder || file.sizeBytes !== content.size || await sumOf(content, run.signal) !== file.checksumCrc64nvme) throw taken(item.name)
      this.#ready[place] = 'skipped'
      this.#skipped++
      run.meter.have(content.size)
      run.meter.fileDone(item.name)
      return false
    }
    const uploadId = item.uploadId ?? await this.#left(begun.get(item.name) ?? [], content, run.signal)
    const { uploads } = this.core.engine
    const row = await sendFile(this.core.engine, run, {
      content,
      uploadId,
      begun: (id) => this.options.onUpload?.({ fileName: item.name, uploadId: id }),
      create: async (idempotencyKey) => await uploads.create(this.datasetId, {
        fileName: item.name, sizeBytes: content.size, partSize: partSizeOf(content.size, this.options.partSize), singlePut: true,
      }, { idempotencyKey, signal: run.signal }),
      complete: async (id, checksum) => await uploads.complete(id, { checksum, signal: run.signal }),
    })
    this.#ready[place] = row.uploadId
    run.meter.fileName = item.name
    return true
  }

  /** The one of the uploads of a name that an earlier call left of the same content, as far as can be told: an open one may turn out to be of another, and is then sent again. */
  async #left(rows: Upload[], content: Content, signal: AbortSignal): Promise<string | undefined> {
    let sum: string | undefined
    for (const row of rows) {
      if (row.sizeBytes !== content.size || !content.anyOrder) continue
      if (row.state === 'open') return row.uploadId
      sum ??= await sumOf(content, signal)
      if (row.checksumCrc64nvme === sum) return row.uploadId
    }
    return undefined
  }

  /** Appends what makes a longer prefix of the list: the first time when there is a run of it, and all at the end. */
  async #append(count: number, signal: AbortSignal): Promise<void> {
    const next = this.#appending.then(async () => {
      for (;;) {
        let end = this.#appended
        while (end < count && this.#ready[end] !== undefined && end - this.#appended < maxAppend) end++
        if (end === this.#appended || (end < count && end - this.#appended < appendRun)) return
        const ids = this.#ready.slice(this.#appended, end).filter((id): id is string => id !== 'skipped')
        if (ids.length > 0) {
          for (const file of await this.core.engine.uploads.append(this.datasetId, ids, { signal })) {
            this.#positions.push(file.position)
            this.flow.meter.fileDone(file.fileName)
          }
        }
        this.#appended = end
      }
    })
    this.#appending = next
    await next
  }

  /** The files that the dataset has under names of the list. What it has must come first, in the list's order: nothing in a dataset moves. */
  async #there(items: Item[]): Promise<Map<string, DatasetFile>> {
    const names = new Set(items.map((item) => item.name))
    const there = new Map<string, DatasetFile>()
    for await (const file of new Datasets(this.core).files(this.datasetId, { signal: this.flow.signal })) {
      if (names.has(file.fileName)) there.set(file.fileName, file)
    }
    let last = -1
    let sent: string | undefined
    for (const { name } of items) {
      const file = there.get(name)
      if (!file) {
        sent ??= name
        continue
      }
      if (sent !== undefined || file.position < last) {
        throw new ParqueueError('conflict', `${JSON.stringify(sent ?? name)} is to come before what is in the dataset already.`, { hint: 'Leave files out, or give them in another order. What is in a dataset doesn\'t move.' })
      }
      last = file.position
    }
    return there
  }

  /** Uploads that an earlier call left behind, by name. */
  async #begun(items: Item[]): Promise<Map<string, Upload[]>> {
    const names = new Set(items.map((item) => item.name))
    const begun = new Map<string, Upload[]>()
    for (const state of ['complete', 'open']) {
      for await (const row of listing<Upload>(this.core.api, 'list-uploads', 'uploads', { dataset_id: this.datasetId, state, limit: uploadsPage }, this.flow.signal)) {
        if (names.has(row.fileName)) begun.set(row.fileName, [...begun.get(row.fileName) ?? [], row])
      }
    }
    return begun
  }
}

async function sumOf(content: Content, signal: AbortSignal): Promise<string> {
  const sum = new Checksum()
  for await (const chunk of (await content.part(0, content.size))()) {
    signal.throwIfAborted()
    sum.update(chunk)
  }
  return sum.toString()
}

function taken(name: string): ParqueueError {
  return new ParqueueError('file_exists', `The dataset has another file called ${JSON.stringify(name)}.`, { hint: 'Rename the file, or take the other one out with deleteFile.' })
}
