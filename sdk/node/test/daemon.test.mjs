// By the daemon, found and started as an application does it, with the compiled binary.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { DaemonError, connect } from 'parqueue'
import { binary, folder, later, parquet, proxy, quick, rejects, revocable, serve, suite } from './support.mjs'

const run = promisify(execFile)

describe('by the daemon', { timeout: 60_000 }, () => {
  let server
  let paths
  let large
  const owner = suite(after)
  before(async () => {
    process.env.PARQUEUE_STATE_DIR = join(folder(owner), 'state')
    process.env.PARQUEUE_CONFIG_DIR = join(folder(owner), 'config')
    later(owner, async () => await run(binary, ['daemon', 'stop']).catch(() => undefined))
    server = await serve(owner)
    paths = await parquet(folder(owner), { 'part-1': 100, 'part-2': 200, 'part-10': 300, 'large': 3_000_000, 'float': -10 })
    large = readFileSync(paths.large)
  })
  const client = async (t, { url, apiKey } = server, options = {}) => {
    const made = await connect({ binaryPath: binary, url, apiKey, retry: quick, ...options })
    later(t, () => made.close())
    return made
  }
  const pid = async () => JSON.parse((await run(binary, ['daemon', 'start', '--json'])).stdout).pid
  const until = async (what) => {
    for (;;) {
      const found = await what()
      if (found) return found
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  test('files go up and come back, and are told of', async (t) => {
    const c = await client(t)
    assert.equal((await c.authCheck()).tenant, 'local')
    const { datasetId } = await c.datasets.create({ name: 'by the daemon' })
    const dir = folder(t)
    await mkdir(join(dir, 'days'))
    for (const name of ['part-10', 'part-2', 'part-1']) await cp(paths[name], join(dir, 'days', `${name}.parquet`))
    const events = { progress: [], completed: [], failed: [] }
    for (const [name, list] of Object.entries(events)) c.on(name, (event) => list.push(event))
    const own = []
    const done = await c.datasets.upload(datasetId, [join(dir, 'days'), paths.large], { onProgress: (event) => own.push(event) })
    assert.deepEqual([done.uploadedCount, done.skippedCount, done.firstPosition, done.lastPosition], [4, 0, 0, 3])
    assert.deepEqual((await c.datasets.files(datasetId).all()).map((file) => file.fileName), ['part-1.parquet', 'part-2.parquet', 'part-10.parquet', 'large.parquet'])
    assert.deepEqual(own, events.progress)
    assert.deepEqual([own.at(-1).percent, own.at(-1).filesDone, own.at(-1).transferId], [100, 4, done.transferId])
    assert.deepEqual(events.completed, [{ transferId: done.transferId, kind: 'upload_dataset', result: done }])

    const back = await c.datasets.download(datasetId, { to: join(dir, 'back') })
    assert.deepEqual([back.downloadedCount, back.folder], [4, join(dir, 'back')])
    assert.ok(large.equals(readFileSync(join(dir, 'back', 'large.parquet'))))
    assert.ok(large.equals(await c.datasets.bytes(datasetId, 'large.parquet')))
    // What is no file is sent by this process, and needs no key either.
    await c.datasets.upload(datasetId, { source: large, fileName: 'buffer' })
    assert.ok(large.equals(await c.datasets.bytes(datasetId, 'buffer')))

    const error = await rejects(c.datasets.upload(datasetId, [paths.float]), 'schema_mismatch')
    assert.equal(events.failed.at(-1).error, error)
    assert.ok((await c.listTransfers()).some((row) => row.transferId === done.transferId && row.state === 'done' && row.datasetId === datasetId))
    await rejects(c.datasets.get('dataset-1'), 'dataset_not_found')
  })

  test('a transfer is paused, resumed and cancelled, and a signal cancels it', async (t) => {
    const between = await proxy(t, server)
    const c = await client(t, between)
    const { datasetId } = await c.datasets.create()
    between.bytesPerMs = 3000
    const begin = async (signal) => {
      const dir = folder(t)
      await cp(paths.large, join(dir, 'large.parquet'))
      const upload = c.datasets.upload(datasetId, join(dir, 'large.parquet'), { signal })
      upload.catch(() => undefined)
      const { transferId } = await new Promise((resolve) => c.once('progress', resolve))
      return { upload, transferId }
    }
    const state = async (id) => (await c.listTransfers()).find((row) => row.transferId === id).state
    const first = await begin()
    assert.equal((await c.pauseTransfer(first.transferId)).state, 'paused')
    assert.equal(await state(first.transferId), 'paused')
    await c.resumeTransfer(first.transferId)
    await c.cancelTransfer(first.transferId)
    await rejects(first.upload, 'cancelled')
    const controller = new AbortController()
    const second = await begin(controller.signal)
    const reason = new Error('no more')
    controller.abort(reason)
    await assert.rejects(second.upload, reason)
    await until(async () => await state(second.transferId) === 'cancelled')
    await rejects(c.pauseTransfer('transfer-1'), 'transfer_not_found')
  })

  test('a daemon that is killed is followed by one that goes on', async (t) => {
    const between = await proxy(t, server)
    const c = await client(t, between)
    const { datasetId } = await c.datasets.create()
    between.bytesPerMs = 2000
    const upload = c.datasets.upload(datasetId, paths.large)
    await until(async () => between.stored > large.length / 3)
    const before = await pid()
    process.kill(before, 'SIGKILL')
    between.bytesPerMs = Infinity
    assert.equal((await upload).uploadedCount, 1)
    assert.notEqual(await pid(), before)
    assert.ok(large.equals(await c.datasets.bytes(datasetId, 'large.parquet')))
    t.diagnostic(`${between.stored} bytes sent for ${large.length}`)
    // At most the parts that were under way, all of this file's: it has three.
    assert.ok(between.stored <= 2 * large.length)
  })

  test('a client that is killed leaves the transfer running, and joins it again', async (t) => {
    const between = await proxy(t, server)
    const c = await client(t, between)
    const { datasetId } = await c.datasets.create()
    between.bytesPerMs = 4000
    const script = join(folder(t), 'client.mjs')
    writeFileSync(script, `
import { connect } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
const c = await connect(${JSON.stringify({ binaryPath: binary, url: between.url, apiKey: between.apiKey })})
await c.datasets.upload(${JSON.stringify(datasetId)}, ${JSON.stringify(paths.large)})
`)
    const child = execFile(process.execPath, [script])
    await until(async () => between.stored > 0)
    child.kill('SIGKILL')
    assert.equal((await c.datasets.upload(datasetId, paths.large)).uploadedCount, 1)
    between.bytesPerMs = Infinity
    assert.ok(large.equals(await c.datasets.bytes(datasetId, 'large.parquet')))
    assert.equal((await c.listTransfers()).filter((row) => row.datasetId === datasetId).length, 1)
    assert.ok(between.stored <= large.length, `${between.stored} bytes were sent for ${large.length}`)
  })

  test('a key that is revoked in the middle is told, and nothing is appended', async (t) => {
    const key = await revocable(server)
    const between = await proxy(t, server)
    const c = await client(t, { url: between.url, apiKey: key.apiKey })
    const { datasetId: id } = await c.datasets.create()
    between.api = ({ name }, before) => name === 'complete-upload' && before === 0 ? { wait: key.revoke() } : undefined
    const error = await rejects(c.datasets.upload(id, paths.large), 'unauthorized')
    assert.ok(error.hint)
    const other = await client(t)
    assert.deepEqual(await other.datasets.files(id).all(), [])
    assert.equal((await other.datasets.upload(id, [paths.large])).uploadedCount, 1)
  })

  test('login is remembered by the command line, and logout forgets it', async (t) => {
    const c = await connect({ binaryPath: binary, retry: quick })
    later(t, () => c.close())
    await rejects(c.authCheck(), 'unauthorized')
    await rejects(c.login({ url: server.url, apiKey: 'pq_live_wrong' }), 'unauthorized')
    assert.equal((await c.login({ url: server.url, apiKey: server.apiKey })).tenant, 'local')
    assert.match((await run(binary, ['auth', 'status'])).stdout, /tenant: +local/)
    assert.equal((await c.authCheck()).authenticated, true)
    await c.logout()
    await rejects(c.authCheck(), 'unauthorized')
  })

  test('a missing program, another protocol and a daemon that is none are told', async (t) => {
    const dir = folder(t)
    const say = (name, text) => {
      const path = join(dir, name)
      writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
      return { binaryPath: path, retry: { first: 1, most: 5, patience: 50 } }
    }
    assert.ok(await rejects(connect({ binaryPath: join(dir, 'none') }), 'daemon_not_found') instanceof DaemonError)
    const error = await rejects(connect(say('new', 'echo \'{"socket":"/x","protocol":2}\'')), 'protocol_mismatch')
    assert.ok(error.hint.includes('daemon stop'))
    await rejects(connect(say('odd', 'echo hello')), 'daemon_failed')
    assert.match((await rejects(connect(say('bad', 'echo "error: No home." >&2; exit 1')), 'daemon_failed')).message, /No home/)
    await rejects(connect(say('dead', 'echo \'{"socket":"/nowhere/s","protocol":1}\'')), 'daemon_failed')
    await assert.rejects(connect({ ...say('slow', 'exec sleep 5'), signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' })
  })
})
