// What a user writes, compiled in strict mode; lines below a @ts-expect-error must not compile.
import { Readable } from 'node:stream'
import { ApiError, ParqueueError, connect, type Client, type Dataset, type ProgressEvent, type Transfer } from 'parqueue'

export async function all(signal: AbortSignal): Promise<void> {
  const client: Client = await connect({ mode: 'direct', url: 'https://example.com/Prod', apiKey: 'pq_live_x', retry: { patience: 1000 }, signal })
  client.on('progress', (event) => { const percent: number = event.percent; void percent })
    .once('completed', ({ transferId, result }) => { void [transferId.length, result] })
    .off('failed', ({ error }: { error: unknown }) => { void error })
  const dataset: Dataset = await client.datasets.create({ name: 'week 47', metadata: { team: 'a' } })
  const show = (event: ProgressEvent): void => { console.log(event.fileName?.length, event.bytesDone, event.secondsLeft) }
  const { uploadedCount, lastPosition } = await client.datasets.upload(dataset.datasetId, [
    'days', new Uint8Array(1), { source: new Blob(['x']), fileName: 'x.parquet' }, { source: Readable.from([]), fileName: 'y', sizeBytes: 0 },
  ], { onProgress: show, signal, resume: true })
  const total: number = uploadedCount + (lastPosition ?? 0)
  for await (const file of client.datasets.open(dataset.datasetId)) console.log(file.url.length, file.position + total)
  const names: string[] = (await client.datasets.files(dataset.datasetId).all()).map((file) => file.fileName)
  const bytes: Uint8Array = await client.datasets.bytes(dataset.datasetId, names[0] ?? '', { range: { start: -8 } })
  for await (const chunk of client.datasets.stream(dataset.datasetId, 'x')) console.log(chunk.length + bytes.length)
  const { assetId } = await client.assetUpload('model.bin', { ownerType: 'project', ownerId: 'p', title: 'A', tags: ['x'], metadata: { a: [1] } })
  const asset = await client.getMetadata(assetId)
  await client.setMetadata(assetId, { title: null }, { ifMatch: asset.etag })
  await client.assetDownload(assetId, { to: '.', version: 1 })
  const transfers: Transfer[] = await client.listTransfers()
  await client.pauseTransfer(transfers[0]?.transferId ?? '', { signal })
  try {
    await client.authCheck()
  } catch (error) {
    if (error instanceof ApiError) console.log(error.kind === 'unauthorized', error.status)
    if (error instanceof ParqueueError) console.log(error.code, error.hint?.length, error.details, error.cause)
  }
  // @ts-expect-error: not a mode
  await connect({ mode: 'both' })
  // @ts-expect-error: no such event
  client.on('error', () => undefined)
  // @ts-expect-error: an owner is a project or a collection
  await client.assetUpload('x', { ownerType: 'team', ownerId: 'p' })
  // @ts-expect-error: no source
  await client.datasets.upload(dataset.datasetId, 7)
  // @ts-expect-error: a folder is needed
  await client.datasets.download(dataset.datasetId, {})
}
