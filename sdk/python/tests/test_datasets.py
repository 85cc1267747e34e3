"""Datasets without a daemon, against the real server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parqueue
from conftest import QUICK, Server
from parqueue import AsyncParqueueClient, ParqueueClient, ProgressEvent

Write = Callable[..., Path]


def names(client: ParqueueClient, dataset: Any) -> list[str]:
    return [f.file_name for f in client.datasets.files(dataset)]


def test_create_list_get_delete(client: ParqueueClient) -> None:
    made = client.datasets.create("week 47", {"team": "a"})
    assert (made.name, made.metadata, made.file_count, made.version) == ("week 47", {"team": "a"}, 0, 1)
    assert made.created_at is not None and made.created_at.tzinfo is not None
    assert made.dataset_id in [d.dataset_id for d in client.datasets.list()]
    assert client.datasets.get(made.dataset_id) == made
    client.datasets.delete(made, if_version=made.version)
    with pytest.raises(parqueue.NotFoundError) as caught:
        client.datasets.get(made)
    assert caught.value.code == "dataset_not_found" and caught.value.hint


def test_upload_and_download_a_folder(client: ParqueueClient, tmp_path: Path, table_file: Write) -> None:
    days = tmp_path / "days"
    for n in (1, 2, 10):
        table_file(f"day-{n}.parquet", n, folder=days)
    table_file("_hidden.parquet", folder=days)
    (days / "notes.txt").write_text("no table")
    dataset = client.datasets.create()
    events: list[ProgressEvent] = []
    done = client.datasets.upload(dataset, days, on_progress=events.append)
    total = sum((days / f"day-{n}.parquet").stat().st_size for n in (1, 2, 10))
    assert (done.uploaded_count, done.skipped_count, done.first_position, done.last_position) == (3, 0, 0, 2)
    assert done.uploaded_bytes == done.sent_bytes == total
    assert names(client, dataset) == ["day-1.parquet", "day-2.parquet", "day-10.parquet"]
    assert (events[0].bytes_done, events[-1].bytes_done, events[-1].bytes_total) == (0, total, total)
    assert events[-1].percent == 100 and events[-1].files_done == 3

    again = client.datasets.upload(dataset, days)
    assert (again.uploaded_count, again.skipped_count, again.sent_bytes) == (0, 3, 0)

    back = tmp_path / "back"
    got = client.datasets.download(dataset, back, on_progress=events.append)
    assert [f.local_path for f in got.files] == [back / f"day-{n}.parquet" for n in (1, 2, 10)]
    for f in got.files:
        assert f.local_path.read_bytes() == (days / f.file_name).read_bytes() and f.size == f.local_path.stat().st_size
    assert json.loads((back / "_order.json").read_text()) == [f.file_name for f in got.files]
    assert sorted(p.name for p in back.iterdir()) == sorted(["_order.json", *(f.file_name for f in got.files)])
    (back / "day-2.parquet").write_bytes(b"mine")
    with pytest.raises(parqueue.ConflictError, match="another file"):
        client.datasets.download(dataset, back)
    assert (back / "day-2.parquet").read_bytes() == b"mine"
    client.datasets.download(dataset, back, files=["day-2.parquet"], overwrite=True)
    assert (back / "day-2.parquet").read_bytes() == (days / "day-2.parquet").read_bytes()
    with pytest.raises(parqueue.NotFoundError):
        client.datasets.download(dataset, back, files=["sunday.parquet"])


def test_order(client: ParqueueClient, tmp_path: Path, table_file: Write) -> None:
    a, b, c = (table_file(f"{n}.parquet", i + 1) for i, n in enumerate("abc"))
    for i, path in enumerate((c, a, b)):
        os.utime(path, (i, i))
    given, by_time = client.datasets.create(), client.datasets.create()
    client.datasets.upload(given, [c, a, b], order="given")
    assert names(client, given) == ["c.parquet", "a.parquet", "b.parquet"]
    client.datasets.upload(by_time, str(tmp_path / "?.parquet"), order="mtime")
    assert names(client, by_time) == ["c.parquet", "a.parquet", "b.parquet"]
    first = client.datasets.create()
    client.datasets.upload(first, b)
    with pytest.raises(parqueue.ConflictError, match='"a.parquet" is to come before "b.parquet"'):
        client.datasets.upload(first, [a, b])
    client.datasets.upload(first, [a, b], any_order=True)
    assert names(client, first) == ["b.parquet", "a.parquet"]
    client.datasets.delete_file(first, "b.parquet")
    assert names(client, first) == ["a.parquet"]


def test_many_small_files(client: ParqueueClient, tmp_path: Path, table_file: Write) -> None:
    one = table_file("one.parquet").read_bytes()
    many = tmp_path / "many"
    many.mkdir()
    count = 70
    for n in range(count):
        (many / f"part-{n}.parquet").write_bytes(one)
    dataset = client.datasets.create()
    client.datasets.upload(dataset, many)
    assert names(client, dataset) == [f"part-{n}.parquet" for n in range(count)]


def test_another_schema_is_told_by_its_columns(client: ParqueueClient, tmp_path: Path, table_file: Write) -> None:
    import pyarrow as pa

    dataset = client.datasets.create()
    good, late = table_file("a.parquet"), table_file("c.parquet")
    client.datasets.upload(dataset, good)
    with pytest.raises(parqueue.SchemaMismatchError) as caught:
        client.datasets.upload(dataset, pa.table({"item": ["x"], "count": [1.5]}), name="b")
    error = caught.value
    assert error.code == "schema_mismatch"
    assert error.table == ["COLUMN  EXPECTED  FOUND", "count   int64     double"]
    assert "count   int64     double" in str(error) and "hint: " in str(error)
    bad = tmp_path / "b.parquet"
    bad.write_bytes(b"PAR1 but no more")
    with pytest.raises(parqueue.InvalidFileError) as refused:
        client.datasets.upload(dataset, [bad, late])
    assert refused.value.details["path"] == str(bad)
    assert names(client, dataset) == ["a.parquet"], "nothing behind a refused file is appended"


def test_refusals_before_anything_is_sent(client: ParqueueClient, tmp_path: Path, table_file: Write) -> None:
    dataset = client.datasets.create()
    here, there = table_file("x.parquet", folder=tmp_path / "1"), table_file("x.parquet", 4, folder=tmp_path / "2")
    with pytest.raises(parqueue.InvalidRequestError, match="same name") as twice:
        client.datasets.upload(dataset, [here, there])
    assert twice.value.code == "file_exists"
    with pytest.raises(parqueue.NotFoundError):
        client.datasets.upload(dataset, tmp_path / "none.parquet")
    with pytest.raises(parqueue.NotFoundError, match="Nothing matches"):
        client.datasets.upload(dataset, str(tmp_path / "*.nothing"))
    with pytest.raises(parqueue.InvalidRequestError, match=r"builtins\.int"):
        client.datasets.upload(dataset, 7)
    with pytest.raises(parqueue.InvalidRequestError, match="no table"):
        import pyarrow as pa

        client.datasets.upload(dataset, iter([pa.table({"a": [1]}), 7]))
    assert names(client, dataset) == []
    client.datasets.upload(dataset, here)
    with pytest.raises(parqueue.ConflictError, match="another file with this name") as taken:
        client.datasets.upload(dataset, there)
    assert taken.value.code == "file_exists" and taken.value.details["path"] == str(there)
    nothing = client.datasets.upload(dataset, [])
    assert nothing.uploaded_count == 0 and nothing.first_position is None


def test_async(server: Server, tmp_path: Path, table_file: Write) -> None:
    async def work() -> None:
        async with AsyncParqueueClient(server.url, server.key, daemon=False, retry=QUICK) as client:
            assert (await client.auth_status()).scopes == ("admin",)
            dataset = await client.datasets.create("async")
            a, b = table_file("a.parquet"), table_file("b.parquet")
            await asyncio.gather(client.datasets.upload(dataset, a), client.datasets.get(dataset))
            await client.datasets.upload(dataset, b)
            assert [f.file_name for f in await client.datasets.files(dataset)] == ["a.parquet", "b.parquet"]
            await client.datasets.download(dataset, tmp_path / "to")
            assert (tmp_path / "to" / "b.parquet").read_bytes() == b.read_bytes()
            assert dataset.dataset_id in [d.dataset_id for d in await client.datasets.list()]
            assert (await client.datasets.url(dataset, "a.parquet")).startswith("http")
            await client.datasets.delete_file(dataset, "a.parquet")
            await client.datasets.delete(dataset)

    asyncio.run(work())


def test_blocking_calls_from_many_threads(client: ParqueueClient) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: client.datasets.create(f"t{n}"), range(16)))
    assert len({d.dataset_id for d in made}) == 16


def test_progress_may_stop_it(client: ParqueueClient, table_file: Write) -> None:
    dataset = client.datasets.create()

    def stop(event: ProgressEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.datasets.upload(dataset, table_file("a.parquet"), on_progress=stop)
    assert client.datasets.upload(dataset, table_file("a.parquet")).uploaded_count == 1, "the client goes on"


def test_a_bar_by_tqdm(client: ParqueueClient, table_file: Write, capsys: pytest.CaptureFixture[str]) -> None:
    import tqdm.auto

    dataset = client.datasets.create()
    shown: list[int] = []

    class Seen(tqdm.auto.tqdm):  # type: ignore[type-arg]
        def update(self, n: float | None = 1) -> bool | None:
            shown.append(int(n or 0))
            return super().update(n)

    before, tqdm.auto.tqdm = tqdm.auto.tqdm, Seen
    try:
        path = table_file("a.parquet")
        client.datasets.upload(dataset, path)
        assert sum(shown) == path.stat().st_size
        assert "upload" not in capsys.readouterr().err, "no bar where there is no terminal"
        client.datasets.upload(dataset, table_file("b.parquet"), progress=False)
        assert sum(shown) == path.stat().st_size
        client.datasets.upload(dataset, table_file("c.parquet"), progress=True)
        assert "upload: 100%" in capsys.readouterr().err
    finally:
        tqdm.auto.tqdm = before
