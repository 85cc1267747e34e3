import { setMaxListeners } from 'node:events'

/** A signal of several, and what lets go of them. AbortSignal.any is not in Node 18. */
export interface JoinedSignal {
  readonly signal: AbortSignal
  /** Ends it. */
  abort(reason?: unknown): void
  /** Lets go of the signals that it follows; call it when the work is done. */
  release(): void
}

/** Is aborted as soon as one of the signals is, or after a time. */
export function joinSignals(signals: readonly (AbortSignal | undefined)[], timeout?: { ms: number, reason: () => unknown }): JoinedSignal {
  const controller = manyListeners()
  const undo: (() => void)[] = []
  for (const signal of signals) {
    if (!signal) continue
    if (signal.aborted) controller.abort(signal.reason)
    const follow = (): void => controller.abort(signal.reason)
    signal.addEventListener('abort', follow, { once: true })
    undo.push(() => signal.removeEventListener('abort', follow))
  }
  if (timeout) {
    const timer = setTimeout(() => controller.abort(timeout.reason()), timeout.ms)
    undo.push(() => clearTimeout(timer))
  }
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release: () => { for (const f of undo.splice(0)) f() },
  }
}

/** A controller whose signal as many may listen to as there are parts under way; they all let go. */
export function manyListeners(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}
