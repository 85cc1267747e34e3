"""Assets, without a daemon and by one."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import parqueue
from conftest import BINARY, QUICK, Server
from parqueue import ParqueueClient, ProgressEvent

MB = 1 << 20


@pytest.fixture(params=["direct", "daemon"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[ParqueueClient]:
    by_daemon = request.param == "daemon"
    with ParqueueClient(server.url, server.key, daemon=by_daemon, binary_path=BINARY if by_daemon else None, retry=QUICK) as c:
        yield c
    if by_daemon:
        subprocess.run([BINARY, "daemon", "stop"], capture_output=True, check=False)


def test_upload_download_metadata(client: ParqueueClient, tmp_path: Path) -> None:
    path = tmp_path / "clip.bin"
    path.write_bytes(os.urandom(20 * MB))
    events: list[ProgressEvent] = []
    asset_id = client.upload(
        path,
        title="Clip",
        owner_type="project",
        owner_id="p1",
        alias="clip",
        tags=["a", "b"],
        metadata={"n": [1]},
        on_progress=events.append,
    ).asset_id
    assert (events[-1].bytes_done, events[-1].bytes_total, events[-1].percent) == (20 * MB, 20 * MB, 100)
    asset = client.get_metadata(asset_id)
    assert (asset.title, asset.alias, asset.tags, asset.metadata, asset.version) == ("Clip", "clip", ("a", "b"), {"n": [1]}, 1)
    assert (asset.owner_type, asset.owner_id, asset.file_name, asset.size_bytes) == ("project", "p1", "clip.bin", 20 * MB)

    got = client.download(asset_id, tmp_path / "to")
    assert [(f.local_path, f.size) for f in got.files] == [(tmp_path / "to" / "clip.bin", 20 * MB)]
    assert got.files[0].local_path.read_bytes() == path.read_bytes()

    changed = client.set_metadata(asset_id, title="Other", tags=None, if_match=asset.etag)
    assert (changed.title, changed.tags, changed.alias) == ("Other", (), "clip")
    with pytest.raises(parqueue.ConflictError) as caught:
        client.set_metadata(asset_id, title="Mine", if_match=asset.etag)
    assert caught.value.code == "asset_changed"
    with pytest.raises(parqueue.InvalidRequestError, match="'size' to set"):
        client.set_metadata(asset_id, size=1)
    client.delete_asset(asset_id)
    with pytest.raises(parqueue.NotFoundError):
        client.get_metadata(asset_id)


def test_new_content(client: ParqueueClient, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("one")
    asset_id = client.upload(path, owner_id="p2", title="Notes").asset_id
    path.write_text("two two")
    again = client.upload(path, asset_id=asset_id)
    assert (again.asset_id, again.version) == (asset_id, 2)
    assert [(v.version, v.size_bytes) for v in client.asset_versions(asset_id)] == [(2, 7), (1, 3)]
    assert client.download(asset_id, tmp_path / "now").files[0].local_path.read_text() == "two two"
    assert client.download(asset_id, tmp_path / "first", version=1).files[0].local_path.read_text() == "one"
    with pytest.raises(parqueue.InvalidRequestError, match="has its owner"):
        client.upload(path, asset_id=asset_id, owner_id="p2")
    with pytest.raises(parqueue.InvalidRequestError, match="nothing else"):
        client.upload(path, asset_id=asset_id, title="x")
    client.delete_asset(asset_id)


def test_the_same_file_twice_is_two_assets(client: ParqueueClient, tmp_path: Path) -> None:
    path = tmp_path / "twice.txt"
    path.write_text("twice")
    first, second = (client.upload(path, owner_id="p3", tags=["twice"]).asset_id for _ in range(2))
    assert first != second
    assert {a.asset_id for a in client.list_assets(owner_type="project", owner_id="p3")} == {first, second}
    for asset_id in (first, second):
        client.delete_asset(asset_id)
    assert client.list_assets(owner_type="project", owner_id="p3") == []


def test_owners(client: ParqueueClient, tmp_path: Path, table_file: Callable[..., Path]) -> None:
    path = table_file("a.parquet")
    dataset = client.datasets.create()
    uploaded = client.upload(path, owner_type="collection", owner_id=dataset.dataset_id)
    (file,) = client.datasets.files(dataset)
    assert (file.file_name, file.file_id) == ("a.parquet", uploaded.asset_id)
    kept = client.upload(path, owner_type="project", owner_id="p4", collection_id="kept")
    assert client.get_metadata(kept.asset_id).owner_id == "kept"
    client.delete_asset(kept.asset_id)
    refused: list[dict[str, Any]] = [
        {"owner_type": "team", "owner_id": "x"},
        {},
        {"owner_type": "collection", "owner_id": "x", "collection_id": "y"},
    ]
    for arguments in refused:
        with pytest.raises(parqueue.InvalidRequestError):
            client.upload(path, **arguments)
    with pytest.raises(parqueue.NotFoundError):
        client.upload(tmp_path / "none", owner_id="p4")
    with pytest.raises(parqueue.SchemaMismatchError):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"item": [1]}), tmp_path / "b.parquet")
        client.upload(tmp_path / "b.parquet", collection_id=dataset.dataset_id)


def test_quickstart(own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Unchanged but for the import: the program is on PATH, somebody is signed in, and the daemon is started by it."""
    monkeypatch.setenv("PATH", f"{BINARY.parent}{os.pathsep}{os.environ['PATH']}")
    key_file = own_server.data / "admin.key"
    subprocess.run(["parqueue", "auth", "login", "--url", own_server.url, "--key-file", key_file], check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    Path("results.csv").write_text("item,count\na,1\n")
    try:
        runpy.run_path(str(Path(__file__).with_name("quickstart.py")))
    finally:
        subprocess.run(["parqueue", "daemon", "stop"], capture_output=True, check=False)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"results\.csv 100 % of 15, .* Mbit/s| 100 % of 15, .* Mbit/s", [x for x in lines if " % of " in x][-1])
    rest = [x for x in lines if " % of " not in x]
    assert rest[0] == "signed in: None None"
    assert rest[1].startswith("asset: ")
    assert rest[2] == f"file: {tmp_path / 'downloads' / 'results.csv'} 15"
    assert rest[3:] == ["title: Results", "now: Results, final ['final'] Of the second run", "owner: collection"]
