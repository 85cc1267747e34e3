"""Tables and data frames as Parquet files. pandas, polars and pyarrow are looked for only when they have been imported."""

from __future__ import annotations

import itertools
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ._exceptions import InvalidRequestError

ROW_GROUP_BYTES = 128 << 20
MAX_ROW_GROUP = 1 << 20
_MIN_ROW_GROUP = 1 << 10
_BATCH_FILES = 64
_BATCH_BYTES = 256 << 20


def is_table(value: object) -> bool:
    """Tell whether a value is a table or data frame that can be written."""
    return _kind(value) is not None


def _kind(value: object) -> str | None:
    for module, names in (
        ("pyarrow", ("Table", "RecordBatch", "RecordBatchReader")),
        ("pandas", ("DataFrame",)),
        ("polars", ("DataFrame", "LazyFrame")),
    ):
        loaded = sys.modules.get(module)
        for name in names:
            kind = getattr(loaded, name, None)
            if isinstance(kind, type) and isinstance(value, kind):
                return f"{module}.{name}"
    return None


def row_group_size(rows: int, size: int) -> int:
    """Choose how many rows a row group has: about 128 MiB of them in memory."""
    if rows == 0 or size == 0:
        return MAX_ROW_GROUP
    return max(_MIN_ROW_GROUP, min(MAX_ROW_GROUP, rows * ROW_GROUP_BYTES // size))


def write(value: Any, path: Path, compression: str = "zstd", rows: int | None = None) -> None:
    """Write a table or data frame as one Parquet file."""
    kind = _kind(value)
    if kind == "polars.DataFrame":
        value.write_parquet(path, compression=compression, row_group_size=rows or row_group_size(value.height, value.estimated_size()))
        return
    if kind == "polars.LazyFrame":
        value.sink_parquet(path, compression=compression, row_group_size=rows)
        return
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidRequestError("invalid_request", f"A {kind} can't be written without pyarrow.", "Install parqueue[pyarrow].") from None
    if kind == "pandas.DataFrame":
        value = _from_pandas(pyarrow, value)
    elif kind == "pyarrow.RecordBatch":
        value = pyarrow.Table.from_batches([value])
    elif kind == "pyarrow.RecordBatchReader":
        with pyarrow.parquet.ParquetWriter(path, value.schema, compression=compression) as writer:
            for batch in value:
                writer.write_batch(batch, row_group_size=rows or row_group_size(batch.num_rows, batch.nbytes))
        return
    pyarrow.parquet.write_table(value, path, compression=compression, row_group_size=rows or row_group_size(value.num_rows, value.nbytes))


def _from_pandas(pyarrow: Any, frame: Any) -> Any:
    named = [name for name in frame.index.names if name is not None]
    if named:
        raise InvalidRequestError(
            "invalid_request",
            f"The data frame has an index called {', '.join(map(str, named))}, and a dataset has columns only.",
            "Make a column of it with reset_index(), or leave it out with reset_index(drop=True).",
        )
    return pyarrow.Table.from_pandas(frame, preserve_index=False)


def file_names(name: str | None) -> Iterator[str]:
    """Name the files of an iterator of tables, in an order that is that of the names too."""
    stem = name.removesuffix(".parquet") if name else f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    return (f"{stem}-{n:05d}.parquet" for n in itertools.count())


def single_name(name: str | None) -> str:
    """Name the file of one table."""
    if name is None:
        return next(file_names(None))
    return name if name.endswith(".parquet") else name + ".parquet"


def written(tables: Iterable[Any], names: Iterator[str], folder: Path, compression: str, rows: int | None) -> Iterator[list[str]]:
    """Write tables as they come, and give the files in lots: neither all of them nor each by itself.

    A lot is removed when the next one is asked for, so no more than one is on the disk.
    """
    lot: list[str] = []
    size = 0
    for table in tables:
        if not is_table(table):
            raise InvalidRequestError(
                "invalid_request",
                f"A {type(table).__module__}.{type(table).__qualname__} is no table that can be uploaded.",
                "Give pyarrow Tables, pandas or polars DataFrames.",
            )
        path = folder / next(names)
        write(table, path, compression, rows)
        lot.append(str(path))
        size += path.stat().st_size
        if len(lot) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield lot
            for done in lot:
                os.unlink(done)
            lot, size = [], 0
    if lot:
        yield lot


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that only this user can read."""
    return tempfile.TemporaryDirectory(prefix="parqueue-")
