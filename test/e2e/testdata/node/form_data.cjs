// Sends one upload, the ways that people write it with the form-data package.
// Usage: form_data.cjs WAY URL KEY DATASET_ID FILE
const fs = require('node:fs');
const PackageFormData = require('form-data');
const nodeFetch = require('node-fetch');

const [way, url, key, datasetId, path] = process.argv.slice(2);
const headers = { Authorization: `Key ${key}` };

function packageForm(file, options) {
  const form = new PackageFormData();
  form.append('dataset_id', datasetId);
  form.append('file', file, options);
  return form;
}

function ownForm(file) {
  const form = new FormData();
  form.append('dataset_id', datasetId);
  form.append('file', file);
  return form;
}

const ways = {
  // As documented, with the fetch that Node has had since version 18.
  'own fetch': () => {
    const form = packageForm(fs.createReadStream(path));
    return fetch(url, { method: 'POST', headers: { ...headers, ...form.getHeaders() }, body: form });
  },
  'own fetch, no headers of the form': () =>
    fetch(url, { method: 'POST', headers, body: packageForm(fs.createReadStream(path)) }),
  'own fetch, form as buffer': () => {
    const form = packageForm(fs.readFileSync(path), 'buffer.parquet');
    return fetch(url, { method: 'POST', headers: { ...headers, ...form.getHeaders() }, body: form.getBuffer() });
  },
  'node-fetch': () => {
    const form = packageForm(fs.createReadStream(path));
    return nodeFetch(url, { method: 'POST', headers: { ...headers, ...form.getHeaders() }, body: form });
  },
  'node-fetch, no headers of the form': () =>
    nodeFetch(url, { method: 'POST', headers, body: packageForm(fs.createReadStream(path)) }),
  'node-fetch, no file name': () =>
    nodeFetch(url, { method: 'POST', headers, body: packageForm(fs.readFileSync(path)) }),
  'own FormData with a stream': () =>
    fetch(url, { method: 'POST', headers, body: ownForm(fs.createReadStream(path)) }),
  'own FormData with a type': () =>
    fetch(url, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'multipart/form-data' },
      body: ownForm(new Blob([fs.readFileSync(path)])),
    }),
  'own FormData with a Blob without a name': () =>
    fetch(url, { method: 'POST', headers, body: ownForm(new Blob([fs.readFileSync(path)])) }),
};

ways[way]().then(async (response) => {
  const body = await response.text();
  console.log(JSON.stringify({ status: response.status, type: response.headers.get('content-type'), body }));
});
