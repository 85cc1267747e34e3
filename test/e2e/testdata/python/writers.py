"""Writes one logical table with every Python writer. Usage: writers.py FOLDER"""

import os
import sys

import duckdb
import fastparquet
import pandas
import polars
import pyarrow
import pyarrow.parquet

folder = sys.argv[1]
columns = {"input": ["a", "b", "ü"], "count": [1, 2, 3], "score": [0.5, 1.5, 2.5], "flag": [True, False, True]}
table = pyarrow.table(columns)
frame = pandas.DataFrame(columns)


def path(name):
    return os.path.join(folder, name + ".parquet")


pyarrow.parquet.write_table(table, path("pyarrow"))
pyarrow.parquet.write_table(table, path("pyarrow_zstd"), compression="zstd", data_page_version="2.0")
frame.to_parquet(path("pandas"), engine="pyarrow", index=False)
polars.DataFrame(columns).write_parquet(path("polars"))
duckdb.sql(f"COPY (SELECT * FROM frame) TO '{path('duckdb')}' (FORMAT parquet)")
fastparquet.write(path("fastparquet"), frame, write_index=False)
frame.set_index(pandas.Index(["x", "y", "z"])).to_parquet(path("with_index"), engine="pyarrow")
