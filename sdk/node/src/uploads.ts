import { newKey, type Api } from './api.js'
import type { CallOptions } from './datasets.js'
import { camel, camelRows, defined, type DatasetFile } from './records.js'

/** A file on its way. */
export interface Upload {
  uploadId: string
  /** The asset's id, of an upload of an asset. */
  assetId?: string
  /** Of an asset's content, once complete. */
  version?: number
  fileName: string
  sizeBytes: number
  partSize: number
  partCount: number
  state: 'open' | 'complete' | 'appended' | 'aborted' | 'expired'
  createdAt: string
  expiresAt: string
  /** CRC-64/NVME in base64, once complete. */
  checksumCrc64nvme?: string
  /** That arrived, of the stretch that was asked for. */
  parts?: { partNumber: number, sizeBytes: number }[]
  /** Of the same stretch: each takes one part, by PUT. */
  partUrls?: PartUrl[]
  /** Where the next stretch begins. */
  nextPartsFrom?: number
}

/** Where one part goes, by PUT with exactly its size. */
export interface PartUrl {
  partNumber: number
  offset: number
  sizeBytes: number
  url: string
  /** All of which have to be sent with it. There are some if the file goes as one. */
  headers?: Record<string, string>
}

/** What is to be uploaded to a dataset. */
export interface NewUpload {
  fileName: string
  sizeBytes: number
  /** From 5 MiB; the server chooses without it. */
  partSize?: number | undefined
  /** Whether the headers of a PartUrl will be sent: a file of one part may go as one then, and is refused with 412 the second time. */
  singlePut?: boolean | undefined
}

/** Uploads step by step, for those who carry the parts in their own way; `datasets.upload` does all of this. */
export class Uploads {
  readonly #api: Api

  /** @internal */
  constructor(api: Api) {
    this.#api = api
  }

  /** Begins a file. Under the same key it is the same upload, however often it is called. */
  async create(datasetId: string, { fileName, sizeBytes, partSize, singlePut }: NewUpload, { idempotencyKey = newKey(), signal }: CallOptions & { idempotencyKey?: string | undefined } = {}): Promise<Upload> {
    const request = defined({ dataset_id: datasetId, file_name: fileName, size_bytes: sizeBytes, part_size: partSize, single_put: singlePut })
    return uploadIn((await this.#api.call('create-upload', { request, idempotencyKey, signal })).body)
  }

  /** Tells how far an upload has come: up to limit parts (100) from one on. */
  async get(uploadId: string, { partsFrom, limit, signal }: CallOptions & { partsFrom?: number | undefined, limit?: number | undefined } = {}): Promise<Upload> {
    const request = defined({ upload_id: uploadId, parts_from: partsFrom, limit })
    return uploadIn((await this.#api.call('get-upload', { request, signal })).body)
  }

  /** Makes the parts a file that can be appended, if it has the checksum. It has no second effect. */
  async complete(uploadId: string, { checksum, signal }: CallOptions & { checksum?: string | undefined } = {}): Promise<Upload> {
    const request = defined({ upload_id: uploadId, checksum, append: false })
    return uploadIn((await this.#api.call('complete-upload', { request, signal })).body)
  }

  /** Appends complete uploads in the order given, up to 1,000: files that are there already count as done. */
  async append(datasetId: string, uploadIds: string[], { signal }: CallOptions = {}): Promise<DatasetFile[]> {
    const request = { dataset_id: datasetId, upload_ids: uploadIds }
    return camelRows<DatasetFile>((await this.#api.call('append-files', { request, signal })).body.files)
  }

  /** Gives an upload up and removes its bytes. It has no second effect. */
  async abort(uploadId: string, { signal }: CallOptions = {}): Promise<Upload> {
    return uploadIn((await this.#api.call('abort-upload', { request: { upload_id: uploadId }, signal })).body)
  }
}

/** An upload of an answer. */
export function uploadIn(body: Record<string, unknown>): Upload {
  const upload = camel<Upload>(body)
  if (upload.parts) upload.parts = camelRows(upload.parts)
  if (upload.partUrls) upload.partUrls = camelRows(upload.partUrls)
  return upload
}
