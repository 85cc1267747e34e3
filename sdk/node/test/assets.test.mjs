// Assets, in direct mode against the compiled server.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { connect } from 'parqueue'
import { binary, direct, folder, later, parquet, proxy, quick, rejects, serve, suite } from './support.mjs'

const MiB = 1 << 20

describe('assets', { timeout: 60_000 }, () => {
  let server
  const owner = suite(after)
  const large = Buffer.alloc(12 * MiB).map((_, i) => i * 7 ^ i >> 8)
  before(async () => { server = await serve(owner) })

  test('any file goes up, is described, gets new content and comes back', async (t) => {
    const client = await direct(t, server)
    const dir = folder(t)
    const path = join(dir, 'model.bin')
    writeFileSync(path, large)
    const events = []
    client.on('completed', (event) => events.push(event))
    const metadata = { snake_case: { camelCase: [1] } }
    const made = await client.assetUpload(path, { ownerType: 'project', ownerId: 'reports', title: 'Model', description: 'of today', alias: 'latest', tags: ['final'], metadata, partSize: 5 * MiB })
    assert.deepEqual([made.version, made.fileName, made.uploadedBytes, made.sentBytes], [1, 'model.bin', large.length, large.length])
    assert.deepEqual(events.map((event) => [event.kind, event.result]), [['upload_asset', made]])
    const asset = await client.getMetadata(made.assetId)
    assert.deepEqual([asset.title, asset.description, asset.alias, asset.tags, asset.metadata, asset.ownerType, asset.ownerId, asset.version], ['Model', 'of today', 'latest', ['final'], metadata, 'project', 'reports', 1])
    assert.deepEqual((await client.listAssets({ tag: 'final' }).all()).map((row) => row.assetId), [made.assetId])

    const changed = await client.setMetadata(made.assetId, { title: 'Model 2', tags: null }, { ifMatch: asset.etag })
    assert.deepEqual([changed.title, changed.tags, changed.description], ['Model 2', [], 'of today'])
    const error = await rejects(client.setMetadata(made.assetId, { title: 'late' }, { ifMatch: asset.etag }), 'asset_changed')
    assert.deepEqual([error.status, error.kind], [412, 'conflict'])

    const back = await client.assetDownload(made.assetId, { to: join(dir, 'back') })
    assert.deepEqual([back.path, back.version, back.sizeBytes, back.skipped], [join(dir, 'back', 'model.bin'), 1, large.length, false])
    assert.ok(large.equals(readFileSync(back.path)))
    assert.equal((await client.assetDownload(made.assetId, { to: join(dir, 'back') })).skipped, true)
    writeFileSync(back.path, 'mine')
    await rejects(client.assetDownload(made.assetId, { to: join(dir, 'back') }), 'file_exists')
    await client.assetDownload(made.assetId, { to: join(dir, 'back'), overwrite: true })
    assert.ok(large.equals(readFileSync(back.path)))
    await rejects(client.assetDownload(made.assetId, { to: dir, version: 7 }), 'asset_not_found')

    const next = await client.assetUpload(Readable.from(['new ', 'content']), { assetId: made.assetId, fileName: 'model.txt' })
    assert.deepEqual([next.assetId, next.version], [made.assetId, 2])
    assert.equal(String(Buffer.from(await client.assetBytes(made.assetId))), 'new content')
    assert.equal(String(Buffer.from(await client.assetBytes(made.assetId, { range: { start: -7, end: -1 } }))), 'conten')
    assert.ok(large.equals(await client.assetBytes(made.assetId, { version: 1 })))
    const chunks = []
    for await (const chunk of client.assetStream(made.assetId, { version: 1, range: { start: 5 } })) chunks.push(chunk)
    assert.ok(large.subarray(5).equals(Buffer.concat(chunks)))
    assert.deepEqual((await client.assetVersions(made.assetId).all()).map((content) => [content.version, content.fileName]), [[2, 'model.txt'], [1, 'model.bin']])
    await client.assetDelete(made.assetId)
    await rejects(client.getMetadata(made.assetId), 'asset_not_found')
  })

  test('the daemon carries them too', async (t) => {
    process.env.PARQUEUE_STATE_DIR = join(folder(t), 'state')
    later(t, async () => await promisify(execFile)(binary, ['daemon', 'stop']).catch(() => undefined))
    const client = await connect({ binaryPath: binary, url: server.url, apiKey: server.apiKey, retry: quick })
    later(t, () => client.close())
    const dir = folder(t)
    const path = join(dir, 'model.bin')
    writeFileSync(path, large)
    const made = await client.assetUpload(path, { ownerType: 'project', ownerId: 'daemon', title: 'Model', tags: ['a'], metadata: { x: 1 } })
    assert.deepEqual([made.version, made.fileName, made.uploadedBytes], [1, 'model.bin', large.length])
    const asset = await client.getMetadata(made.assetId)
    assert.deepEqual([asset.title, asset.tags, asset.metadata], ['Model', ['a'], { x: 1 }])
    await rejects(client.setMetadata(made.assetId, { title: 'x' }, { ifMatch: '"other"' }), 'asset_changed')
    const next = await client.assetUpload(Buffer.from('bytes'), { assetId: made.assetId, fileName: 'model.bin' })
    assert.equal(next.version, 2)
    const back = await client.assetDownload(made.assetId, { to: join(dir, 'back'), version: 1 })
    assert.deepEqual([back.path, back.version, back.sizeBytes], [join(dir, 'back', 'model.bin'), 1, large.length])
    assert.ok(large.equals(readFileSync(back.path)))
    assert.equal((await client.assetBytes(made.assetId)).length, 5)
    await rejects(client.assetDownload('file-00000000-0000-7000-8000-000000000000', { to: dir }), 'asset_not_found')
  })

  test('an empty file is one too', async (t) => {
    const client = await direct(t, server)
    const { assetId } = await client.assetUpload(new Blob([]), { fileName: 'empty', ownerType: 'project', ownerId: 'p' })
    assert.equal((await client.assetBytes(assetId)).length, 0)
    const { path } = await client.assetDownload(assetId, { to: folder(t) })
    assert.equal(readFileSync(path).length, 0)
  })

  test('a file of a dataset is an asset', async (t) => {
    const client = await direct(t, server)
    const { datasetId } = await client.datasets.create()
    const { one, other } = await parquet(folder(t), { one: 10, other: -10 })
    const { assetId } = await client.assetUpload(one, { ownerType: 'collection', ownerId: datasetId, title: 'First' })
    const [file] = await client.datasets.files(datasetId).all()
    assert.deepEqual([file.fileId, file.fileName], [assetId, 'one.parquet'])
    assert.equal((await client.getMetadata(assetId)).title, 'First')
    await rejects(client.assetUpload(other, { ownerType: 'collection', ownerId: datasetId }), 'schema_mismatch')
    await rejects(client.assetUpload(one, { ownerType: 'project', ownerId: 'a/b' }), 'invalid_request')
  })

  test('an upload goes on by its id', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between, { connections: 1 })
    const controller = new AbortController()
    let uploadId
    between.store = (_request, before) => { if (before === 2) controller.abort(new Error('off')) }
    const options = { fileName: 'x', ownerType: 'project', ownerId: 'p', partSize: 5 * MiB }
    await assert.rejects(client.assetUpload(large, { ...options, signal: controller.signal, onUpload: (upload) => { uploadId = upload.uploadId } }), { message: 'off' })
    let puts = 0
    between.store = ({ method }) => { if (method === 'PUT') puts++ }
    const { assetId } = await client.assetUpload(large, { ...options, uploadId })
    assert.equal(puts, 1) // of three parts
    assert.ok(large.equals(await client.assetBytes(assetId)))
  })
})
