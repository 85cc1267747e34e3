// What the tests need: the compiled server, files to send, and a proxy that fails on demand.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import * as http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connect } from 'parqueue'

export const root = fileURLToPath(new URL('../../../', import.meta.url))
export const binary = process.env.PARQUEUE_BIN ?? join(root, 'bin', 'parqueue')
const run = promisify(execFile)

/** A retry whose waits cost a test little. */
export const quick = { first: 20, most: 100, patience: 20_000 }

const ends = new WeakMap()

/** Does something after a test, in the reverse order of what was asked for: node:test does the first thing first, and would remove a server's folder before it ends. */
export function later(t, f) {
  const last = ends.get(t) ?? []
  ends.set(t, last)
  if (last.push(f) === 1) t.after(async () => { for (const one of last.reverse()) await one() })
}

/** What `t` is to a test, for the before hook of a suite, which gets none. */
export function suite(after) {
  let end = () => undefined
  after(async () => await end())
  return { after: (f) => { end = f } }
}

/** A folder that is removed after the test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'parqueue-node-'))
  later(t, () => rmSync(path, { recursive: true, force: true }))
  return path
}

/** `parqueue serve`, over a folder of its own or a given one. */
export async function serve(t, { data = join(folder(t), 'data'), listen = '127.0.0.1:0' } = {}) {
  assert.ok(existsSync(binary), `${binary} is not there: run make build`)
  const child = spawn(binary, ['serve', '--listen', listen, '--data', data, '--quiet'], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  later(t, () => { child.kill('SIGKILL'); return ended })
  let output = ''
  const url = await new Promise((resolve, reject) => {
    const read = (text) => {
      output += text
      const ready = /ready\W+(http:\/\/[0-9.:]+)/.exec(output)
      if (ready) resolve(ready[1])
    }
    child.stdout.setEncoding('utf8').on('data', read)
    child.stderr.setEncoding('utf8').on('data', read)
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${output}`)))
  })
  return {
    url, data, apiKey: readFileSync(join(data, 'admin.key'), 'utf8').trim(),
    listen: url.slice('http://'.length),
    async kill() { child.kill('SIGKILL'); await ended },
  }
}

/** A key of a server, and what revokes it. */
export async function revocable(server) {
  const keys = async (...args) => (await run(binary, ['keys', ...args, '--data', server.data])).stdout
  const made = JSON.parse(await keys('create', '--tenant', 'local', '--json'))
  return { apiKey: made.key, revoke: () => keys('revoke', made.key_id) }
}

/** A client in direct mode. */
export async function direct(t, server, options = {}) {
  const client = await connect({ mode: 'direct', url: server.url, apiKey: server.apiKey, retry: quick, ...options })
  later(t, () => client.close())
  return client
}

const writer = `
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
for spec in sys.argv[2:]:
    name, rows, kind = spec.split(":")
    n = np.random.default_rng(len(name) + int(rows)).integers(0, 1 << 62, int(rows))
    table = pa.table({"n": n if kind == "int" else n.astype("float64")})
    pq.write_table(table, sys.argv[1] + "/" + name + ".parquet", compression="none", use_dictionary=False)
`

/** Writes Parquet files of a column of random 8-byte numbers: { name: rows }, floats for a negative number. Answers their paths by name. */
export async function parquet(dir, files) {
  const specs = Object.entries(files).map(([name, rows]) => `${name}:${Math.abs(rows)}:${rows < 0 ? 'float' : 'int'}`)
  await run(join(root, '.cache', 'venv', 'writers', 'bin', 'python'), ['-c', writer, dir, ...specs])
  return Object.fromEntries(Object.keys(files).map((name) => [name, join(dir, `${name}.parquet`)]))
}

/**
 * Stands between a client and a server, its store included. api and store are
 * asked about every request, (request, how many came before), and answer undefined,
 * { status, body, headers } to answer in the server's place, { cut: bytes } to break the connection off
 * after so many bytes of the answer's body, { drop: true } to pass the request on and lose the answer,
 * { otherwise: status } to answer it in another way, { twice: true } to pass it on twice and give the second answer, { flip: true } to damage what is stored, { wait: promise }, or { change: (text) => text } of the API's answer.
 */
export async function proxy(t, server) {
  const state = { api: () => undefined, store: () => undefined, requests: [], stored: 0, fetched: 0, bytesPerMs: Infinity }
  let storeOrigin
  const listen = async (handler) => {
    const s = http.createServer((req, res) => handler(req, res).catch(() => res.destroy()))
    await new Promise((resolve) => s.listen(0, '127.0.0.1', resolve))
    later(t, () => { s.closeAllConnections(); s.close() })
    return `http://127.0.0.1:${s.address().port}`
  }
  const forward = (req, origin, body, flip = false) => new Promise((resolve, reject) => {
    const out = http.request(origin + req.url, { method: req.method, headers: { ...req.headers, host: new URL(origin).host, connection: 'close' } }, resolve)
    out.on('error', reject)
    req.on('close', () => { if (!req.complete) out.destroy() })
    if (body) out.end(body)
    else pump(req, out, (n) => { state.stored += n }, Infinity, flip)
  })
  const pump = async (from, to, count, cut = Infinity, flip = false) => {
    let sent = 0
    const closed = new Promise((resolve) => to.once('close', resolve))
    try {
      for await (let chunk of from) {
        chunk = chunk.subarray(0, cut - sent)
        if (state.bytesPerMs < Infinity) await new Promise((resolve) => setTimeout(resolve, chunk.length / state.bytesPerMs))
        if (flip && sent === 0) chunk[0] ^= 1
        sent += chunk.length
        count(chunk.length)
        if (!to.write(chunk)) await Promise.race([closed, new Promise((resolve) => to.once('drain', resolve))])
        if (to.destroyed) return
        if (sent >= cut) return void to.destroy()
      }
      to.end()
    } catch {
      to.destroy()
    }
  }
  const counts = new Map()
  const plan = async (hook, req, name, res, body) => {
    const before = counts.get(name) ?? 0
    counts.set(name, before + 1)
    const act = hook({ name, method: req.method, headers: req.headers, body }, before) ?? {}
    if (act.wait) await act.wait
    if (act.status) {
      req.resume()
      res.writeHead(act.status, act.headers)
      res.end(act.body)
      return undefined
    }
    return act
  }
  const twice = async (req) => {
    const chunks = []
    for await (const chunk of req) chunks.push(chunk)
    const again = { url: req.url, method: req.method, headers: req.headers, on: () => undefined }
    ;(await forward(again, storeOrigin, Buffer.concat(chunks))).resume()
    return await forward(again, storeOrigin, Buffer.concat(chunks))
  }
  const store = await listen(async (req, res) => {
    const act = await plan((r, n) => state.store(r, n), req, req.method, res)
    if (!act) return
    const answer = act.twice ? await twice(req) : await forward(req, storeOrigin, undefined, act.flip)
    if (act.otherwise) {
      answer.resume()
      return void res.writeHead(act.otherwise).end()
    }
    if (act.drop) return void res.destroy()
    res.writeHead(answer.statusCode, answer.headers)
    await pump(answer, res, (n) => { state.fetched += n }, act.cut)
  })
  state.url = await listen(async (req, res) => {
    const chunks = []
    for await (const chunk of req) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    const name = req.url.slice(1)
    state.requests.push({ name, headers: req.headers, body: body.length > 0 ? JSON.parse(body) : undefined })
    const act = await plan((r, n) => state.api(r, n), req, name, res, body)
    if (!act) return
    const answer = await forward({ ...req, url: req.url, method: req.method, headers: { ...req.headers, 'accept-encoding': 'identity' }, on: () => undefined }, server.url, body.length > 0 ? body : Buffer.alloc(0))
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) text += chunk
    if (act.drop) return void res.destroy()
    text = text.replace(/"url":"(http:\/\/[0-9.:]+)/g, (_, origin) => {
      storeOrigin = origin
      return `"url":"${store}`
    })
    if (act.change) text = act.change(text)
    delete answer.headers['transfer-encoding']
    res.writeHead(answer.statusCode, { ...answer.headers, 'content-length': Buffer.byteLength(text) })
    if (act.cut === undefined) res.end(text)
    else res.write(text.slice(0, act.cut), () => res.destroy())
  })
  state.apiKey = server.apiKey
  return state
}

/** Whether it rejects with this code, or this reason. */
export async function rejects(promise, code) {
  const error = await promise.then(() => assert.fail('it succeeded'), (e) => e)
  assert.equal(error.code, code, `${error.stack}\n${error.cause?.stack ?? ''}`)
  return error
}

/** Numbers that look random and are the same every time. */
export function random(seed) {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor(state / 2 ** 32 * below)
  }
}
