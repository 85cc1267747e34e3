/** How far a transfer has come. Bytes are done when the other side has them; those of an attempt that fails are taken off again. */
export interface ProgressEvent {
  transferId: string
  kind: TransferKind
  /** The file that is under way, or was the last one done. */
  fileName: string | undefined
  files: number
  filesDone: number
  bytes: number
  bytesDone: number
  /** By this run, again or not. */
  bytesMoved: number
  bytesPerSecond: number
  /** -1 while it can't be told. */
  secondsLeft: number
  /** 0 to 100. */
  percent: number
}

/** What a transfer does. */
export type TransferKind = 'upload_dataset' | 'download_dataset' | 'upload_asset' | 'download_asset'

/** To two places, and 100 only when all is done. */
export function percentOf(done: number, of: number): number {
  return done >= of ? 100 : Math.min(99.99, Math.round(done / of * 10_000) / 100)
}

/** How often progress is told, in milliseconds. */
const tickTime = 200
/** Milliseconds that the rate is taken over. */
const paceTime = 8000

/** Measures a transfer, and tells of it until it is ended. */
export class Meter {
  files = 0
  filesDone = 0
  bytes = 0
  bytesDone = 0
  bytesMoved = 0
  fileName: string | undefined
  #told = ''
  #steps: { at: number, done: number }[] = []
  readonly #timer: NodeJS.Timeout

  constructor(readonly transferId: string, readonly kind: TransferKind, private readonly tell: (event: ProgressEvent) => void) {
    this.#timer = setInterval(() => this.#tick(), tickTime)
    this.#timer.unref()
  }

  /** Notes bytes that moved, or, below 0, did so in vain. */
  moved(bytes: number): void {
    if (bytes > 0) this.bytesMoved += bytes
    this.bytesDone += bytes
  }

  /** Notes bytes that were there already. */
  have(bytes: number): void {
    this.bytesDone += bytes
  }

  /** Notes that a file is where it was to go. */
  fileDone(name: string | undefined): void {
    this.filesDone++
    this.fileName = name ?? this.fileName
    this.#tick()
  }

  /** Nothing is told afterwards. */
  end(): void {
    clearInterval(this.#timer)
    this.#tick()
  }

  now(): ProgressEvent {
    const { transferId, kind, fileName, files, filesDone, bytes, bytesDone, bytesMoved } = this
    const rate = this.#rate()
    return {
      transferId, kind, fileName, files, filesDone, bytes, bytesDone, bytesMoved,
      bytesPerSecond: Math.round(rate),
      secondsLeft: rate > 0 ? (bytes - bytesDone) / rate : -1,
      percent: percentOf(bytesDone, bytes),
    }
  }

  #rate(): number {
    const now = Date.now()
    const last = this.#steps.at(-1)
    if (!last || now - last.at >= 500) this.#steps.push({ at: now, done: this.bytesDone })
    while (this.#steps.length > 2 && now - this.#steps[0]!.at > paceTime) this.#steps.shift()
    const oldest = this.#steps[0]!
    const seconds = (now - oldest.at) / 1000
    return seconds < 0.1 ? 0 : Math.max(0, (this.bytesDone - oldest.done) / seconds)
  }

  #tick(): void {
    const state = `${this.bytesDone} ${this.filesDone} ${this.bytes} ${this.files}`
    if (state === this.#told) return
    this.#told = state
    this.tell(this.now())
  }
}
