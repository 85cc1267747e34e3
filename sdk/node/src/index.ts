/**
 * Parqueue from Node: datasets, which are ordered sequences of Parquet files with
 * one schema, and assets, which are files of any format.
 */
export { connect, type Client, type ConnectOptions, type AuthStatus, type LoginOptions, type AssetFields, type AssetFilter, type AssetUploadOptions, type AssetUpload, type AssetVersion, type AssetDownloadOptions, type AssetDownload } from './client.js'
export type { Datasets, CallOptions, CreateDataset, NamedSource, DatasetUploadOptions, DatasetUpload, DatasetDownloadOptions, DatasetDownload, FileReadOptions, OpenFile } from './datasets.js'
export type { Uploads, Upload, NewUpload, PartUrl } from './uploads.js'
export { ParqueueError, ApiError, NetworkError, ChecksumError, DaemonError, type ErrorKind } from './errors.js'
export type { Dataset, DatasetFile, DatasetDeletion, Asset, AssetContent, OwnerType, SchemaField, Listing } from './records.js'
export type { Transfer, TransferState, TransferOptions, ClientEvents, CompletionEvent, FailureEvent } from './transfers.js'
export type { ProgressEvent, TransferKind } from './progress.js'
export type { RetryOptions } from './retry.js'
export type { ByteRange, Located } from './download.js'
export type { Source } from './source.js'
