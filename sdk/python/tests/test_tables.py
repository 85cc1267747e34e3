"""Tables and data frames, in and out."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import parqueue
from conftest import Server
from parqueue import ParqueueClient, _tables

Write = Callable[..., Path]


def arrow(start: int, rows: int = 3) -> pa.Table:
    return pa.table({"item": [f"item {i}" for i in range(start, start + rows)], "count": pa.array(range(start, start + rows), pa.int64())})


def test_every_kind_of_table_is_one_schema(client: ParqueueClient) -> None:
    dataset = client.datasets.create()
    upload = client.datasets.upload
    upload(dataset, arrow(0), name="a")
    upload(dataset, arrow(3).to_pandas(), name="b.parquet")
    upload(dataset, pl.from_arrow(arrow(6)), name="c")
    upload(dataset, pl.from_arrow(arrow(9)).lazy(), name="d")
    upload(dataset, arrow(12).to_batches()[0], name="e")
    upload(dataset, pa.RecordBatchReader.from_batches(arrow(0).schema, arrow(15).to_batches(max_chunksize=2)), name="f")
    upload(dataset, arrow(18))
    files = client.datasets.files(dataset)
    assert [f.file_name for f in files][:6] == [f"{n}.parquet" for n in "abcdef"]
    assert files[6].file_name.startswith(datetime.datetime.now(datetime.timezone.utc).strftime("%Y"))
    assert [f.row_count for f in files] == [3] * 7
    assert client.datasets.open(dataset).pyarrow().to_table()["count"].to_pylist() == list(range(21))


def test_an_iterator_is_taken_as_it_goes(client: ParqueueClient) -> None:
    dataset = client.datasets.create()

    def frames() -> Iterator[Any]:
        for n in range(70):  # more than a lot
            yield arrow(n, 1) if n % 2 else pl.from_arrow(arrow(n, 1))
            if n == 66:
                assert client.datasets.get(dataset).file_count == 64, "the first lot is there before the last table is made"

    done = client.datasets.upload(dataset, frames(), name="part")
    assert (done.uploaded_count, done.first_position, done.last_position) == (70, 0, 69)
    assert [f.file_name for f in client.datasets.files(dataset)] == [f"part-{n:05d}.parquet" for n in range(70)]
    assert client.datasets.open(dataset).polars().collect()["count"].to_list() == list(range(70))


def test_an_index_is_not_lost_in_silence(client: ParqueueClient) -> None:
    dataset = client.datasets.create()
    frame = arrow(0, 4).to_pandas()
    with pytest.raises(parqueue.InvalidRequestError, match="index called item") as caught:
        client.datasets.upload(dataset, frame.set_index("item"))
    assert "reset_index()" in caught.value.hint
    client.datasets.upload(dataset, frame[frame["count"] > 1])
    assert [f["name"] for f in client.datasets.get(dataset).schema["fields"]] == ["item", "count"]


def test_row_groups(tmp_path: Path) -> None:
    assert _tables.row_group_size(0, 0) == 1 << 20
    assert _tables.row_group_size(10_000_000, 80_000_000) == 1 << 20
    assert _tables.row_group_size(1_000_000, 1 << 40) == 1 << 10
    assert _tables.row_group_size(1000, 1000 << 20) == 1 << 10
    assert _tables.row_group_size(100_000, 1 << 30) == 12_500
    for value in (arrow(0, 5000), pl.from_arrow(arrow(0, 5000)), arrow(0, 5000).to_pandas()):
        _tables.write(value, tmp_path / "t.parquet", rows=2000)
        assert [pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(i).num_rows for i in range(3)] == [2000, 2000, 1000]


@pytest.fixture
def opened(client: ParqueueClient) -> parqueue.OpenDataset:
    dataset = client.datasets.create()
    for name, start in (("z", 0), ("y", 3), ("x", 6)):  # the order is the dataset's and not that of names
        client.datasets.upload(dataset, arrow(start), name=name)
    return client.datasets.open(dataset)


def test_pyarrow_reads_in_order(opened: parqueue.OpenDataset) -> None:
    table = opened.pyarrow().to_table(columns=["count"], filter=pyarrow.dataset.field("count") > 1)
    assert table["count"].to_pylist() == [2, 3, 4, 5, 6, 7, 8]
    one = pq.read_table(opened.paths[1], filesystem=opened.pyarrow_filesystem())
    assert one["item"].to_pylist() == ["item 3", "item 4", "item 5"]
    with pytest.raises(FileNotFoundError):
        pq.read_table("elsewhere.parquet", filesystem=opened.pyarrow_filesystem())


def test_polars_reads_in_order(opened: parqueue.OpenDataset) -> None:
    lazy = opened.polars()
    assert lazy.collect_schema().names() == ["item", "count"]
    assert lazy.filter(pl.col("count") > 1).select("count").collect()["count"].to_list() == [2, 3, 4, 5, 6, 7, 8]
    assert lazy.head(4).collect()["count"].to_list() == [0, 1, 2, 3]
    assert pl.scan_parquet(opened.urls()).select(pl.col("count").sum()).collect().item() == 36, "plain URLs do as well"


def test_duckdb_reads_in_order(opened: parqueue.OpenDataset) -> None:
    with duckdb.connect() as db:
        days = opened.pyarrow()  # noqa: F841 - DuckDB finds it by its name
        assert db.sql("select count from days where count > 6").fetchall() == [(7,), (8,)]
        db.register_filesystem(opened.fsspec())
        paths = [f"parqueue://{p}" for p in opened.paths]
        assert db.sql(f"select count from read_parquet({paths!r})").fetchall() == [(n,) for n in range(9)]


def test_pandas_and_plain_files(opened: parqueue.OpenDataset) -> None:
    frame = pd.read_parquet(opened.paths[2], filesystem=opened.pyarrow_filesystem())
    assert frame["count"].tolist() == [6, 7, 8]
    with opened[0].open() as f:
        assert f.read(4) == b"PAR1"
        f.seek(-4, 2)
        assert f.read() == b"PAR1"
    assert len(opened) == 3 and [o.name for o in opened[1:]] == ["y.parquet", "x.parquet"]
    assert opened.fsspec().ls("")[0] == {"name": opened.paths[0], "size": opened[0].size, "type": "file"}
    assert opened.fsspec().cat(opened.paths[0])[:4] == b"PAR1"


def test_urls_are_renewed(opened: parqueue.OpenDataset, client: ParqueueClient) -> None:
    lazy, dataset = opened.polars(), opened.pyarrow()
    for f in opened:
        old = f.url()
        f._url = old[:-8] + "00000000"  # the store refuses it, as one that has expired
    assert dataset.to_table().num_rows == 9
    for f in opened:
        f._since -= 3600
    assert lazy.collect().height == 9
    client.datasets.delete_file(opened.dataset_id, "y.parquet")
    opened[1]._since -= 3600
    with pytest.raises(parqueue.NotFoundError):
        opened[1].read_at(0, 4)


def test_without_extras(server: Server, tmp_path: Path, table_file: Write) -> None:
    """Nothing but httpx is needed for files."""
    path = table_file("a.parquet")
    script = f"""
import sys
class Gone:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("pyarrow", "pandas", "polars", "tqdm", "awscrt", "fsspec"): raise ImportError(name)
sys.meta_path.insert(0, Gone())
from parqueue import ParqueueClient
with ParqueueClient({server.url!r}, sys.stdin.read(), daemon=False) as client:
    d = client.datasets.create()
    assert client.datasets.upload(d, {str(path)!r}).uploaded_count == 1
    assert client.datasets.upload(d, {str(path)!r}).skipped_count == 1
    client.datasets.download(d, {str(tmp_path / "to")!r})
    print(client.datasets.open(d)[0].open().read(4))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=server.key,
        env={"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "b'PAR1'\n", done.stderr
    assert (tmp_path / "to" / "a.parquet").read_bytes() == path.read_bytes()


def test_reading_from_many_threads(opened: parqueue.OpenDataset) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(opened.pyarrow().count_rows())) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert results == [9] * 4
