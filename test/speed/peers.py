"""What the harness needs of Python packages: the clients that are libraries, the files, and presigned URLs.

Run by speed.py, each time in a process of its own. Where the store is comes from the environment that s3model writes.
"""

import asyncio
import base64
import json
import os
import sys
import time
from pathlib import Path

PART = 8 << 20
BUCKET = os.environ.get("S3MODEL_BUCKET", "")
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "")
REGION = os.environ.get("AWS_REGION", "")


def generate(folder: str, one_mib: str, many: str) -> None:
    """Write one large file and many of 1 MiB, of bytes that nothing makes smaller, and what each has to be."""
    import pyarrow
    import pyarrow.parquet
    from awscrt import checksums

    def write(path: Path, size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = pyarrow.schema([("blob", pyarrow.binary(4096))])
        with pyarrow.parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=False) as writer:
            for begin in range(0, size, 64 << 20):
                rows = min(64 << 20, size - begin) // 4096
                blob = pyarrow.FixedSizeBinaryArray.from_buffers(schema.field(0).type, rows, [None, pyarrow.py_buffer(os.urandom(rows * 4096))])
                writer.write_table(pyarrow.table([blob], schema))

    write(Path(folder, "one", "large.parquet"), int(one_mib) << 20)
    for n in range(int(many)):
        write(Path(folder, "many", f"part-{n:04d}.parquet"), 1 << 20)
    for scenario in ("one", "many"):
        told = []
        for path in sorted(Path(folder, scenario).iterdir()):
            sum = 0
            with path.open("rb") as file:
                while piece := file.read(PART):
                    sum = checksums.crc64nvme(piece, sum)
            told.append({"file_name": path.name, "size_bytes": path.stat().st_size, "checksum_crc64nvme": base64.b64encode(sum.to_bytes(8, "big")).decode()})
        Path(folder, f"{scenario}.json").write_text(json.dumps(told))


def listed(client, prefix: str) -> list[dict]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [entry for page in pages for entry in page.get("Contents", [])]


def boto_client():
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"))


def boto3crt(direction: str, local: str, prefix: str) -> None:
    """Move a folder with boto3's CRT, as upload_file and download_file do with it."""
    from botocore.config import Config
    from botocore.session import Session
    from s3transfer.crt import BotocoreCRTCredentialsWrapper, BotocoreCRTRequestSerializer, CRTTransferManager, create_s3_crt_client

    session = Session()
    tls = ENDPOINT.startswith("https")
    crt = create_s3_crt_client(
        REGION,
        crt_credentials_provider=BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider(),
        use_ssl=tls,
        verify=os.environ["AWS_CA_BUNDLE"] if tls else None,
    )
    serializer = BotocoreCRTRequestSerializer(session, {"region_name": REGION, "endpoint_url": ENDPOINT, "config": Config(s3={"addressing_style": "path"})})
    with CRTTransferManager(crt, serializer) as manager:
        if direction == "up":
            moving = [manager.upload(str(path), BUCKET, prefix + path.name) for path in sorted(Path(local).iterdir())]
        else:
            keys = [entry["Key"] for entry in listed(boto_client(), prefix)]
            moving = [manager.download(BUCKET, key, str(Path(local, key.rsplit("/", 1)[1]))) for key in keys]
        for move in moving:
            move.result()


def obstore(direction: str, local: str, prefix: str) -> None:
    """Move a folder with obstore: 32 requests at once, large files in parts of 8 MiB."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, endpoint=ENDPOINT, region=REGION, virtual_hosted_style_request=False, client_options={"allow_http": True})

    async def up() -> None:
        turn = asyncio.Semaphore(32)

        async def put(path: Path) -> None:
            async with turn:
                await obstore.put_async(store, prefix + path.name, path, chunk_size=PART, max_concurrency=32)

        await asyncio.gather(*(put(path) for path in sorted(Path(local).iterdir())))

    async def down() -> None:
        turn = asyncio.Semaphore(32)

        async def get(file: int, key: str, start: int, end: int) -> None:
            async with turn:
                os.pwrite(file, await obstore.get_range_async(store, key, start=start, end=end), start)

        files, pieces = [], []
        for entry in [e for page in obstore.list(store, prefix) for e in page]:
            file = os.open(Path(local, entry["path"].rsplit("/", 1)[1]), os.O_RDWR | os.O_CREAT)
            files.append(file)
            pieces += [get(file, entry["path"], at, min(at + PART, entry["size"])) for at in range(0, entry["size"], PART)]
        await asyncio.gather(*pieces)
        for file in files:
            os.close(file)

    asyncio.run(up() if direction == "up" else down())


def sdk(direction: str, local: str, dataset: str) -> None:
    """Move a dataset with the Python SDK, through the daemon, and tell how long that took without starting Python."""
    from parqueue import ParqueueClient

    started = time.monotonic()
    with ParqueueClient(binary_path=os.environ["PARQUEUE_BINARY"]) as client:
        if direction == "up":
            client.datasets.upload(dataset, local, progress=False)
        else:
            client.datasets.download(dataset, local, progress=False)
    print(json.dumps({"call": time.monotonic() - started}))


def presign(direction: str, local: str, prefix: str, source: str) -> None:
    """Print the plan of the floor, and begin the multipart uploads that it is to fill."""
    client = boto_client()
    for path in sorted(Path(source).iterdir()):
        key, size = prefix + path.name, path.stat().st_size
        at = {"Bucket": BUCKET, "Key": key}
        what, method, file = ("put_object", "PUT", path) if direction == "up" else ("get_object", "GET", Path(local, path.name))
        if direction == "up" and size > 2 * PART:
            what, at["UploadId"] = "upload_part", client.create_multipart_upload(**at)["UploadId"]
        whole = what == "put_object"
        for number, begin in enumerate(range(0, size, size if whole or size < 2 * PART else PART), 1):
            url = client.generate_presigned_url(what, {**at, **({"PartNumber": number} if what == "upload_part" else {})}, ExpiresIn=3600)
            end = size if whole or size < 2 * PART else min(begin + PART, size)
            print(json.dumps({"method": method, "url": url, "path": str(file), "offset": begin, "size": end - begin}))


def check(prefix: str, source: str) -> None:
    """Fail unless the store has the files of a folder under a prefix."""
    got = {entry["Key"].removeprefix(prefix): entry["Size"] for entry in listed(boto_client(), prefix)}
    if got != {path.name: path.stat().st_size for path in Path(source).iterdir()}:
        sys.exit(f"the store has {len(got)} files of {sum(got.values())} bytes")


def remove(prefix: str) -> None:
    """Remove what is under a prefix, and what was begun there."""
    client = boto_client()
    keys = [{"Key": entry["Key"]} for entry in listed(client, prefix)]
    for begin in range(0, len(keys), 1000):
        client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys[begin : begin + 1000], "Quiet": True})
    for begun in client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=begun["Key"], UploadId=begun["UploadId"])


if __name__ == "__main__":
    what = {f.__name__: f for f in (generate, boto3crt, obstore, sdk, presign, check, remove)}
    what[sys.argv[1]](*sys.argv[2:])
