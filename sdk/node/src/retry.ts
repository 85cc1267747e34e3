import { setTimeout as wait } from 'node:timers/promises'

/**
 * How what failed is tried again: after waits that grow and are drawn at random,
 * so that many clients don't come back at once. Times are in milliseconds.
 */
export interface RetryOptions {
  /** Upper bound of the first wait (200). */
  first?: number
  /** Upper bound of every wait (15,000). */
  most?: number
  /** From the first failure on; after it no new try begins (300,000). */
  patience?: number
}

/** RetryOptions with everything said. */
export type RetryPolicy = Required<RetryOptions>

/** A laptop that is carried to another room goes on; a server that is gone is given up after minutes. */
export const usualRetry: RetryPolicy = { first: 200, most: 15_000, patience: 300_000 }

/** Marks an error after which the same may be tried again. */
export class Again extends Error {
  readonly error: unknown
  /** To wait at least, in milliseconds. */
  readonly after: number
  /** How often it may fail like this, in whatever other ways it fails besides. */
  readonly tries: number

  constructor(error: unknown, { after = 0, tries = Infinity } = {}) {
    super('to be tried again', { cause: error })
    this.error = error
    this.after = after
    this.tries = tries
  }
}

/**
 * Calls `attempt` until it succeeds, fails with an error that isn't marked by
 * Again, or the patience or the signal ends. The error is the last one without
 * its mark, or the signal's reason.
 */
export async function retrying<T>(policy: RetryPolicy, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
  let bound = policy.first
  let failingSince: number | undefined
  for (let few = 0; ;) {
    signal?.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof Again)) throw error
      const now = Date.now()
      failingSince ??= now
      const pause = Math.max(Math.random() * bound, error.after)
      if (error.tries < Infinity) few++
      if (now + pause - failingSince > policy.patience || few >= error.tries) throw error.error
      await sleep(pause, signal)
      bound = Math.min(2 * bound, policy.most)
    }
  }
}

/** Bounds what a Retry-After may ask for. */
const longestWait = 60_000

/** The milliseconds of a Retry-After; S3, API Gateway and Parqueue send seconds and no dates. */
export function retryAfter(header: string | undefined): number {
  const seconds = Number(header)
  return header !== undefined && seconds > 0 ? Math.min(seconds * 1000, longestWait) : 0
}

/** Waits; ends with the signal's reason. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await wait(milliseconds, undefined, signal ? { signal } : {})
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
