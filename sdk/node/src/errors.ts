/**
 * What goes wrong is a ParqueueError with a `code` that never changes:
 *
 *     ParqueueError
 *     ├── ApiError        the server refused; the codes are the API's
 *     ├── NetworkError    no whole answer came: "unavailable"
 *     ├── ChecksumError   bytes that came are not those that were sent: "checksum_mismatch"
 *     └── DaemonError     the daemon can't be found, started or spoken to
 *
 * Whatever is aborted fails with its signal's reason, as with fetch.
 */

/** Details of an error, besides its code and sentence. */
export interface ErrorInfo {
  /** What to do next. */
  hint?: string | undefined
  /** What was caught. */
  cause?: unknown
  /** Further members of the API's answer, as it has them. */
  details?: Record<string, unknown> | undefined
}

/** The base of all errors of this package. */
export class ParqueueError extends Error {
  /** A word that programs branch on; it never changes its meaning. */
  readonly code: string
  /** What to do next. */
  readonly hint: string | undefined
  /** Further members of the API's answer, such as `diff` with `schema_mismatch`. */
  readonly details: Record<string, unknown>

  constructor(code: string, message: string, info: ErrorInfo = {}) {
    super(message, info.cause === undefined ? undefined : { cause: info.cause })
    this.name = new.target.name
    this.code = code
    this.hint = info.hint
    this.details = info.details ?? {}
  }
}

/** What kind of refusal a code is: there are more codes than programs want to know. */
export type ErrorKind = 'unauthorized' | 'forbidden' | 'not_found' | 'schema_mismatch' | 'conflict' | 'invalid_file' | 'checksum_mismatch' | 'too_large' | 'invalid_request' | 'unavailable' | 'internal'

function kindOf(code: string, status: number): ErrorKind {
  if (code === 'schema_mismatch' || code === 'checksum_mismatch') return code
  if (['not_parquet', 'truncated_parquet', 'invalid_parquet', 'encrypted_parquet', 'parquet_limit', 'unsupported_parquet'].includes(code)) return 'invalid_file'
  switch (status) {
    case 401: return 'unauthorized'
    case 403: return 'forbidden'
    case 404: return 'not_found'
    case 409: case 412: return 'conflict'
    case 413: return 'too_large'
    case 429: case 502: case 503: case 504: return 'unavailable'
  }
  return status >= 500 ? 'internal' : 'invalid_request'
}

/** The server refused. */
export class ApiError extends ParqueueError {
  readonly kind: ErrorKind
  /** The HTTP status. */
  readonly status: number
  /** What the operator finds the request by in the logs. */
  readonly requestId: string | undefined

  constructor(code: string, message: string, status: number, info: ErrorInfo & { requestId?: string | undefined } = {}) {
    super(code, message, info)
    this.kind = kindOf(code, status)
    this.status = status
    this.requestId = info.requestId
  }
}

/** No whole answer came, however often it was tried. */
export class NetworkError extends ParqueueError {
  constructor(message: string, info: ErrorInfo = {}) {
    super('unavailable', message, info)
  }
}

/** The bytes that came are not those that were sent. */
export class ChecksumError extends ParqueueError {
  constructor(message: string, info: ErrorInfo = {}) {
    super('checksum_mismatch', message, info)
  }
}

/** The daemon can't be found (`daemon_not_found`), started or spoken to (`daemon_failed`), or speaks another protocol (`protocol_mismatch`). */
export class DaemonError extends ParqueueError {}

/** An API error's JSON, as an error; undefined when it is none. */
export function errorFromBody(body: unknown, status: number, requestId?: string | undefined): ApiError | undefined {
  if (!isRecord(body)) return undefined
  const { code, error, message, hint, ...details } = body
  const sentence = typeof error === 'string' && error !== '' ? error : message
  if (typeof code !== 'string' || code === '' || typeof sentence !== 'string' || sentence === '') return undefined
  return new ApiError(code, sentence, status, { hint: typeof hint === 'string' ? hint : undefined, details, requestId })
}

/** Whether a value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
