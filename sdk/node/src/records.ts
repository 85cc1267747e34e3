/**
 * What the API and the daemon answer, with names as JavaScript writes them. Only
 * an object's own names are changed: metadata, schemas and errors stay as they
 * are. Times are text, as in the API.
 */

/** A column of a schema, as the API has it. */
export type SchemaField = Record<string, unknown> & { name: string, type: string }

/** A dataset. A listing leaves version, nextPosition and metadata out. */
export interface Dataset {
  datasetId: string
  name: string | null
  createdAt: string
  updatedAt: string
  fileCount: number
  rowCount: number
  totalSizeBytes: number
  /** Without fields before the first file. */
  schema: { fields: SchemaField[] }
  version?: number
  nextPosition?: number
  metadata?: Record<string, unknown> | null
}

/** A file of a dataset. */
export interface DatasetFile {
  fileName: string
  fileId: string
  position: number
  sizeBytes: number
  rowCount: number
  /** CRC-64/NVME, in base64. */
  checksumCrc64nvme: string
  uploadedAt: string
}

/** A dataset that was deleted: its bytes go in the background. */
export interface DatasetDeletion {
  datasetId: string
  state: string
  fileCount: number
  totalSizeBytes: number
}

/** An asset: a file of any format, with what is said of it. */
export interface Asset {
  assetId: string
  ownerType: OwnerType
  ownerId: string
  /** The file's name where nothing else was said. */
  title: string
  description: string
  alias: string
  tags: string[]
  /** Not in listings. */
  metadata?: Record<string, unknown>
  fileName: string
  sizeBytes: number
  checksumCrc64nvme: string
  version: number
  createdAt: string
  updatedAt: string
  /** Changes with every change of the asset; see setMetadata's ifMatch. */
  etag: string
}

/** A version of an asset's content. */
export interface AssetContent {
  version: number
  fileName: string
  sizeBytes: number
  checksumCrc64nvme: string
  createdAt: string
}

/** Who an asset belongs to. A collection with a dataset's id is that dataset. */
export type OwnerType = 'project' | 'collection'

/** Makes a record of the API one of JavaScript. */
export function camel<T>(row: Record<string, unknown>): T {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase()), value])) as T
}

/** Rows of an answer, each as a record of JavaScript. */
export function camelRows<T>(rows: unknown): T[] {
  return Array.isArray(rows) ? rows.map((row) => camel<T>(row as Record<string, unknown>)) : []
}

/** Leaves out what is undefined, as JSON does, and exactOptionalPropertyTypes wants. */
export function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** Rows that come page by page. */
export class Listing<T> implements AsyncIterable<T> {
  readonly #pages: () => AsyncIterable<T[]>

  constructor(pages: () => AsyncIterable<T[]>) {
    this.#pages = pages
  }

  async * [Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.#pages()) yield * page
  }

  /** All rows at once. */
  async all(): Promise<T[]> {
    const rows: T[] = []
    for await (const page of this.#pages()) {
      for (const row of page) rows.push(row)
    }
    return rows
  }
}
