import { resolve } from 'node:path'
import type { ReadableStream } from 'node:stream/web'
import { DirectApi, HttpApi, newKey, type Answer, type Api, type Credentials } from './api.js'
import { findCredentials, type Identity } from './credentials.js'
import type { Core } from './core.js'
import { Daemon, DaemonApi, DaemonTransfers, runBinary, type ServerChoice } from './daemon.js'
import { Datasets, listing, type CallOptions } from './datasets.js'
import { RemoteFile, exists, fetchTo, inTheWay, locatedIn, placeOf, sameAs, streamOf, wholeOf, type ByteRange, type Locate } from './download.js'
import { ParqueueError } from './errors.js'
import { Gate } from './gate.js'
import { camel, defined, type Asset, type AssetContent, type Listing, type OwnerType } from './records.js'
import { usualRetry, type RetryOptions, type RetryPolicy } from './retry.js'
import { openSource, type Source } from './source.js'
import { Store } from './store.js'
import { Transfers, type ClientEvents, type Transfer, type TransferOptions } from './transfers.js'
import { partSizeOf, sendFile, type Engine } from './upload.js'
import { Uploads, uploadIn } from './uploads.js'

/** How to connect. */
export interface ConnectOptions extends Identity {
  /** Who moves files: the daemon, which goes on when this process ends, or this process itself, which then needs no parqueue on this machine ("daemon"). */
  mode?: 'daemon' | 'direct' | undefined
  /** The parqueue program, when it isn't on the PATH. */
  binaryPath?: string | undefined
  /** How many connections carry bytes at once (16), from this process. */
  connections?: number | undefined
  /** How what fails on the way is tried again. */
  retry?: RetryOptions | undefined
  signal?: AbortSignal | undefined
}

/** Whom a key belongs to. */
export interface AuthStatus {
  authenticated: boolean
  tenant: string
  scopes: string[]
}

/** Who to sign in. */
export interface LoginOptions extends CallOptions {
  url: string
  apiKey: string
  allowHttp?: boolean | undefined
  /** The name that it is remembered under, with the daemon. */
  profile?: string | undefined
}

/** What is said of an asset. */
export interface AssetFields {
  title?: string | null | undefined
  description?: string | null | undefined
  /** A name that no other asset of the owner has. */
  alias?: string | null | undefined
  tags?: string[] | null | undefined
  /** A JSON object of up to 64 KiB. */
  metadata?: Record<string, unknown> | null | undefined
}

/** What is uploaded as an asset. */
export interface AssetUploadOptions extends AssetFields, TransferOptions {
  /** Whose the asset is; not needed with assetId. */
  ownerType?: OwnerType | undefined
  ownerId?: string | undefined
  /** An asset that this is new content of. */
  assetId?: string | undefined
  /** Needed where the source has no name of its own. */
  fileName?: string | undefined
  /** Of a stream, if it is known: without it the stream goes to a temporary file first. */
  sizeBytes?: number | undefined
  /** Bytes of a part, from 5 MiB. */
  partSize?: number | undefined
  /** An upload that was begun before, of the same content. The daemon goes on by itself. */
  uploadId?: string | undefined
  /** Hears of the upload's id, with which it can be gone on with; only without the daemon. */
  onUpload?: ((upload: { fileName: string, uploadId: string }) => void) | undefined
}

/** Which assets to list. */
export interface AssetFilter {
  ownerType?: OwnerType | undefined
  ownerId?: string | undefined
  tag?: string | undefined
  alias?: string | undefined
}

/** An asset that was uploaded. */
export interface AssetUpload {
  transferId: string
  assetId: string
  version: number
  fileName: string
  uploadedBytes: number
  /** By this run; more than it had to when parts were sent again. */
  sentBytes: number
}

/** Which content of an asset. */
export interface AssetVersion {
  /** The latest without it. */
  version?: number | undefined
}

/** How an asset is downloaded to a file. */
export interface AssetDownloadOptions extends AssetVersion, TransferOptions {
  /** The folder; it is made when it isn't there. */
  to: string
  /** Replace another file of the same name. */
  overwrite?: boolean | undefined
}

/** What a download did. */
export interface AssetDownload {
  transferId: string
  assetId: string
  version: number
  /** Where it is now. */
  path: string
  sizeBytes: number
  /** It was there, with the same checksum. */
  skipped: boolean
  /** By this run. */
  receivedBytes: number
}

/**
 * Connects to a server, by the daemon or directly. That nobody is signed in is
 * told by the calls that follow: login may come first.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  options.signal?.throwIfAborted()
  const retry = { ...usualRetry, ...options.retry }
  const connections = options.connections ?? 16
  if (!Number.isInteger(connections) || connections < 1 || connections > 256) {
    throw new ParqueueError('invalid_request', 'The number of connections is out of range.', { hint: 'Use 1 to 256.' })
  }
  const transfers = new Transfers()
  const engine = (api: Api): Engine => ({ uploads: new Uploads(api), store: new Store(), retry, connections, gate: new Gate(connections) })
  if (options.mode === 'direct') {
    const api = new DirectApi(await signedIn(options, retry))
    return new Client({ api, engine: engine(api), transfers, direct: api, daemon: undefined })
  }
  const connection = new Daemon(options.binaryPath, serverOf(options), retry)
  const api = new DaemonApi(connection)
  await connection.ask('/v1/status', { signal: options.signal })
  return new Client({ api, engine: engine(api), transfers, direct: undefined, daemon: { connection, transfers: new DaemonTransfers(connection, transfers) } })
}

/** The API as who is signed in, or the error that says that nobody is. */
async function signedIn(who: Identity, retry: RetryPolicy): Promise<HttpApi | ParqueueError> {
  let credentials: Credentials
  try {
    credentials = await findCredentials(who)
  } catch (error) {
    if (error instanceof ParqueueError && error.code === 'unauthorized') return error
    throw error
  }
  return new HttpApi(credentials, retry)
}

/** Whom the daemon is to speak as. Without anything said it asks the profiles itself. */
function serverOf({ url, apiKey, profile, allowHttp }: Identity): ServerChoice {
  const { PARQUEUE_URL, PARQUEUE_API_KEY, PARQUEUE_PROFILE } = process.env
  if (profile !== undefined && url === undefined && apiKey === undefined) return { profile }
  const server = { url: url ?? PARQUEUE_URL ?? '', api_key: apiKey ?? PARQUEUE_API_KEY ?? '' }
  if (server.url !== '' && server.api_key !== '') return allowHttp === undefined ? server : { ...server, allow_http: allowHttp }
  if (url !== undefined || apiKey !== undefined) {
    throw new ParqueueError('unauthorized', 'Of url and apiKey one is missing.', { hint: 'Give both, or neither to use who is signed in.' })
  }
  return PARQUEUE_PROFILE ? { profile: PARQUEUE_PROFILE } : undefined
}

/** A connection to a server. Calls fail with a ParqueueError, or with their signal's reason. */
export class Client {
  /** Datasets, and the files in them. */
  readonly datasets: Datasets
  /** Uploads to datasets step by step. */
  readonly uploads: Uploads
  readonly #core: Core

  /** @internal Use connect. */
  constructor(core: Core) {
    this.#core = core
    this.datasets = new Datasets(core)
    this.uploads = core.engine.uploads
  }

  /** Asks the server whom the key belongs to. */
  async authCheck({ signal }: CallOptions = {}): Promise<AuthStatus> {
    return camel<AuthStatus>((await this.#core.api.call('try-authentication', { signal })).body)
  }

  /**
   * Signs in, once the server takes the key. With the daemon it is remembered, as
   * by `parqueue auth login`; without, this client alone uses it.
   */
  async login({ url, apiKey, allowHttp = false, profile, signal }: LoginOptions): Promise<AuthStatus> {
    const { direct, daemon, engine } = this.#core
    if (direct) {
      const api = new HttpApi({ url, apiKey, allowHttp }, engine.retry)
      const status = camel<AuthStatus>((await api.call('try-authentication', { signal })).body)
      direct.become(api)
      return status
    }
    const args = ['auth', 'login', '--url', url, ...profileArgs(profile), ...(allowHttp ? ['--allow-http'] : [])]
    await runBinary(daemon!.connection.binaryPath, args, apiKey, signal)
    daemon!.connection.server = profile === undefined ? undefined : { profile }
    return await this.authCheck({ signal })
  }

  /** Signs out. The key stays valid until it is revoked. */
  async logout({ profile, signal }: CallOptions & { profile?: string | undefined } = {}): Promise<void> {
    const { direct, daemon } = this.#core
    if (direct) {
      direct.become(new ParqueueError('unauthorized', 'Nobody is signed in.', { hint: 'Call login.' }))
      return
    }
    const named = profile ?? (daemon!.connection.server && 'profile' in daemon!.connection.server ? daemon!.connection.server.profile : undefined)
    await runBinary(daemon!.connection.binaryPath, ['auth', 'logout', ...profileArgs(named)], '', signal)
    daemon!.connection.server = profile === undefined ? undefined : { profile }
  }

  /** Uploads an asset of any format, or new content of one. A path is the daemon's to upload, where there is one. */
  async assetUpload(source: Source, options: AssetUploadOptions): Promise<AssetUpload> {
    const { daemon, transfers, direct } = this.#core
    const fields = defined({ title: options.title, description: options.description, alias: options.alias, tags: options.tags, metadata: options.metadata })
    const owner = defined({ owner_type: options.ownerType, owner_id: options.ownerId, asset_id: options.assetId })
    if (daemon && typeof source === 'string' && options.fileName === undefined) {
      return await daemon.transfers.run<AssetUpload>(defined({ kind: 'upload_asset', path: resolve(source), ...owner, ...fields, part_size: options.partSize }) as { kind: 'upload_asset' }, options)
    }
    const { assetId } = options
    return await transfers.run({ kind: 'upload_asset', server: direct?.url, ...(assetId === undefined ? {} : { assetId }) }, options, async (run) => {
      const content = await openSource(source, options.sizeBytes, run.signal)
      try {
        const fileName = options.fileName ?? content.name
        if (fileName === undefined) throw new ParqueueError('invalid_request', 'The source has no name.', { hint: 'Give fileName.' })
        run.meter.files = 1
        run.meter.bytes = content.size
        run.meter.fileName = fileName
        const request = defined({ file_name: fileName, size_bytes: content.size, part_size: partSizeOf(content.size, options.partSize), single_put: true })
        const row = await sendFile(this.#core.engine, run, {
          content,
          uploadId: options.uploadId,
          begun: (uploadId) => options.onUpload?.({ fileName, uploadId }),
          create: async (idempotencyKey) => {
            const [endpoint, what] = assetId === undefined ? ['create-asset', { ...owner, ...fields }] as const : ['create-asset-version', owner] as const
            return uploadIn((await this.#core.api.call(endpoint, { request: { ...what, ...request }, idempotencyKey, signal: run.signal })).body)
          },
          complete: async (upload_id, checksum) => uploadIn((await this.#core.api.call('complete-upload', { request: { upload_id, checksum }, idempotencyKey: newKey(), signal: run.signal })).body),
        })
        run.meter.fileDone(fileName)
        return { transferId: run.meter.transferId, assetId: String(row.assetId), version: row.version ?? 1, fileName, uploadedBytes: content.size, sentBytes: run.meter.bytesMoved }
      } finally {
        await content.close()
      }
    })
  }

  /** Downloads an asset to a folder, under its name. It is put in place whole, when its checksum is right. */
  async assetDownload(assetId: string, options: AssetDownloadOptions): Promise<AssetDownload> {
    const folder = resolve(options.to)
    const { version, overwrite = false } = options
    const { daemon, transfers, direct, engine } = this.#core
    if (daemon) {
      return await daemon.transfers.run<AssetDownload>(defined({ kind: 'download_asset', asset_id: assetId, to: folder, version, overwrite }) as { kind: 'download_asset' }, options)
    }
    return await transfers.run({ kind: 'download_asset', assetId, server: direct?.url }, options, async (run) => {
      const content = await this.#content(assetId, version, run.signal)
      const path = placeOf(folder, content.fileName)
      run.meter.files = 1
      run.meter.bytes = content.sizeBytes
      run.meter.fileName = content.fileName
      const skipped = await sameAs(path, content)
      if (skipped) {
        run.meter.have(content.sizeBytes)
      } else {
        if (!overwrite && await exists(path)) throw inTheWay(path)
        await fetchTo(engine, run, new RemoteFile(this.#locate(assetId, content.version)), path, overwrite)
      }
      run.meter.fileDone(content.fileName)
      return { transferId: run.meter.transferId, assetId, version: content.version, path, sizeBytes: content.sizeBytes, skipped, receivedBytes: run.meter.bytesMoved }
    })
  }

  /** A version of an asset's content, the latest by default. */
  async #content(assetId: string, version: number | undefined, signal: AbortSignal): Promise<AssetContent> {
    for await (const content of this.assetVersions(assetId, { signal })) {
      if (version === undefined || content.version === version) return content
    }
    throw new ParqueueError('asset_not_found', `The asset has no version ${version}.`, { hint: 'assetVersions lists them.' })
  }

  /** An asset's content as a stream. The checksum of all of it is verified before the stream ends. */
  assetStream(assetId: string, { version, range, signal }: AssetVersion & CallOptions & { range?: ByteRange | undefined } = {}): ReadableStream<Uint8Array> {
    return streamOf(this.#core.engine, new RemoteFile(this.#locate(assetId, version)), { range, signal })
  }

  /** An asset's content. The checksum of all of it is verified. */
  async assetBytes(assetId: string, { version, range, signal }: AssetVersion & CallOptions & { range?: ByteRange | undefined } = {}): Promise<Uint8Array> {
    return await wholeOf(this.#core.engine, new RemoteFile(this.#locate(assetId, version)), { range, signal })
  }

  #locate(assetId: string, version: number | undefined): Locate {
    const request = defined({ asset_id: assetId, version, delivery: 'url' })
    return async (signal) => locatedIn(await this.#core.api.call('download-asset', { request, signal }))
  }

  /** What is said of an asset. */
  async getMetadata(assetId: string, { signal }: CallOptions = {}): Promise<Asset> {
    return assetIn(await this.#core.api.call('get-asset-metadata', { request: { asset_id: assetId }, signal }))
  }

  /** Changes what is said of an asset: null clears, and what is left out stays. With the etag that getMetadata gave as ifMatch it fails with 412 when it changed meanwhile. */
  async setMetadata(assetId: string, { title, description, alias, tags, metadata }: AssetFields, { ifMatch, signal }: CallOptions & { ifMatch?: string | undefined } = {}): Promise<Asset> {
    const request = defined({ asset_id: assetId, title, description, alias, tags, metadata })
    return assetIn(await this.#core.api.call('set-asset-metadata', { request, idempotencyKey: newKey(), signal, ...(ifMatch === undefined ? {} : { ifMatch }) }))
  }

  /** Assets, newest first: of an owner, with a tag or an alias, or all that are in no dataset. */
  listAssets({ ownerType, ownerId, tag, alias, signal }: AssetFilter & CallOptions = {}): Listing<Asset> {
    return listing<Asset>(this.#core.api, 'list-assets', 'assets', { owner_type: ownerType, owner_id: ownerId, tag, alias }, signal)
  }

  /** The versions of an asset's content, the latest first. */
  assetVersions(assetId: string, { signal }: CallOptions = {}): Listing<AssetContent> {
    return listing<AssetContent>(this.#core.api, 'list-asset-versions', 'versions', { asset_id: assetId }, signal)
  }

  /** Deletes an asset with all its versions. A file of a dataset is taken out of it. */
  async assetDelete(assetId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#core.api.call('delete-asset', { request: { asset_id: assetId }, idempotencyKey: newKey(), signal })
  }

  /** The daemon's transfers, or those of this client without it: what runs, and what ended a while ago. */
  async listTransfers({ signal }: CallOptions = {}): Promise<Transfer[]> {
    return this.#core.daemon ? await this.#core.daemon.transfers.list(signal) : this.#core.transfers.list()
  }

  /** Pauses a transfer. Without the daemon the parts that are under way are still carried. */
  async pauseTransfer(transferId: string, { signal }: CallOptions = {}): Promise<Transfer> {
    return await this.#change(transferId, 'pause', signal)
  }

  /** Has a transfer go on that was paused, or that waits for a key. */
  async resumeTransfer(transferId: string, { signal }: CallOptions = {}): Promise<Transfer> {
    return await this.#change(transferId, 'resume', signal)
  }

  /** Gives a transfer up. What is done stays done. */
  async cancelTransfer(transferId: string, { signal }: CallOptions = {}): Promise<Transfer> {
    return await this.#change(transferId, 'cancel', signal)
  }

  async #change(transferId: string, change: 'pause' | 'resume' | 'cancel', signal: AbortSignal | undefined): Promise<Transfer> {
    const { daemon, transfers } = this.#core
    return daemon ? await daemon.transfers.change(transferId, change, signal) : transfers.change(transferId, change)
  }

  /** Calls a listener for every event of the transfers that this client waits for. */
  on<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): this {
    this.#core.transfers.events.on(event, listener)
    return this
  }

  /** Calls a listener for the next event. */
  once<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): this {
    this.#core.transfers.events.once(event, listener)
    return this
  }

  /** Calls a listener no more. */
  off<E extends keyof ClientEvents>(event: E, listener: (payload: ClientEvents[E]) => void): this {
    this.#core.transfers.events.off(event, listener)
    return this
  }

  /** Lets go of the connections. Transfers of the daemon go on; those of this process should have ended. */
  close(): void {
    this.#core.engine.store.close()
    this.#core.daemon?.connection.close()
  }
}

function profileArgs(profile: string | undefined): string[] {
  return profile === undefined ? [] : ['--profile', profile]
}

function assetIn({ body, etag }: Answer): Asset {
  return camel<Asset>(etag === undefined ? body : { ...body, etag })
}
