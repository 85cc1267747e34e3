import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ParqueueError } from './errors.js'
import { comparePaths } from './natural.js'

/** The most files of one upload. */
const maxFiles = 1_000_000

/**
 * The Parquet files that a path means: itself, or what is inside the folder, in
 * natural order folder by folder. As with the command line, links to files count
 * and links to folders don't, nor does anything that begins with "." or "_".
 */
export async function filesAt(path: string): Promise<string[]> {
  if (!(await stat(path).catch((cause: unknown) => {
    throw new ParqueueError('invalid_request', `${path} can't be read.`, { cause, hint: 'Check the path.' })
  })).isDirectory()) return [path]
  const found: string[] = []
  const look = async (inside: string): Promise<void> => {
    for (const entry of await readdir(join(path, inside), { withFileTypes: true })) {
      if (/^[._]/.test(entry.name)) continue
      const name = inside === '' ? entry.name : `${inside}/${entry.name}`
      if (entry.isDirectory()) {
        await look(name)
      } else if (entry.name.endsWith('.parquet') && (entry.isFile() || (entry.isSymbolicLink() && (await stat(join(path, name)).catch(() => undefined))?.isFile() === true))) {
        found.push(name)
        if (found.length > maxFiles) throw new ParqueueError('invalid_request', `${path} has more than ${maxFiles} files.`, { hint: 'Upload it in several calls.' })
      }
    }
  }
  await look('')
  if (found.length === 0) throw new ParqueueError('invalid_request', `${path} has no Parquet files.`, { hint: 'Files whose names end with .parquet are taken.' })
  return found.sort(comparePaths).map((name) => join(path, name))
}
