// Lists a dataset's files with Node's own fetch.
// Usage: list_files.mjs URL KEY DATASET_ID. Prints JSON: the names.
const [url, key, dataset] = process.argv.slice(2);
const answer = await fetch(`${url}/list-dataset-files`, {
  method: 'POST',
  headers: { Authorization: `Key ${key}`, 'Content-Type': 'application/json' },
  body: JSON.stringify({ dataset_id: dataset }),
});
if (answer.headers.get('Content-Encoding') !== 'gzip') throw new Error('the answer is not compressed');
console.log(JSON.stringify((await answer.json()).files.map((file) => file.file_name)));
