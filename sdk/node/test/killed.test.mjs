// Direct mode while the server or the client itself is killed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { direct, folder, parquet, proxy, serve, suite } from './support.mjs'

const MiB = 1 << 20
const module = new URL('../dist/index.js', import.meta.url).href

describe('killed', { timeout: 60_000 }, () => {
  let paths
  let large
  const owner = suite(after)
  before(async () => {
    paths = await parquet(folder(owner), { 'large': 5_000_000, 'part-1': 10 })
    large = readFileSync(paths.large)
  })
  const until = async (what) => { while (!what()) await new Promise((resolve) => setTimeout(resolve, 5)) }

  test('a server that is killed and started again', async (t) => {
    let server = await serve(t)
    const between = await proxy(t, server)
    const client = await direct(t, between, { connections: 2 })
    const { datasetId } = await client.datasets.create()
    const restart = async () => {
      await server.kill()
      server = await serve(t, { data: server.data, listen: server.listen })
      between.bytesPerMs = Infinity
    }
    between.bytesPerMs = 10_000
    const upload = client.datasets.upload(datasetId, [paths['part-1'], paths.large], { partSize: 5 * MiB })
    await until(() => between.stored > large.length / 2)
    await restart()
    assert.equal((await upload).uploadedCount, 2)
    assert.ok(between.stored <= large.length + 2000 + 2 * 5 * MiB, `${between.stored} bytes were sent for ${large.length}`)

    between.bytesPerMs = 10_000
    between.fetched = 0
    const dir = folder(t)
    const download = client.datasets.download(datasetId, { to: dir })
    await until(() => between.fetched > large.length / 2)
    await restart()
    assert.equal((await download).downloadedCount, 2)
    assert.ok(large.equals(readFileSync(join(dir, 'large.parquet'))))
    assert.deepEqual((await client.datasets.files(datasetId).all()).map((file) => file.fileName), ['part-1.parquet', 'large.parquet'])
  })

  test('a client that is killed and started again', async (t) => {
    const server = await serve(t)
    const between = await proxy(t, server)
    const client = await direct(t, between)
    const { datasetId } = await client.datasets.create()
    const dir = folder(t)
    const script = join(dir, 'client.mjs')
    writeFileSync(script, `
import { connect } from ${JSON.stringify(module)}
const client = await connect({ mode: 'direct', url: ${JSON.stringify(between.url)}, apiKey: ${JSON.stringify(server.apiKey)}, connections: 2 })
const [what, path] = process.argv.slice(2)
if (what === 'upload') await client.datasets.upload(${JSON.stringify(datasetId)}, path, { resume: true, partSize: ${5 * MiB} })
else await client.datasets.download(${JSON.stringify(datasetId)}, { to: path })
client.close()
`)
    const start = (...args) => {
      const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit' })
      return { child, ended: new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal))) }
    }
    const killed = async (args, done) => {
      between.bytesPerMs = 10_000
      const { child, ended } = start(...args)
      await until(done)
      child.kill('SIGKILL')
      assert.equal(await ended, 'SIGKILL')
      between.bytesPerMs = Infinity
    }
    await killed(['upload', paths.large], () => between.stored > large.length / 2)
    assert.equal(await start('upload', paths.large).ended, 0)
    // At most the part of each connection again.
    assert.ok(between.stored <= large.length + 2 * 5 * MiB, `${between.stored} bytes were sent for ${large.length}`)
    assert.equal((await client.datasets.files(datasetId).all()).length, 1)

    between.fetched = 0
    const to = join(dir, 'back')
    await killed(['download', to], () => between.fetched > large.length / 2)
    assert.deepEqual(readdirSync(to).filter((name) => !name.startsWith('.parqueue-')), [])
    assert.equal(await start('download', to).ended, 0)
    assert.ok(between.fetched <= large.length + 2 * 8 * MiB + 64 * 1024, `${between.fetched} bytes were fetched for ${large.length}`)
    assert.ok(large.equals(readFileSync(join(to, 'large.parquet'))))
    assert.deepEqual(readdirSync(to).sort(), ['_order.json', 'large.parquet'])
  })
})
