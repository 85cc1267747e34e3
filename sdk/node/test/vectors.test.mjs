// The vectors that clients of all languages are held to: testdata/vectors/README.md.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import * as http from 'node:http'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ApiError, connect } from 'parqueue'
import { Checksum } from '../dist/checksum.js'
import { compareNames, comparePaths } from '../dist/natural.js'
import { camel } from '../dist/records.js'
import { folder, later, root } from './support.mjs'

const vectors = (name) => JSON.parse(readFileSync(join(root, 'testdata', 'vectors', `${name}.json`), 'utf8'))
const quick = { first: 1, most: 2, patience: 20_000 }

/** Answers each request with the next answer, and the last one again and again. */
async function replay(t, answers) {
  const requests = []
  const server = http.createServer(async (req, res) => {
    const chunks = []
    for await (const chunk of req) chunks.push(chunk)
    const answer = answers[Math.min(requests.length, answers.length - 1)]
    requests.push({ method: req.method, path: req.url, headers: req.headers, text: Buffer.concat(chunks).toString() })
    if (answer.cut) {
      res.writeHead(200, { 'content-length': 100 })
      return void res.write('{"dataset_id":', () => res.destroy())
    }
    res.writeHead(answer.status, answer.headers)
    res.end(answer.text ?? (answer.json === undefined ? '' : JSON.stringify(answer.json)))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  later(t, () => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${server.address().port}`, requests }
}

/** How an operation is called here. */
const operations = {
  'auth.status': (client) => client.authCheck(),
  'datasets.create': (client, { name, metadata }) => client.datasets.create({ name, metadata }),
  'datasets.list': (client) => client.datasets.list().all(),
  'datasets.get': (client, { dataset_id: id }) => client.datasets.get(id),
  'datasets.delete': (client, { dataset_id: id, if_version: ifVersion }) => client.datasets.delete(id, { ifVersion }),
  'datasets.files': (client, { dataset_id: id }) => client.datasets.files(id).all(),
  'datasets.url': (client, { dataset_id: id, file_name: name }) => client.datasets.url(id, name),
  'datasets.delete_file': (client, { dataset_id: id, file_name: name }) => client.datasets.deleteFile(id, name),
  'uploads.create': (client, { dataset_id: id, file_name: fileName, size_bytes: sizeBytes, single_put: singlePut }) => client.uploads.create(id, { fileName, sizeBytes, singlePut }),
  'uploads.get': (client, { upload_id: id }) => client.uploads.get(id),
  'uploads.complete': (client, { upload_id: id, checksum }) => client.uploads.complete(id, { checksum }),
  'uploads.append': (client, { dataset_id: id, upload_ids: ids }) => client.uploads.append(id, ids),
  'uploads.abort': (client, { upload_id: id }) => client.uploads.abort(id),
  'assets.get_metadata': (client, { asset_id: id }) => client.getMetadata(id),
  'assets.set_metadata': (client, { asset_id: id, if_match: ifMatch, ...fields }) => client.setMetadata(id, fields, { ifMatch }),
  'assets.get': (client, { asset_id: id }) => client.getMetadata(id),
  'assets.set': (client, { asset_id: id, if_match: ifMatch, ...fields }) => client.setMetadata(id, fields, { ifMatch }),
  'assets.list': (client, { owner_type: ownerType, owner_id: ownerId }) => client.listAssets({ ownerType, ownerId }).all(),
  'assets.versions': (client, { asset_id: id }) => client.assetVersions(id).all(),
  'assets.delete': (client, { asset_id: id }) => client.assetDelete(id),
}

/** The steps of an upload of an asset are one call here. */
const stepsOfAssets = ['assets.create', 'assets.create_version', 'assets.url', 'uploads.complete']

/** What an operation makes of an answer. */
function resultOf(operation, json) {
  const rows = (list) => list.map((row) => camel(row))
  switch (operation) {
    case 'datasets.list': return rows(json.datasets)
    case 'datasets.files': case 'uploads.append': return rows(json.files)
    case 'assets.list': return rows(json.assets)
    case 'assets.versions': return rows(json.versions)
    case 'datasets.delete_file': case 'assets.delete': return undefined
    case 'datasets.url': return { url: json.url, expiresAt: json.expires_at, sizeBytes: json.size_bytes, checksum: json.checksum_crc64nvme }
  }
  const result = camel(json)
  for (const list of ['parts', 'partUrls']) {
    if (result[list]) result[list] = rows(result[list])
  }
  return result
}

function wantRequest(seen, request, apiKey) {
  assert.deepEqual([seen.method, seen.path], [request.method, request.path])
  assert.equal(seen.headers.authorization, `Key ${apiKey}`)
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (value === '…') assert.ok(seen.headers[name.toLowerCase()], `${name} is missing`)
    else assert.equal(seen.headers[name.toLowerCase()], value)
  }
  if (request.method === 'GET') return
  const json = seen.text === '' ? {} : JSON.parse(seen.text)
  for (const [name, value] of Object.entries(request.json ?? {})) {
    if (name !== 'limit' && name !== 'fields') assert.deepEqual(json[name], value, name)
  }
  for (const name of Object.keys(json)) assert.ok(name in (request.json ?? {}) || name === 'limit' || name === 'fields', `${name} was sent`)
}

describe('vectors', { timeout: 60_000 }, () => {
  const ofAssets = vectors('assets').filter(({ operation }) => !stepsOfAssets.includes(operation))
  const exchanges = [...vectors('exchanges'), ...ofAssets.filter(({ kind }) => !kind)]
  const refusals = [...vectors('errors'), ...ofAssets.filter(({ kind }) => kind)]
  test('every operation is known', () => {
    const named = [...exchanges, ...refusals, ...vectors('retries')].map((vector) => vector.operation).filter(Boolean)
    assert.deepEqual([...new Set(named)].filter((name) => !(name in operations)), [])
    assert.ok(named.length > 50)
  })

  for (const { name, operation, arguments: args, request, answer } of exchanges) {
    if (!operation) continue
    test(`exchange: ${name}`, async (t) => {
      const server = await replay(t, [answer])
      const client = await connect({ mode: 'direct', url: server.url, apiKey: 'pq_live_x', retry: quick })
      const result = await operations[operation](client, args)
      const want = resultOf(operation, answer.json)
      if (answer.headers.ETag !== undefined && operation.startsWith('assets.')) want.etag = answer.headers.ETag
      assert.deepEqual(result, want)
      assert.equal(server.requests.length, 1)
      wantRequest(server.requests[0], request, 'pq_live_x')
    })
  }

  for (const { name, operation, arguments: args, kind, request, answer } of refusals) {
    if (!operation || !kind) continue
    test(`error: ${name}`, async (t) => {
      const server = await replay(t, [answer])
      const client = await connect({ mode: 'direct', url: server.url, apiKey: 'pq_live_x', retry: quick })
      const error = await operations[operation](client, args).then(() => assert.fail('it succeeded'), (e) => e)
      const { code, error: sentence, message: _, hint, ...details } = answer.json
      assert.ok(error instanceof ApiError, error.stack)
      assert.deepEqual([error.code, error.message, error.hint, error.details, error.kind, error.status], [code, sentence, hint, details, kind, answer.status])
      wantRequest(server.requests[0], request, 'pq_live_x')
    })
  }

  for (const { name, operation, arguments: args, answers, requests, code } of vectors('retries')) {
    test(`retry: ${operation}: ${name}`, async (t) => {
      const server = await replay(t, answers)
      const client = await connect({ mode: 'direct', url: server.url, apiKey: 'pq_live_x', retry: quick })
      const end = await operations[operation](client, args).then(() => undefined, (error) => error.code)
      assert.deepEqual([end, server.requests.length], [code, requests])
      assert.equal(new Set(server.requests.map((request) => request.headers['idempotency-key'] + request.text)).size, 1, 'another request was sent')
    })
  }

  test('checksums', () => {
    for (const { name, parts, sums, joined } of vectors('checksums')) {
      const each = parts.map((part) => new Checksum().update(Buffer.from(part)))
      assert.deepEqual(each.map(String), sums, name)
      assert.equal(each.reduce((sum, part) => sum.append(part), new Checksum()).toString(), joined, name)
    }
  })

  test('order', () => {
    const order = vectors('order')
    assert.deepEqual([...order.names].sort(compareNames), order.names_in_order)
    assert.deepEqual([...order.paths].sort(comparePaths), order.paths_in_order)
  })

  for (const { name, events, shown, outcome } of vectors('progress')) {
    test(`progress: ${name}`, async (t) => {
      // A daemon that tells these events, found as the real one is.
      const dir = folder(t)
      const id = events[0].transfer_id
      const daemon = http.createServer((req, res) => {
        req.resume()
        if (req.url === `/v1/transfers/${id}/events`) return void res.end(events.map((event) => JSON.stringify(event) + '\n').join(''))
        res.end(JSON.stringify(req.url === '/v1/transfers' ? { transfer_id: id, state: 'running' } : {}))
      })
      await new Promise((resolve) => daemon.listen(join(dir, 's'), resolve))
      later(t, () => { daemon.closeAllConnections(); daemon.close() })
      const binaryPath = join(dir, 'parqueue')
      writeFileSync(binaryPath, `#!/bin/sh\necho '${JSON.stringify({ socket: join(dir, 's'), pid: 1, version: 'x', protocol: 1 })}'\n`, { mode: 0o755 })
      const client = await connect({ binaryPath, url: 'http://127.0.0.1:1', apiKey: 'pq_live_x', retry: quick })
      later(t, () => client.close())
      const seen = []
      const onProgress = (e) => seen.push({ bytes_done: e.bytesDone, bytes_total: e.bytes, file_name: e.fileName ?? '', percent: e.percent })
      const end = await client.datasets.upload('dataset-1', '/x.parquet', { onProgress }).then(
        ({ transferId, ...result }) => ({ result }), (error) => ({ code: error.code }))
      assert.deepEqual(seen, shown)
      assert.deepEqual(end, outcome.result ? { result: camel(outcome.result) } : outcome)
    })
  }
})
