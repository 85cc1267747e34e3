# mypy: ignore-errors
"""The quickstart of the transfer client whose surface this package has; only the import is another one."""

from parqueue import ConnectionError, DaemonError, DaemonTimeoutError, DataEraiClient


def show(event):
    print(f"{event.file_name} {event.percent:.0f} % of {event.bytes_total}, {event.rate_mbps:.1f} Mbit/s")


try:
    with DataEraiClient() as client:
        status = client.auth_status()
        print("signed in:", status.user_email, status.expires_at)

        result = client.upload(
            "results.csv",
            title="Results",
            owner_type="project",
            owner_id="project-7",
            description="Of the second run",
            alias="run-2",
            tags=["run", "2026"],
            metadata={"instrument": "A"},
            chunk_size_mb=8,
            on_progress=show,
            transfer_timeout_s=3600,
        )
        print("asset:", result.asset_id)

        download = client.download(result.asset_id, "downloads")
        for file in download.files:
            print("file:", file.local_path, file.size)

        print("title:", client.get_metadata(result.asset_id).title)
        changed = client.set_metadata(result.asset_id, title="Results, final", tags=["final"])
        print("now:", changed.title, list(changed.tags), changed.description)

    client = DataEraiClient()
    client.connect()
    in_collection = client.upload("results.csv", title="Copy", owner_type="project", owner_id="project-7", collection_id="kept")
    print("owner:", client.get_metadata(in_collection.asset_id).owner_type)
    client.close()
except DaemonTimeoutError as error:
    print("too slow:", error)
except DaemonError as error:
    print("refused:", error.code, error.message)
except ConnectionError as error:
    print("no daemon:", error)
