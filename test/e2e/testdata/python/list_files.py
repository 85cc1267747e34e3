"""Lists a dataset's files with requests or a published client library, unmodified.

Usage: list_files.py MODULE BASE_URL KEY DATASET_ID
MODULE is requests, sutro or materialized_intelligence. Prints JSON: the names.
"""

import importlib
import json
import sys

module, base_url, key, dataset = sys.argv[1:]
if module == "requests":
    import requests

    answer = requests.post(
        f"{base_url}/list-dataset-files", headers={"Authorization": f"Key {key}"}, json={"dataset_id": dataset}
    )
    assert answer.headers["Content-Encoding"] == "gzip", answer.headers
    names = [file["file_name"] for file in answer.json()["files"]]
elif module == "sutro":
    from sutro.sdk import Sutro

    names = Sutro(api_key=key, base_url=base_url).list_dataset_files(dataset)
else:
    client = importlib.import_module(module).MaterializedIntelligence(api_key=key, base_url=base_url)
    names = client.list_stage_files(dataset)

print()
print(json.dumps(names))
