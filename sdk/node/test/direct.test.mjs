// Direct mode against the compiled server.
import assert from 'node:assert/strict'
import { createReadStream, createWriteStream, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ReadableStream } from 'node:stream/web'
import { after, before, describe, test } from 'node:test'
import { ApiError, NetworkError, ParqueueError, connect } from 'parqueue'
import { direct, folder, later, parquet, proxy, quick, rejects, revocable, serve, suite } from './support.mjs'

const MiB = 1 << 20

describe('direct mode', { timeout: 60_000 }, () => {
  let server
  let paths
  let large
  const owner = suite(after)
  const warnings = []
  process.on('warning', (warning) => warnings.push(warning))
  after(() => assert.deepEqual(warnings.filter((warning) => warning.name !== 'ExperimentalWarning'), []))
  before(async () => {
    server = await serve(owner)
    paths = await parquet(folder(owner), { 'part-1': 100, 'part-2': 200, 'part-10': 300, 'large': 3_000_000, 'float': -10 })
    large = readFileSync(paths.large)
  })
  const named = async (client) => (await client.datasets.create()).datasetId
  const names = async (client, id) => (await client.datasets.files(id).all()).map((file) => file.fileName)

  test('says whom a key belongs to', async (t) => {
    const client = await direct(t, server)
    assert.deepEqual(await client.authCheck(), { authenticated: true, tenant: 'local', scopes: ['admin'] })
    const wrong = await direct(t, { ...server, apiKey: 'pq_live_wrong' })
    const error = await rejects(wrong.authCheck(), 'unauthorized')
    assert.ok(error instanceof ApiError && error instanceof ParqueueError && error.status === 401 && error.hint !== undefined)
    await rejects((await direct(t, { url: 'http://127.0.0.1:1', apiKey: 'k' }, { retry: { first: 1, most: 1, patience: 5 } })).authCheck(), 'unavailable')
  })

  test('signs in and out', async (t) => {
    const config = process.env.PARQUEUE_CONFIG_DIR
    process.env.PARQUEUE_CONFIG_DIR = folder(t)
    later(t, () => { process.env.PARQUEUE_CONFIG_DIR = config ?? '' })
    const client = await connect({ mode: 'direct' })
    await rejects(client.authCheck(), 'unauthorized')
    await rejects(client.login({ url: server.url, apiKey: 'pq_live_wrong' }), 'unauthorized')
    assert.equal((await client.login(server)).tenant, 'local')
    assert.equal((await client.authCheck()).tenant, 'local')
    await client.logout()
    await rejects(client.authCheck(), 'unauthorized')

    // As the command line has signed in; its file is for its owner alone.
    const file = join(process.env.PARQUEUE_CONFIG_DIR, 'profiles.json')
    writeFileSync(file, JSON.stringify({ profiles: { default: { url: server.url, key: server.apiKey } } }), { mode: 0o600 })
    assert.equal((await (await connect({ mode: 'direct' })).authCheck()).tenant, 'local')
    await rejects((await connect({ mode: 'direct', url: 'http://127.0.0.1:1' })).authCheck(), 'unauthorized')
    await rejects((await connect({ mode: 'direct', profile: 'other' })).authCheck(), 'unauthorized')
    const open = join(folder(t), 'profiles.json')
    writeFileSync(open, readFileSync(file), { mode: 0o644 })
    process.env.PARQUEUE_CONFIG_DIR = join(open, '..')
    await rejects(connect({ mode: 'direct' }), 'invalid_request')
  })

  test('datasets are created, listed, shown and deleted', async (t) => {
    const client = await direct(t, server)
    const metadata = { snake_case: { camelCase: 1 } }
    const made = await client.datasets.create({ name: 'week 47', metadata })
    const shown = await client.datasets.get(made.datasetId)
    assert.deepEqual([shown.name, shown.metadata, shown.fileCount, shown.schema], ['week 47', metadata, 0, { fields: [] }])
    assert.ok((await client.datasets.list().all()).some((row) => row.datasetId === made.datasetId))
    await rejects(client.datasets.delete(made.datasetId, { ifVersion: 99 }), 'version_mismatch')
    assert.equal((await client.datasets.delete(made.datasetId, { ifVersion: shown.version })).state, 'deleting')
    await rejects(client.datasets.get(made.datasetId), 'dataset_not_found')
  })

  test('every kind of source arrives byte for byte, in the order given', async (t) => {
    const client = await direct(t, server)
    const id = await named(client)
    const done = await client.datasets.upload(id, [
      { source: createReadStream(paths.large), fileName: 'readable' },
      { source: large, fileName: 'buffer' },
      { source: new Blob([large.subarray(0, 1000), large.subarray(1000)]), fileName: 'blob' },
      { source: new Blob([large]).stream(), fileName: 'stream' },
      { source: Readable.from([large.subarray(0, 7), large.subarray(7)]), fileName: 'sized', sizeBytes: large.length },
      { source: large.buffer.slice(large.byteOffset, large.byteOffset + large.length), fileName: 'arraybuffer' },
      paths['part-10'], paths['part-1'],
    ], { partSize: 5 * MiB })
    assert.deepEqual([done.uploadedCount, done.skippedCount, done.firstPosition, done.lastPosition], [8, 0, 0, 7])
    assert.deepEqual(await names(client, id), ['readable', 'buffer', 'blob', 'stream', 'sized', 'arraybuffer', 'part-10.parquet', 'part-1.parquet'])
    for (const name of ['readable', 'buffer', 'blob', 'stream', 'sized', 'arraybuffer']) assert.ok(large.equals(await client.datasets.bytes(id, name)), name)
    await rejects(client.datasets.upload(id, { source: Readable.from([large]), fileName: 'short', sizeBytes: large.length + 1 }), 'invalid_request')
    await rejects(client.datasets.upload(id, { source: Readable.from([large, 'x']), fileName: 'long', sizeBytes: large.length }), 'invalid_request')
    await rejects(client.datasets.upload(id, { source: Readable.from([large]) }), 'invalid_request')
    await rejects(client.datasets.upload(id, '/nowhere'), 'invalid_request')
    assert.equal((await names(client, id)).length, 8)
  })

  test('a folder goes up in natural order and comes back with it', async (t) => {
    const client = await direct(t, server)
    const id = await named(client)
    const dir = folder(t)
    await mkdir(join(dir, 'days', '_temporary'), { recursive: true })
    for (const name of ['part-10', 'part-2', 'part-1']) await cp(paths[name], join(dir, 'days', `${name}.parquet`))
    await cp(paths.float, join(dir, 'days', '_temporary', 'x.parquet'))
    const events = []
    client.on('progress', (event) => events.push(event)).on('completed', (event) => events.push(event))
    await client.datasets.upload(id, join(dir, 'days'))
    const order = ['part-1.parquet', 'part-2.parquet', 'part-10.parquet']
    assert.deepEqual(await names(client, id), order)
    assert.equal(events.at(-1).result.uploadedCount, 3)
    assert.deepEqual([events.at(-2).percent, events.at(-2).filesDone], [100, 3])

    const back = join(dir, 'back')
    assert.equal((await client.datasets.download(id, { to: back })).downloadedCount, 3)
    assert.deepEqual(readdirSync(back).sort(), ['_order.json', ...order].sort())
    assert.deepEqual(JSON.parse(readFileSync(join(back, '_order.json'), 'utf8')), order)
    assert.ok(readFileSync(paths['part-10']).equals(readFileSync(join(back, 'part-10.parquet'))))
    const again = await client.datasets.download(id, { to: back })
    assert.deepEqual([again.downloadedCount, again.skippedCount, again.receivedBytes], [0, 3, 0])
    writeFileSync(join(back, 'part-1.parquet'), 'mine')
    await rejects(client.datasets.download(id, { to: back }), 'file_exists')
    assert.equal(readFileSync(join(back, 'part-1.parquet'), 'utf8'), 'mine')
    await client.datasets.download(id, { to: back, files: ['part-1.parquet'], overwrite: true })
    assert.ok(readFileSync(paths['part-1']).equals(readFileSync(join(back, 'part-1.parquet'))))
    await rejects(client.datasets.download(id, { to: back, files: ['part-3.parquet'] }), 'file_not_found')
    await rejects(client.datasets.download(id, { to: join(back, 'part-1.parquet', 'below') }), 'invalid_request')
  })

  test('open gives URLs in order, and ranges of files', async (t) => {
    const client = await direct(t, server)
    const id = await named(client)
    await client.datasets.upload(id, [paths['part-10'], paths['part-2'], paths.large])
    const open = await client.datasets.open(id).all()
    assert.deepEqual(open.map((file) => [file.position, file.fileName]), [[0, 'part-10.parquet'], [1, 'part-2.parquet'], [2, 'large.parquet']])
    const bytes = Buffer.from(await (await fetch(open[1].url)).arrayBuffer())
    assert.ok(bytes.equals(readFileSync(paths['part-2'])))
    assert.equal(String(Buffer.from(await client.datasets.bytes(id, 'large.parquet', { range: { start: -4 } }))), 'PAR1')
    const chunks = []
    for await (const { url } of client.datasets.open(id)) {
      assert.equal(url.startsWith('http'), true)
      break
    }
    for await (const chunk of client.datasets.stream(id, 'large.parquet', { range: { start: 1, end: 20_000_000 } })) chunks.push(chunk)
    assert.ok(Buffer.concat(chunks).equals(large.subarray(1, 20_000_000)))
    await rejects(client.datasets.bytes(id, 'large.parquet', { range: { start: large.length } }), 'range_not_satisfiable')
    await client.datasets.deleteFile(id, 'part-2.parquet')
    await rejects(client.datasets.bytes(id, 'part-2.parquet'), 'file_not_found')
  })

  test('a refusal is the server\'s own error, and leaves a prefix', async (t) => {
    const client = await direct(t, server)
    const id = await named(client)
    const failed = new Promise((resolve) => client.once('failed', resolve))
    const error = await rejects(client.datasets.upload(id, [paths['part-1'], paths.float]), 'schema_mismatch')
    assert.equal(error.details.diff.changed[0].column, 'n')
    assert.equal((await failed).error, error)
    assert.deepEqual(await names(client, id), ['part-1.parquet'].slice(0, (await names(client, id)).length))
    await rejects(client.datasets.upload(id, [paths['part-1'], { source: paths['part-2'], fileName: 'part-1.parquet' }]), 'file_exists')
    await rejects(client.datasets.upload(id, { source: Buffer.from('no'), fileName: 'no.parquet' }), 'not_parquet')
  })

  test('what fails on the way is tried again, once in effect', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    // Each call is answered 503, 429, not at all, half, and half as if it were whole before it is answered.
    between.api = (_request, before) => [{ status: 503, body: '{"code":"unavailable","error":"Busy."}' }, { status: 429, body: '{"message":"Too Many Requests"}' }, { drop: true }, { cut: 5 }, { status: 200, body: '{"dataset_id":"data' }][before]
    between.store = (request, before) => [{ status: 503, body: '<Error><Code>SlowDown</Code></Error>' }, { drop: true }, { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }, { cut: 100_000 }][request.method === 'GET' ? before : Math.min(before, 2) === before ? before : 9]
    const { datasetId } = await client.datasets.create({ name: 'once' })
    assert.equal((await client.datasets.list().all()).filter((row) => row.name === 'once').length, 1)
    await client.datasets.upload(datasetId, { source: large, fileName: 'large' })
    assert.ok(large.equals(await client.datasets.bytes(datasetId, 'large')))
    assert.deepEqual(await names(client, datasetId), ['large'])
    const keys = between.requests.filter((request) => request.name === 'create-upload').map((request) => request.headers['idempotency-key'])
    assert.ok(keys.length === 6 && new Set(keys).size === 1 && keys[0], String(keys))
  })

  test('a file that goes as one is there once, whatever was heard of it', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const one = readFileSync(paths['part-1'])
    for (const [what, act, puts] of [['lost', { drop: true }, 1], ['refused', { twice: true }, 1], ['another answer', { otherwise: 503 }, 1], ['damaged', { flip: true }, 2]]) {
      const { datasetId } = await client.datasets.create()
      let seen = 0
      between.store = (request) => request.method === 'PUT' && seen++ === 0 ? act : undefined
      await client.datasets.upload(datasetId, { source: one, fileName: 'one' })
      assert.equal(seen, puts, what)
      assert.ok(one.equals(await client.datasets.bytes(datasetId, 'one')), what)
      assert.deepEqual(await names(client, datasetId), ['one'])
    }
  })

  test('URLs whose time is over are made again', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const id = await named(client)
    // The store itself refuses them: a signature of an hour ago is good for 15 minutes.
    const old = (text) => text.replace(/X-Amz-Date=(\d{8}T)(\d\d)/g, (_, day, hour) => `X-Amz-Date=${day}${String((Number(hour) + 23) % 24).padStart(2, '0')}`)
    let refused = 0
    between.api = (request) => ['create-upload'].includes(request.name) ? { change: old } : request.name === 'download-from-dataset' && refused++ === 0 ? { change: old } : undefined
    await client.datasets.upload(id, { source: large, fileName: 'large' }, { partSize: 5 * MiB })
    assert.ok(between.requests.some((request) => request.name === 'get-upload'))
    assert.ok(large.equals(await client.datasets.bytes(id, 'large')))
    assert.ok(refused > 1)
  })

  test('an upload goes on by its id, with the parts that are missing', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between, { connections: 2 })
    const id = await named(client)
    const dir = folder(t)
    const path = join(dir, 'file.parquet')
    writeFileSync(path, large)
    let uploadId
    const controller = new AbortController()
    const reason = new Error('the lid was closed')
    between.store = (_request, before) => { if (before === 3) controller.abort(reason) }
    const failure = await client.datasets.upload(id, path, { partSize: 5 * MiB, signal: controller.signal, onUpload: (upload) => { uploadId = upload.uploadId } }).catch((error) => error)
    assert.equal(failure, reason)
    let puts = 0
    between.store = ({ method }) => { if (method === 'PUT') puts++ }
    assert.equal((await client.datasets.upload(id, { source: path, uploadId })).uploadedCount, 1)
    // Of five parts two at least had arrived, before the fourth was begun on two connections.
    assert.ok(puts <= 3, `${puts} parts were sent again`)
    assert.ok(large.equals(await client.datasets.bytes(id, 'file.parquet')))
    await rejects(client.datasets.upload(id, { source: Buffer.alloc(7), fileName: 'x', uploadId }), 'invalid_request')
  })

  test('the same call with resume goes on, and never mixes two files', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between, { connections: 2 })
    const id = await named(client)
    const dir = folder(t)
    writeFileSync(join(dir, 'b.parquet'), large)
    await cp(paths['part-1'], join(dir, 'a.parquet'))
    const controller = new AbortController()
    let puts = 0
    between.store = () => { if (++puts === 5) controller.abort(new Error('off')) }
    await assert.rejects(client.datasets.upload(id, dir, { partSize: 5 * MiB, signal: controller.signal }), { message: 'off' })
    between.store = () => undefined
    // The same name and size with other bytes: what has arrived is not of this file.
    const other = Buffer.from(large)
    other.fill(1, 100, 200)
    writeFileSync(join(dir, 'b.parquet'), other)
    const done = await client.datasets.upload(id, dir, { resume: true, partSize: 5 * MiB })
    assert.equal(done.uploadedCount + done.skippedCount, 2)
    assert.deepEqual(await names(client, id), ['a.parquet', 'b.parquet'])
    assert.ok(other.equals(await client.datasets.bytes(id, 'b.parquet')))
    const again = await client.datasets.upload(id, dir, { resume: true })
    assert.deepEqual([again.uploadedCount, again.skippedCount, again.sentBytes], [0, 2, 0])
    await rejects(client.datasets.upload(id, [paths['part-2'], join(dir, 'a.parquet')], { resume: true }), 'conflict')
    writeFileSync(join(dir, 'a.parquet'), readFileSync(paths['part-2']))
    await rejects(client.datasets.upload(id, dir, { resume: true }), 'file_exists')
  })

  test('an upload that an earlier call completes meanwhile is done', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const id = await named(client)
    const bytes = readFileSync(paths['part-1'])
    const { uploadId, partUrls } = await client.uploads.create(id, { fileName: 'a.parquet', sizeBytes: bytes.length })
    // While the call sends its part, the upload is completed with the one that the earlier call sent.
    between.store = ({ method }, before) => method === 'PUT' && before === 1 ? { wait: client.uploads.complete(uploadId) } : undefined
    between.api = ({ name }, before) => name === 'get-upload' && before === 0 ? { change: (text) => text.replace(/"parts":\[[^\]]*\]/, '"parts":[]') } : undefined
    assert.equal((await fetch(partUrls[0].url, { method: 'PUT', body: bytes })).status, 200)
    const events = []
    const done = await client.datasets.upload(id, { source: paths['part-1'], fileName: 'a.parquet', uploadId }, { onProgress: (event) => events.push(event) })
    assert.equal(done.uploadedCount, 1)
    assert.deepEqual([events.at(-1).bytesDone, events.at(-1).percent], [bytes.length, 100])
    assert.deepEqual(await names(client, id), ['a.parquet'])
  })

  test('a file that changes while it is sent is not appended', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const id = await named(client)
    const path = join(folder(t), 'file.parquet')
    writeFileSync(path, large)
    between.store = (_request, before) => { if (before === 0) writeFileSync(path, Buffer.concat([large, large])) }
    await rejects(client.datasets.upload(id, path), 'file_changed')
    assert.deepEqual(await names(client, id), [])
  })

  test('a key that is revoked in the middle is told, and nothing is appended', async (t) => {
    const key = await revocable(server)
    const between = await proxy(t, server)
    const client = await direct(t, { ...between, apiKey: key.apiKey })
    const id = await named(client)
    between.api = ({ name }, before) => name === 'complete-upload' && before === 0 ? { wait: key.revoke() } : undefined
    const error = await rejects(client.datasets.upload(id, paths.large), 'unauthorized')
    assert.ok(error.hint)
    const other = await direct(t, server)
    assert.deepEqual(await names(other, id), [])
    assert.equal((await other.datasets.upload(id, paths.large)).uploadedCount, 1)
  })

  test('bytes that are damaged on the way are noticed', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const id = await named(client)
    await client.datasets.upload(id, paths.large)
    // The store sends another file's bytes: the parts of a list of URLs that were swapped.
    await client.datasets.upload(id, { source: Buffer.from(large).fill(1, 1000, 1001), fileName: 'other' })
    const other = (await client.datasets.open(id).all())[1].url
    between.api = (request) => request.name === 'download-from-dataset' ? { change: (text) => text.replace(/"url":"[^"]*"/, `"url":${JSON.stringify(other)}`) } : undefined
    await rejects(client.datasets.bytes(id, 'large.parquet'), 'checksum_mismatch')
    const dir = folder(t)
    await rejects(client.datasets.download(id, { to: dir, files: ['large.parquet'] }), 'checksum_mismatch')
    assert.deepEqual(readdirSync(dir), [])
    const stream = client.datasets.stream(id, 'large.parquet')
    await rejects(pipeline(Readable.fromWeb(stream), createWriteStream(join(dir, 'x'))), 'checksum_mismatch')
  })

  test('a slow reader stops the connection, and holds little memory', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const id = await named(client)
    await client.datasets.upload(id, paths.large)
    between.fetched = 0
    const reader = client.datasets.stream(id, 'large.parquet').getReader()
    await reader.read()
    await new Promise((resolve) => setTimeout(resolve, 500))
    // What the kernel's buffers hold, of three sockets, and one chunk.
    assert.ok(between.fetched < large.length / 2, `${between.fetched} of ${large.length} bytes were fetched for a reader of one chunk`)
    let bytes = 0
    for (let at = await reader.read(); !at.done; at = await reader.read()) bytes += at.value.length
    assert.ok(bytes > large.length / 2)
    const left = client.datasets.stream(id, 'large.parquet')
    const leaver = left.getReader()
    await leaver.read()
    await leaver.cancel()
  })

  test('a fast stream waits for a slow network', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const id = await named(client)
    let given = 0
    let stored = 0
    const source = new ReadableStream({
      pull(controller) {
        controller.enqueue(large.subarray(given, given + MiB))
        given = Math.min(large.length, given + MiB)
        if (given === large.length) controller.close()
      },
    })
    const open = []
    between.store = () => ({ wait: new Promise((resolve) => { open.push(resolve) }) })
    const upload = client.datasets.upload(id, { source, fileName: 'slow', sizeBytes: large.length }, { partSize: 5 * MiB })
    while (open.length < 4) await new Promise((resolve) => setTimeout(resolve, 10))
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.ok(given <= 21 * MiB, `${given} bytes were taken while no part was`)
    between.store = () => undefined
    for (const go of open) go()
    stored = (await upload).uploadedBytes
    assert.equal(stored, large.length)
  })

  test('abort signals end everything with their reason', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const id = await named(client)
    await client.datasets.upload(id, paths.large)
    between.api = () => ({ wait: new Promise(() => undefined) })
    const soon = () => AbortSignal.timeout(50)
    const dir = folder(t)
    const calls = {
      authCheck: (signal) => client.authCheck({ signal }),
      create: (signal) => client.datasets.create({ signal }),
      list: (signal) => client.datasets.list({ signal }).all(),
      get: (signal) => client.datasets.get(id, { signal }),
      delete: (signal) => client.datasets.delete(id, { signal }),
      files: (signal) => client.datasets.files(id, { signal }).all(),
      open: (signal) => client.datasets.open(id, { signal }).all(),
      upload: (signal) => client.datasets.upload(id, paths['part-1'], { signal }),
      download: (signal) => client.datasets.download(id, { to: dir, signal }),
      bytes: (signal) => client.datasets.bytes(id, 'large.parquet', { signal }),
      stream: (signal) => client.datasets.stream(id, 'large.parquet', { signal }).getReader().read(),
      hanging: (signal) => client.datasets.upload(id, { source: new Readable({ read() {} }), fileName: 'x', sizeBytes: 9 }, { signal }),
      spooling: (signal) => client.datasets.upload(id, { source: new ReadableStream({}), fileName: 'x' }, { signal }),
      assetUpload: (signal) => client.assetUpload(paths.large, { ownerType: 'project', ownerId: 'p', signal }),
      assetDownload: (signal) => client.assetDownload('file-1', { to: dir, signal }),
      getMetadata: (signal) => client.getMetadata('file-1', { signal }),
      setMetadata: (signal) => client.setMetadata('file-1', { title: 'x' }, { signal }),
    }
    await Promise.all(Object.entries(calls).map(async ([name, call]) => {
      const signal = soon()
      const error = await call(signal).then(() => assert.fail(`${name} succeeded`), (e) => e)
      assert.equal(error, signal.reason, `${name}: ${error.stack}`)
      const reason = new Error('before')
      assert.equal(await call(AbortSignal.abort(reason)).catch((e) => e), reason, name)
    }))
  })

  test('transfers are listed, paused, resumed and cancelled', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between, { connections: 1 })
    const id = await named(client)
    const begun = new Promise((resolve) => { between.store = () => { resolve() } })
    const upload = client.datasets.upload(id, { source: large, fileName: 'large' }, { partSize: 5 * MiB })
    await begun
    const [transfer] = await client.listTransfers()
    assert.deepEqual([transfer.state, transfer.kind, transfer.datasetId, transfer.files], ['running', 'upload_dataset', id, 1])
    assert.equal((await client.pauseTransfer(transfer.transferId)).state, 'paused')
    await new Promise((resolve) => setTimeout(resolve, 300))
    const { bytesDone } = (await client.listTransfers())[0]
    assert.ok(bytesDone < large.length)
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.equal((await client.listTransfers())[0].bytesDone, bytesDone)
    await client.resumeTransfer(transfer.transferId)
    assert.equal((await upload).uploadedCount, 1)
    assert.equal((await client.listTransfers())[0].state, 'done')

    between.store = () => ({ wait: new Promise(() => undefined) })
    const cancelled = client.datasets.upload(id, { source: large, fileName: 'again' }).catch((error) => error)
    while ((await client.listTransfers()).length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    await client.cancelTransfer((await client.listTransfers())[1].transferId)
    assert.equal((await cancelled).code, 'cancelled')
    assert.equal((await client.listTransfers())[1].state, 'cancelled')
    await rejects(client.pauseTransfer(transfer.transferId), 'transfer_not_found')
  })

  test('something that is no server is an error that says so', async (t) => {
    const between = await proxy(t, server)
    const client = await direct(t, between)
    for (const [status, body, code] of [[200, '<html>', 'unavailable'], [404, '<html>', 'unavailable'], [307, '', 'unavailable'], [401, 'x', 'unauthorized'], [403, '{}', 'forbidden'], [200, '[]', 'unavailable']]) {
      between.api = () => ({ status, body, headers: { location: `${server.url}/get-dataset` } })
      const before = between.requests.length
      const error = await rejects(client.datasets.get('dataset-1'), code)
      assert.equal(between.requests.length, before + 1, `${status} was asked for again`)
      assert.ok(code !== 'unavailable' || error instanceof NetworkError)
    }
    between.api = () => ({ status: 500, body: '{"code":"internal","error":"Something went wrong."}', headers: { 'x-request-id': 'r1' } })
    assert.equal((await rejects(client.datasets.get('dataset-1'), 'internal')).requestId, 'r1')
  })
})
