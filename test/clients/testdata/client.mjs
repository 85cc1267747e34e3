// Does one thing with the Node package, and prints what came of it as JSON.
const { ParqueueError, connect } = await import(process.env.PARQUEUE_NODE_PACKAGE)

const [what, text, connections] = process.argv.slice(2)
const job = JSON.parse(text)
const doing = {
  create: async ({ datasets }) => ({ dataset_id: (await datasets.create()).datasetId }),
  upload: async ({ datasets }) => {
    const done = await datasets.upload(job.dataset, job.path, { resume: true })
    return { uploaded: done.uploadedCount, skipped: done.skippedCount }
  },
  download: async ({ datasets }) => { await datasets.download(job.dataset, { to: job.to }) },
  files: async ({ datasets }) => ({ names: (await datasets.files(job.dataset).all()).map((file) => file.fileName) }),
  asset_upload: async (client) => {
    const { assetId, version } = await client.assetUpload(job.path, { ownerType: 'project', ownerId: job.project, title: job.title })
    return { asset_id: assetId, version }
  },
  asset_renew: async (client) => {
    const { assetId, version } = await client.assetUpload(job.path, { assetId: job.asset })
    return { asset_id: assetId, version }
  },
  asset_set: async (client) => ({ title: (await client.setMetadata(job.asset, { title: job.title })).title }),
  asset_show: async (client) => {
    const { title, version } = await client.getMetadata(job.asset)
    return { title, version }
  },
  asset_list: async (client) => ({ asset_ids: (await client.listAssets({ ownerType: 'project', ownerId: job.project }).all()).map((asset) => asset.assetId) }),
  asset_download: async (client) => { await client.assetDownload(job.asset, { to: job.to, version: job.version }) },
}
try {
  const client = await connect({ mode: 'direct', connections: Number(connections), retry: { first: 50, most: 1000, patience: 60_000 } })
  console.log(JSON.stringify(await doing[what](client) ?? {}))
  client.close()
} catch (error) {
  if (!(error instanceof ParqueueError)) throw error
  console.error(JSON.stringify({ code: error.code, error: error.message, details: error.details, cause: String(error.cause ?? '') }))
  process.exitCode = 1
}
