import { manyListeners } from './signals.js'
import { abortable } from './source.js'

/** Lets so many through at once, in the order that they came, and none while it is paused. */
export class Gate {
  #free: number
  #waiting: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  /** Waits for a place; give it back with release. Fails with the signal's reason. */
  async acquire(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.#free > 0) {
      this.#free--
      return
    }
    let turn: () => void = () => undefined
    const mine = new Promise<void>((resolve) => { turn = resolve })
    this.#waiting.push(turn)
    try {
      await abortable(mine, signal)
    } catch (error) {
      const at = this.#waiting.indexOf(turn)
      if (at < 0) this.release() // the turn came at the same time
      else this.#waiting.splice(at, 1)
      throw error
    }
  }

  release(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}

/** What can be made to wait. */
export class Pause {
  #paused: Promise<void> | undefined
  #resume: () => void = () => undefined

  get paused(): boolean {
    return this.#paused !== undefined
  }

  pause(): void {
    this.#paused ??= new Promise((resolve) => { this.#resume = resolve })
  }

  resume(): void {
    this.#paused = undefined
    this.#resume()
  }

  /** Waits until it isn't paused. */
  async passed(signal?: AbortSignal): Promise<void> {
    while (this.#paused) await abortable(this.#paused, signal)
  }
}

/**
 * Runs work on each item, so many at once. The first error aborts the others,
 * which are waited for, and is the one that is thrown.
 */
export async function forEach<T>(items: Iterable<T> | AsyncIterable<T>, atOnce: number, signal: AbortSignal, work: (item: T, signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = manyListeners()
  const follow = (): void => controller.abort(signal.reason)
  if (signal.aborted) follow()
  signal.addEventListener('abort', follow, { once: true })
  const running = new Set<Promise<void>>()
  let failed: { error: unknown } | undefined
  try {
    for await (const item of items) {
      if (controller.signal.aborted) break
      const one = work(item, controller.signal).catch((error: unknown) => {
        failed ??= { error }
        controller.abort(error)
      }).finally(() => running.delete(one))
      running.add(one)
      if (running.size >= atOnce) await Promise.race(running)
    }
  } catch (error) {
    failed ??= { error }
    controller.abort(error)
  } finally {
    await Promise.all(running)
    signal.removeEventListener('abort', follow)
  }
  signal.throwIfAborted()
  if (failed) throw failed.error
}
