// The package as it is published: what is in it, its types, and what it needs of Node.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = fileURLToPath(new URL('..', import.meta.url))
const read = (...path) => readFileSync(join(here, ...path), 'utf8')
const own = JSON.parse(read('package.json'))

test('the package has what users need, and nothing else', async () => {
  const [packed] = JSON.parse((await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: here })).stdout)
  const files = packed.files.map((file) => file.path)
  assert.deepEqual(files.filter((path) => !/^dist\/[a-z]+\.(js|d\.ts)$/.test(path)), ['README.md', 'package.json'])
  assert.ok(files.includes('dist/index.js') && files.includes('dist/index.d.ts'))
  assert.equal(own.dependencies ?? own.peerDependencies ?? own.optionalDependencies, undefined)
})

// The source is compiled with the types of Node 18 and the library of ES2022, so
// that what came later doesn't compile. Here it is seen that this stays so.
test('nothing newer than Node 18 is used', () => {
  assert.equal(own.engines.node, '>=18')
  assert.match(JSON.parse(read('node_modules', '@types', 'node', 'package.json')).version, /^18\./)
  const { compilerOptions } = JSON.parse(read('tsconfig.json'))
  assert.deepEqual([compilerOptions.lib, compilerOptions.types, compilerOptions.strict, compilerOptions.skipLibCheck], [['ES2022'], ['node'], true, undefined])
  for (const name of readdirSync(join(here, 'dist')).filter((name) => name.endsWith('.js'))) {
    for (const [, from] of read('dist', name).matchAll(/from '([^']+)'/g)) {
      assert.ok(from.startsWith('./') || builtinModules.includes(from.replace(/^node:/, '')), `${name} imports ${from}`)
    }
  }
})

test('what is newer than Node 18 does not compile', async (t) => {
  const { writeFileSync, mkdtempSync, rmSync } = await import('node:fs')
  const dir = mkdtempSync(join(here, 'test', 'newer-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const newer = ['[].toSorted()', 'Promise.withResolvers()', "(await import('node:fs')).openAsBlob('x')", 'Array.fromAsync([])', 'process.getBuiltinModule("fs")']
  writeFileSync(join(dir, 'newer.ts'), newer.map((line) => `await ${line}\n`).join('') + 'export {}\n')
  const { compilerOptions } = JSON.parse(read('tsconfig.json'))
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...compilerOptions, noEmit: true, rootDir: '.', skipLibCheck: true }, files: ['newer.ts'] }))
  const { stdout } = await run(process.execPath, [join(here, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', dir]).then(() => assert.fail('it compiled'), (error) => error)
  for (const [at, line] of newer.entries()) assert.match(stdout, new RegExp(`newer\\.ts\\(${at + 1},\\d+\\): error`), line)
})

test('the types are right in strict mode', async () => {
  await run(process.execPath, [join(here, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(here, 'test', 'types')]).catch((error) => assert.fail(error.stdout))
})
