import type { Api, DirectApi } from './api.js'
import type { Daemon, DaemonTransfers } from './daemon.js'
import type { Transfers } from './transfers.js'
import type { Engine } from './upload.js'

/** What a client is made of: it speaks to the server itself, or to the daemon. */
export interface Core {
  readonly api: Api
  readonly engine: Engine
  readonly transfers: Transfers
  readonly direct: DirectApi | undefined
  readonly daemon: { readonly connection: Daemon, readonly transfers: DaemonTransfers } | undefined
}
