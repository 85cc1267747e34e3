import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { ParqueueError } from './errors.js'
import { Pause } from './gate.js'
import { Meter, type ProgressEvent, type TransferKind } from './progress.js'
import { joinSignals } from './signals.js'
import type { Run } from './upload.js'

/** An upload or a download, as the daemon keeps it or this process. */
export interface Transfer {
  transferId: string
  kind: TransferKind
  state: TransferState
  createdAt: string
  /** The server's URL. */
  server?: string
  datasetId?: string
  assetId?: string
  files: number
  filesDone: number
  bytes: number
  bytesDone: number
  bytesMoved: number
  bytesPerSecond: number
  secondsLeft: number
  /** Of a failed transfer, as the API has errors. */
  error?: Record<string, unknown>
}

/** What a transfer is doing. One that waits has no key any more: resume it. */
export type TransferState = 'running' | 'paused' | 'waiting' | 'done' | 'failed' | 'cancelled'

/** A transfer that is done, and what its call answers. */
export interface CompletionEvent {
  transferId: string
  kind: TransferKind
  result: unknown
}

/** A transfer that failed or was cancelled, and what its call fails with. */
export interface FailureEvent {
  transferId: string
  kind: TransferKind
  error: unknown
}

/** What a client tells of. */
export interface ClientEvents {
  progress: ProgressEvent
  completed: CompletionEvent
  failed: FailureEvent
}

/** What a call that moves bytes takes. */
export interface TransferOptions {
  /** Hears how far the transfer has come, up to five times a second. */
  onProgress?: ((event: ProgressEvent) => void) | undefined
  /** Cancels the transfer. */
  signal?: AbortSignal | undefined
}

/** What a transfer of this process is about. */
export interface About {
  kind: TransferKind
  server?: string | undefined
  datasetId?: string
  assetId?: string
}

/** How many transfers that have ended are remembered. */
const remembered = 1000

/** The transfers of this process, and the listeners of all. */
export class Transfers {
  readonly events = new EventEmitter()
  readonly #running = new Map<string, Local>()
  readonly #ended: Transfer[] = []

  emit<E extends keyof ClientEvents>(event: E, payload: ClientEvents[E]): void {
    this.events.emit(event, payload)
  }

  /** Runs a transfer in this process. */
  async run<T>(about: About, options: TransferOptions, work: (run: Run) => Promise<T>): Promise<T> {
    options.signal?.throwIfAborted()
    const transferId = `transfer-${randomUUID()}`
    const joined = joinSignals([options.signal])
    const meter = new Meter(transferId, about.kind, (event) => {
      options.onProgress?.(event)
      this.emit('progress', event)
    })
    const local = new Local(about, meter, joined.abort)
    this.#running.set(transferId, local)
    try {
      const result = await work({ signal: joined.signal, meter, pause: local.pause })
      meter.end()
      this.#end(local, 'done')
      this.emit('completed', { transferId, kind: about.kind, result })
      return result
    } catch (error) {
      meter.end()
      this.#end(local, joined.signal.aborted ? 'cancelled' : 'failed', error)
      this.emit('failed', { transferId, kind: about.kind, error })
      throw error
    } finally {
      joined.release()
      joined.abort(new ParqueueError('cancelled', 'The transfer has ended.')) // lets go of what still waits for it
    }
  }

  #end(local: Local, state: TransferState, error?: unknown): void {
    this.#running.delete(local.meter.transferId)
    const row = local.row(state)
    if (error instanceof ParqueueError) row.error = { code: error.code, error: error.message, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) }
    this.#ended.push(row)
    if (this.#ended.length > remembered) this.#ended.shift()
  }

  list(): Transfer[] {
    return [...this.#ended, ...[...this.#running.values()].map((local) => local.row())]
  }

  change(transferId: string, change: 'pause' | 'resume' | 'cancel'): Transfer {
    const local = this.#running.get(transferId)
    if (!local) throw new ParqueueError('transfer_not_found', 'No such transfer runs in this process.', { hint: 'listTransfers names those that do.' })
    if (change === 'cancel') {
      local.abort(new ParqueueError('cancelled', 'The transfer was cancelled.'))
      return local.row('cancelled')
    }
    local.pause[change]()
    return local.row()
  }
}

/** A transfer that runs here. */
class Local {
  readonly pause = new Pause()
  readonly #createdAt = new Date().toISOString()

  constructor(private readonly about: About, readonly meter: Meter, readonly abort: (reason: unknown) => void) {}

  row(state?: TransferState): Transfer {
    const { kind, server, datasetId, assetId } = this.about
    const { transferId, files, filesDone, bytes, bytesDone, bytesMoved, bytesPerSecond, secondsLeft } = this.meter.now()
    const row: Transfer = {
      transferId, kind, state: state ?? (this.pause.paused ? 'paused' : 'running'), createdAt: this.#createdAt,
      files, filesDone, bytes, bytesDone, bytesMoved, bytesPerSecond, secondsLeft,
    }
    if (server !== undefined) row.server = server
    if (datasetId !== undefined) row.datasetId = datasetId
    if (assetId !== undefined) row.assetId = assetId
    return row
  }
}
