"""Takes one of the published client libraries, unmodified, through a dataset's life.

Usage: library.py MODULE BASE_URL KEY FILES FOLDER OUT
MODULE is sutro or materialized_intelligence. FILES has the files b, a and c;
they are sent in that order. FOLDER is sent whole. Downloads go under OUT.
The last line printed is JSON: what the library returned.
"""

import importlib
import json
import os
import sys

module, base_url, key, files, folder, out = sys.argv[1:]
if module == "sutro":
    from sutro.sdk import Sutro as Client

    noun = "dataset"
else:
    Client = importlib.import_module(module).MaterializedIntelligence
    noun = "stage"

client = Client(api_key=key, base_url=base_url)


def call(pattern, *args):
    return getattr(client, pattern.format(noun))(*args)


paths = [os.path.join(files, name) for name in ("b.parquet", "a.parquet", "c.parquet")]
seen = {"auth": client.try_authentication(key), "quotas": client.get_quotas()}
seen["id"] = dataset = call("create_{}")
seen["uploaded"] = call("upload_to_{}", dataset, paths)
seen["folder_order"] = os.listdir(folder)
seen["folder_uploaded"] = call("upload_to_{}", dataset, folder)
seen["duplicate"] = call("upload_to_{}", dataset, paths[0])
seen["new_id"] = call("upload_to_{}", paths[0])
seen["new_files"] = call("list_{}_files", seen["new_id"])
seen["rows"] = call("list_{}s")
seen["files"] = call("list_{}_files", dataset)

for part in ("one", "all"):
    os.makedirs(os.path.join(out, part))
call("download_from_{}", dataset, "a.parquet", os.path.join(out, "one"))
call("download_from_{}", dataset, None, os.path.join(out, "all"))
call("download_from_{}", dataset, "nothing.parquet", os.path.join(out, "one"))

print()
print(json.dumps(seen))
