// The parts that need no server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ParqueueError } from 'parqueue'
import { checkUrl } from '../dist/api.js'
import { Checksum } from '../dist/checksum.js'
import { resolveRange } from '../dist/download.js'
import { Gate, forEach } from '../dist/gate.js'
import { jsonLines } from '../dist/jsonlines.js'
import { compareNames, comparePaths } from '../dist/natural.js'
import { Again, retrying, sleep } from '../dist/retry.js'
import { joinSignals } from '../dist/signals.js'
import { random } from './support.mjs'

/** The slow way, from the definition. */
function slowSum(bytes) {
  let sum = 0xffffffffffffffffn
  for (const byte of bytes) {
    sum ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1n) ? (sum >> 1n) ^ 0x9a6c9329ac4bc9b5n : sum >> 1n
  }
  sum ^= 0xffffffffffffffffn
  return Buffer.from(sum.toString(16).padStart(16, '0'), 'hex').toString('base64')
}

test('the checksum is CRC-64/NVME', () => {
  assert.equal(Buffer.from(new Checksum().update(Buffer.from('123456789')).toString(), 'base64').toString('hex'), 'ae8b14860a799888')
  assert.equal(new Checksum().toString(), 'AAAAAAAAAAA=')
})

test('however bytes are cut and joined, the checksum is that of the whole', () => {
  const below = random(1)
  for (let round = 0; round < 300; round++) {
    // At any place in memory, so that every alignment comes.
    const bytes = new Uint8Array(1 + below(400)).map(() => below(256)).subarray(below(9))
    const joined = new Checksum()
    const updated = new Checksum()
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + below(80))
      joined.append(new Checksum().update(part))
      updated.update(part)
      at += part.length
    }
    assert.equal(joined.toString(), slowSum(bytes))
    assert.equal(updated.toString(), slowSum(bytes))
    assert.equal(joined.bytes, bytes.length)
  }
})

test('the checksum keeps up with a fast network', (t) => {
  const bytes = Buffer.alloc(64 << 20, 'parqueue')
  let best = 0
  for (let round = 0; round < 3; round++) {
    const start = performance.now()
    new Checksum().update(bytes)
    best = Math.max(best, bytes.length / (performance.now() - start) / 1000)
  }
  t.diagnostic(`${Math.round(best)} MB/s`)
  assert.ok(best > 40, `${best} MB/s`) // BigInt does 5, and a machine that is not busy some hundreds
})

async function lines(chunks) {
  const all = []
  for await (const value of jsonLines(chunks)) all.push(value)
  return all
}

test('JSON lines are read however their bytes are cut', async () => {
  const below = random(2)
  const words = ['', 'a', 'é', '日本', '😀', '\u2028', '"', '\\', '\n', '\r\n', '{"', 'x'.repeat(300)]
  for (let round = 0; round < 500; round++) {
    const values = Array.from({ length: below(8) }, () => ({ type: words[below(words.length)], n: below(1000), of: [words[below(words.length)]] }))
    const bytes = Buffer.from(values.map((value) => JSON.stringify(value) + (below(4) ? '\n' : '\r\n') + (below(5) ? '' : '\n')).join('') + (below(2) ? '' : '{"cut": "of'))
    const chunks = []
    for (let at = 0; at < bytes.length;) {
      const chunk = bytes.subarray(at, at + below(6))
      chunks.push(chunk)
      at += chunk.length
    }
    assert.deepEqual(await lines(chunks), values)
  }
})

test('whatever bytes come, they are lines or invalid_json', async () => {
  const below = random(3)
  const bits = Buffer.from('{}[]":,\n\r0e-tfn\\u\xff\xc3\xa9 ', 'latin1')
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(Array.from({ length: below(60) }, () => below(3) ? bits[below(bits.length)] : below(256)))
    const at = below(bytes.length + 1)
    const cut = await lines([bytes.subarray(0, at), bytes.subarray(at)]).catch((error) => error)
    const whole = await lines([bytes]).catch((error) => error)
    assert.deepEqual(cut instanceof Error ? cut.code : cut, whole instanceof Error ? whole.code : whole)
    if (cut instanceof Error) assert.ok(cut instanceof ParqueueError && cut.code === 'invalid_json', cut.stack)
  }
})

test('a line without an end does not fill the memory', async () => {
  let sent = 0
  const endless = async function * () {
    for (;; sent++) yield Buffer.alloc(1 << 16, 'x')
  }
  await assert.rejects(lines(endless()), { code: 'invalid_json' })
  assert.ok(sent < 40, `${sent} chunks were taken`)
})

test('names are ordered as people do', () => {
  const names = ['', '0', '00', '1', '1a', '01a', '2', '10', 'B', 'a', 'a1', 'a1b', 'a2', 'a10', 'a\u00e9', 'b']
  const below = random(4)
  for (let round = 0; round < 50; round++) {
    const mixed = names.map((name) => [below(1000), name]).sort((a, b) => a[0] - b[0]).map(([, name]) => name)
    assert.deepEqual(mixed.sort(compareNames), ['', '0', '00', '1', '01a', '1a', '2', '10', 'B', 'a', 'a1', 'a1b', 'a2', 'a10', 'a\u00e9', 'b'])
  }
  assert.deepEqual(['b/1', 'a/10', 'a/2', 'a', 'a-/1'].sort(comparePaths), ['a', 'a/2', 'a/10', 'a-/1', 'b/1'])
})

test('URLs that would show the key are refused', () => {
  for (const [given, want] of Object.entries({
    'https://Example.com/Prod/': 'https://example.com/Prod', 'http://127.0.0.1:8080': 'http://127.0.0.1:8080', 'http://localhost:1/': 'http://localhost:1', 'http://[::1]:1': 'http://[::1]:1',
    'http://example.com': undefined, 'http://127.0.0.1.evil.com': undefined, 'http://localhost.evil.com/': undefined, 'ftp://example.com': undefined, 'example.com': undefined,
    'https://user:pw@x.com': undefined, 'https://x.com/?a=b': undefined, '': undefined, 'https://': undefined,
  })) {
    if (want === undefined) assert.throws(() => checkUrl(given, false), { code: 'invalid_request' }, given)
    else assert.equal(checkUrl(given, false), want)
  }
  assert.equal(checkUrl('http://example.com', true), 'http://example.com')
})

test('ranges are those of slice', () => {
  const bytes = new Uint8Array(10).map((_, i) => i)
  for (let start = -12; start < 12; start++) {
    for (let end = -12; end < 12; end++) {
      const want = bytes.slice(start, end)
      if (want.length === 0) {
        assert.throws(() => resolveRange({ start, end }, 10), { code: 'range_not_satisfiable' })
      } else {
        const got = resolveRange({ start, end }, 10)
        assert.deepEqual(bytes.slice(got.start, got.end), want)
      }
    }
  }
  assert.deepEqual(resolveRange(undefined, 0), { start: 0, end: 0 })
  assert.throws(() => resolveRange({ start: 0.5 }, 10), { code: 'invalid_request' })
})

test('what may pass is tried again, and no longer than there is patience', async () => {
  const policy = { first: 1, most: 2, patience: 1000 }
  let tries = 0
  assert.equal(await retrying(policy, undefined, async () => { if (++tries < 4) throw new Again(new Error('no')); return 7 }), 7)
  tries = 0
  await assert.rejects(retrying(policy, undefined, async () => { tries++; throw new Again(new Error('few'), { tries: 3 }) }), { message: 'few' })
  const failures = [Infinity, 3, Infinity, Infinity, 3, Infinity]
  let tried = 0
  await assert.rejects(retrying({ ...policy, patience: 1e9 }, undefined, async () => { throw new Again(new Error('mixed'), { tries: failures[tried++] ?? 3 }) }), { message: 'mixed' })
  assert.equal(tried, 7, 'failures that are likely to stay are counted by themselves')
  assert.equal(tries, 3)
  tries = 0
  await assert.rejects(retrying(policy, undefined, async () => { tries++; throw new Error('never') }), { message: 'never' })
  assert.equal(tries, 1)
  await assert.rejects(retrying({ ...policy, patience: 20 }, undefined, async () => { throw new Again(new Error('down')) }), { message: 'down' })
  const reason = new Error('enough')
  const controller = new AbortController()
  setTimeout(() => controller.abort(reason), 20)
  await assert.rejects(retrying({ ...policy, first: 60_000, most: 60_000, patience: 1e9 }, controller.signal, async () => { throw new Again(new Error('down')) }), reason)
})

test('a gate lets so many through, in order, and nobody loses a place by an abort', async () => {
  const gate = new Gate(2)
  let inside = 0
  let most = 0
  const order = []
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const controller = new AbortController()
    if (i % 5 === 4) setTimeout(() => controller.abort(new Error('left')), 1)
    try {
      await gate.acquire(controller.signal)
    } catch {
      return
    }
    most = Math.max(most, ++inside)
    order.push(i)
    await new Promise((resolve) => setTimeout(resolve, 3))
    inside--
    gate.release()
  }))
  assert.equal(most, 2)
  assert.deepEqual(order, [...order].sort((a, b) => a - b))
  await gate.acquire()
  await gate.acquire()
})

test('the first failure ends the work on the others, which are waited for', async () => {
  let running = 0
  await assert.rejects(forEach([1, 2, 3, 4, 5, 6], 3, new AbortController().signal, async (n, signal) => {
    running++
    try {
      if (n === 2) throw new Error('two')
      await new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    } finally {
      running--
    }
  }), { message: 'two' })
  assert.equal(running, 0)
})

test('work on very many at once leaves no warning', async () => {
  const warnings = []
  const note = (warning) => warnings.push(warning)
  process.on('warning', note)
  const outer = joinSignals([new AbortController().signal])
  await forEach(Array.from({ length: 50 }), 50, outer.signal, async (_, signal) => {
    await sleep(5, signal)
    const joined = joinSignals([outer.signal])
    await sleep(5, joined.signal)
    joined.release()
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  process.off('warning', note)
  assert.deepEqual(warnings, [])
})
