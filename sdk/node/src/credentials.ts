import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { checkUrl, type Credentials } from './api.js'
import { ParqueueError, isRecord } from './errors.js'

/** What a caller may say of who speaks to which server. */
export interface Identity {
  /** The server; $PARQUEUE_URL, or what the profile says. */
  url?: string
  /** The API key; $PARQUEUE_API_KEY, or the profile's. */
  apiKey?: string
  /** A name that `parqueue auth login` has signed in; $PARQUEUE_PROFILE, or "default". */
  profile?: string
  /** Send the key over plain HTTP to another machine. */
  allowHttp?: boolean
}

const signIn = 'Give url and apiKey, set PARQUEUE_URL and PARQUEUE_API_KEY, or sign in with `parqueue auth login`.'

/**
 * Finds out who is signed in, as the command line does: what is given wins over
 * the environment, and that over the profile. The key of a profile goes to that
 * profile's server and to no other.
 *
 * Errors: `unauthorized` when nobody is; `invalid_request` for profiles that can't be used.
 */
export async function findCredentials(who: Identity): Promise<Credentials> {
  const named = who.profile !== undefined
  const url = who.url ?? (named ? undefined : process.env.PARQUEUE_URL || undefined)
  const apiKey = who.apiKey ?? (named ? undefined : process.env.PARQUEUE_API_KEY || undefined)
  const allow = who.allowHttp === undefined ? {} : { allowHttp: who.allowHttp }
  if (url !== undefined && apiKey !== undefined) return { url, apiKey, ...allow }
  const name = who.profile ?? (process.env.PARQUEUE_PROFILE || 'default')
  const profile = await readProfile(name)
  if (!profile) throw new ParqueueError('unauthorized', `Nobody is signed in as "${name}".`, { hint: signIn })
  if (apiKey !== undefined) return { ...profile, ...allow, apiKey }
  if (url !== undefined && checkUrl(url, profile.allowHttp ?? false) !== profile.url) {
    throw new ParqueueError('unauthorized', `The key of the profile "${name}" is for another server than ${url}.`, { hint: 'Give apiKey as well, or leave url out.' })
  }
  if (profile.apiKey === '') {
    throw new ParqueueError('unauthorized', `The key of the profile "${name}" is kept where only the command line can read it.`, { hint: 'Set PARQUEUE_API_KEY, or use the daemon.' })
  }
  return { ...profile, ...allow }
}

async function readProfile(name: string): Promise<Credentials | undefined> {
  const path = join(configFolder(), 'profiles.json')
  let text: string
  try {
    if (process.platform !== 'win32' && ((await stat(path)).mode & 0o077) !== 0) {
      throw new ParqueueError('invalid_request', `${path} holds API keys, and other users of this machine can read it.`, {
        hint: 'Run `chmod 600` on it; if others may have read it, revoke the keys in it and sign in again.',
      })
    }
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof ParqueueError) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, cause)
  }
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw unusable(path, cause)
  }
  const profiles = isRecord(content) && isRecord(content.profiles) ? content.profiles : undefined
  if (!profiles) throw unusable(path, undefined)
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined
  if (!isRecord(profile) || typeof profile.url !== 'string') return undefined
  return { url: profile.url, apiKey: typeof profile.key === 'string' ? profile.key : '', allowHttp: profile.allow_http === true }
}

function unusable(path: string, cause: unknown): ParqueueError {
  return new ParqueueError('invalid_request', `${path}, which holds who is signed in, can't be used.`, {
    cause, hint: 'Make it right or move it away, then sign in again with `parqueue auth login`.',
  })
}

/** Where the command line keeps profiles. */
function configFolder(): string {
  if (process.env.PARQUEUE_CONFIG_DIR) return process.env.PARQUEUE_CONFIG_DIR
  switch (process.platform) {
    case 'win32':
      return join(process.env.AppData ?? join(homedir(), 'AppData', 'Roaming'), 'parqueue')
    case 'darwin':
      return join(homedir(), 'Library', 'Application Support', 'parqueue')
  }
  return join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'parqueue')
}
