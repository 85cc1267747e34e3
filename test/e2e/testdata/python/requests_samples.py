"""Sends the documented Python samples, and the usual slips, with requests.

Usage: requests_samples.py URL KEY DATASET_ID FILE
Prints JSON: what each of them was answered.
"""

import json
import sys

import requests

url, key, dataset_id, path = sys.argv[1:]
headers = {"Authorization": f"Key {key}"}
seen = {}


def keep(name, response):
    seen[name] = {
        "status": response.status_code,
        "type": response.headers.get("content-type"),
        "body": response.content.decode("latin-1"),
    }


def upload(name, **arguments):
    with open(path, "rb") as file:
        content = (f"{name}.parquet", file) if arguments.pop("named", True) else file
        arguments.setdefault("headers", headers)
        keep(name, requests.post(f"{url}/upload-to-dataset", files={"file": content}, **arguments))


upload("documented", json={"dataset_id": dataset_id}, named=False)
upload("data", data={"dataset_id": dataset_id})
upload("query", params={"dataset_id": dataset_id})
upload("path", data={"dataset_id": dataset_id}, named=False)
upload("json type", data={"dataset_id": dataset_id}, headers={**headers, "Content-Type": "application/json"})
upload("bearer", data={"dataset_id": dataset_id}, headers={"Authorization": f"Bearer {key}"})


def post(name, path, **arguments):
    keep(name, requests.post(f"{url}{path}", headers=headers, **arguments))


post("list", "/list-dataset-files", json={"dataset_id": dataset_id})
post("datasets", "/list-datasets")
post("download", "/download-from-dataset", json={"dataset_id": dataset_id, "file_name": "data.parquet"})
post("stage download", "/download-from-stage", data={"stage_id": dataset_id, "file_name": "data.parquet"})
post("missing", "/download-from-dataset", json={"dataset_id": dataset_id, "file_name": "nothing.parquet"})
print(json.dumps(seen))
