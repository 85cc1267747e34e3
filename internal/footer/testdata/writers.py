"""Writes one table with every writer, in every compression that it has.

    writers.py DIRECTORY

A file is called <writer>_<option>.parquet.
"""

import datetime as dt
import decimal
import pathlib
import sys

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 3
directory = pathlib.Path(sys.argv[1])
columns = {
    "input": (pa.string(), ["a", "ü", "c"]),
    "i64": (pa.int64(), [1, 2, 3]),
    "i32": (pa.int32(), [1, 2, 3]),
    "f64": (pa.float64(), [0.5, 1.5, 2.5]),
    "f32": (pa.float32(), [0.5, 1.5, 2.5]),
    "flag": (pa.bool_(), [True, False, True]),
    "day": (pa.date32(), [dt.date(2024, 1, day) for day in (1, 2, 3)]),
    "ts_utc": (pa.timestamp("us", "UTC"), [dt.datetime(2024, 1, day, tzinfo=dt.timezone.utc) for day in (1, 2, 3)]),
    "ts_naive": (pa.timestamp("us"), [dt.datetime(2024, 1, day) for day in (1, 2, 3)]),
    "dec": (pa.decimal128(10, 2), [decimal.Decimal("12345678.9%d" % i) for i in range(ROWS)]),
    "bin": (pa.binary(), [b"a", b"\xff", b""]),
    "tags": (pa.list_(pa.string()), [["a", "b"], ["c"], ["d"]]),
    "st": (pa.struct({"a": pa.int64(), "b": pa.string()}), [{"a": i, "b": "x"} for i in range(ROWS)]),
    "lst": (pa.list_(pa.struct({"a": pa.int64(), "b": pa.string()})), [[{"a": i, "b": "x"}] for i in range(ROWS)]),
    "cat": (pa.dictionary(pa.int32(), pa.string()), ["x", "y", "x"]),
}
table = pa.table({name: pa.array(values, type) for name, (type, values) in columns.items()})


def path(writer: str, option: str) -> str:
    return str(directory / f"{writer}_{option}.parquet")


def write_pyarrow() -> None:
    for compression in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
        pq.write_table(table, path("pyarrow", compression), compression=compression)
    for option in (
        {"version": "1.0"},
        {"data_page_version": "2.0"},
        {"use_dictionary": False},
        {"store_schema": False},
        {"use_compliant_nested_type": False},
        {"write_page_index": True},
        {"write_page_checksum": True},
        {"store_decimal_as_integer": True},
        {"row_group_size": 1},
    ):
        pq.write_table(table, path("pyarrow", next(iter(option))), **option)
    required = pa.schema([field.with_nullable(False) for field in table.schema])
    pq.write_table(table.cast(required), path("pyarrow", "required"))
    pq.write_table(table.select(table.column_names[::-1]), path("pyarrow", "reversed"))
    pq.write_table(table.slice(0, 0), path("pyarrow", "empty"))


def as_pandas() -> pd.DataFrame:
    frame = pd.DataFrame({name: values for name, (_, values) in columns.items()})
    types = {"i32": "int32", "f32": "float32", "cat": "category"}
    return frame.astype(types)


def write_pandas() -> None:
    arrow = table.to_pandas(types_mapper=pd.ArrowDtype)
    for compression in (None, "snappy", "gzip", "brotli", "zstd", "lz4"):
        as_pandas().to_parquet(path("pandas", str(compression)), compression=compression, index=False)
        arrow.to_parquet(path("pandas-arrow", str(compression)), compression=compression, index=False)


def write_polars() -> None:
    frame = pl.from_arrow(table)
    for compression in ("uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"):
        frame.write_parquet(path("polars", compression), compression=compression)
    frame.lazy().sink_parquet(path("polars", "sink"))
    frame.write_parquet(path("polars", "pyarrow"), use_pyarrow=True)


def write_duckdb() -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("source", table)
    for compression in ("uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4_raw"):
        to = path("duckdb", compression)
        connection.execute(f"COPY source TO '{to}' (FORMAT parquet, COMPRESSION {compression})")
    to = path("duckdb", "v2")
    connection.execute(f"COPY source TO '{to}' (FORMAT parquet, PARQUET_VERSION v2)")


def write_fastparquet() -> None:
    frame = as_pandas()
    frame["day"] = pd.to_datetime(frame["day"])  # fastparquet has no dates
    for compression in ("UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4_RAW"):
        fastparquet.write(path("fastparquet", compression.lower()), frame, compression=compression)


write_pyarrow()
write_pandas()
write_polars()
write_duckdb()
write_fastparquet()
