"""Does one thing with the Python package, and prints what came of it as JSON."""

import json
import sys
from typing import Any

from parqueue import ParqueueClient, ParqueueError, Retry


def do(client: ParqueueClient, what: str, job: dict[str, Any]) -> dict[str, Any]:
    if what == "create":
        return {"dataset_id": client.datasets.create().dataset_id}
    if what == "upload":
        done = client.datasets.upload(job["dataset"], job["path"], progress=False)
        return {"uploaded": done.uploaded_count, "skipped": done.skipped_count}
    if what == "download":
        client.datasets.download(job["dataset"], job["to"], progress=False)
        return {}
    if what == "files":
        return {"names": [f.file_name for f in client.datasets.files(job["dataset"])]}
    if what == "asset_upload":
        asset = client.upload(job["path"], owner_id=job["project"], title=job["title"], progress=False)
        return {"asset_id": asset.asset_id, "version": asset.version}
    if what == "asset_renew":
        asset = client.upload(job["path"], asset_id=job["asset"], progress=False)
        return {"asset_id": asset.asset_id, "version": asset.version}
    if what == "asset_set":
        return {"title": client.set_metadata(job["asset"], title=job["title"]).title}
    if what == "asset_show":
        found = client.get_metadata(job["asset"])
        return {"title": found.title, "version": found.version}
    if what == "asset_list":
        return {"asset_ids": [a.asset_id for a in client.list_assets(owner_type="project", owner_id=job["project"])]}
    if what == "asset_download":
        client.download(job["asset"], job["to"], version=job.get("version"), progress=False)
        return {}
    raise ValueError(what)


try:
    with ParqueueClient(daemon=False, connections=int(sys.argv[3]), retry=Retry(0.05, 1.0, 60.0)) as client:
        print(json.dumps(do(client, sys.argv[1], json.loads(sys.argv[2]))))
except ParqueueError as error:
    print(json.dumps({"code": error.code, "error": str(error), "details": error.details}, default=str), file=sys.stderr)
    sys.exit(1)
