// What the README shows works as it is written there, for somebody who has installed the package.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { binary, folder, later, parquet, serve } from './support.mjs'

const run = promisify(execFile)
const here = fileURLToPath(new URL('..', import.meta.url))

test('what the README shows', { timeout: 60_000 }, async (t) => {
  const dir = folder(t)
  const server = await serve(t)
  const days = join(dir, 'days')
  await mkdir(days)
  await parquet(days, { 'day-1': 10, 'day-2': 20, 'day-10': 30 })
  mkdirSync(join(dir, 'node_modules'))
  symlinkSync(here, join(dir, 'node_modules', 'parqueue'))
  const env = {
    ...process.env, PATH: `${dirname(binary)}:${process.env.PATH}`, PARQUEUE_URL: server.url, PARQUEUE_API_KEY: server.apiKey,
    PARQUEUE_STATE_DIR: join(dir, 'state'), PARQUEUE_CONFIG_DIR: join(dir, 'config'),
  }
  later(t, async () => await run(binary, ['daemon', 'stop'], { env }).catch(() => undefined))
  const blocks = [...readFileSync(join(here, 'README.md'), 'utf8').matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code)
  const printed = []
  for (const [at, code] of blocks.entries()) {
    writeFileSync(join(dir, `${at}.mjs`), code)
    printed.push((await run(process.execPath, [`${at}.mjs`], { cwd: dir, env })).stdout)
  }
  assert.equal(printed.length, 3)
  assert.equal(printed[0], '3 files\n0 day-1.parquet 10\n1 day-2.parquet 20\n2 day-10.parquet 30\n')
  assert.ok(readFileSync(join(days, 'day-10.parquet')).equals(readFileSync(join(dir, 'back', 'day-10.parquet'))))
  assert.match(printed[1], /100% at \d+ B\/s\nPAR1\n\d+ bytes\n0 http:\n1 http:\n$/)
  assert.match(printed[2], /^dataset_not_found: .+\n$/)
})
