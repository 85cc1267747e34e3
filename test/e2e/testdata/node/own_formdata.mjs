// Uploads with Node's own fetch, FormData and Blob, lists, and downloads.
// Usage: own_formdata.mjs URL KEY DATASET_ID FILE [FILE...]
import { openAsBlob } from 'node:fs';
import { createHash } from 'node:crypto';
import { basename } from 'node:path';

const [url, key, datasetId, ...files] = process.argv.slice(2);
const headers = { Authorization: `Key ${key}` };
const seen = { uploads: [], hashes: {} };

for (const path of files) {
  const form = new FormData();
  form.append('dataset_id', datasetId);
  form.append('file', await openAsBlob(path), basename(path));
  const response = await fetch(`${url}/upload-to-dataset`, { method: 'POST', headers, body: form });
  seen.uploads.push({ status: response.status, body: await response.json() });
}

const post = (path, body) => fetch(`${url}${path}`, {
  method: 'POST',
  headers: { ...headers, 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
});
const list = await post('/list-dataset-files', { dataset_id: datasetId });
seen.files = (await list.json()).files.map((file) => file.file_name);
for (const name of seen.files) {
  const response = await post('/download-from-dataset', { dataset_id: datasetId, file_name: name });
  // The documentation tells callers to look at the type.
  if (response.headers.get('content-type') === 'application/octet-stream') {
    seen.hashes[name] = createHash('sha256').update(Buffer.from(await response.arrayBuffer())).digest('hex');
  }
}
const missing = await post('/download-from-dataset', { dataset_id: datasetId, file_name: 'nothing.parquet' });
seen.missing = { status: missing.status, type: missing.headers.get('content-type'), body: await missing.json() };
console.log(JSON.stringify(seen));
