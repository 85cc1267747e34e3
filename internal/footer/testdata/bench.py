"""Makes the benchmark's files, and times pyarrow on them.

    bench.py make FILE COLUMNS ROW_GROUPS
    bench.py time FILE REPETITIONS

The latter prints the mean and the least nanoseconds of a call.
"""

import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq


def make(path: str, columns: int, row_groups: int) -> None:
    values = pa.array(range(row_groups), pa.int64())
    table = pa.table({f"column_{i}": values for i in range(columns)})
    pq.write_table(table, path, row_group_size=1)


def measure(path: str, repetitions: int) -> None:
    pq.read_metadata(path)
    times = []
    for _ in range(repetitions):
        start = time.perf_counter_ns()
        pq.read_metadata(path)
        times.append(time.perf_counter_ns() - start)
    print(sum(times) / repetitions, min(times))


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    measure(sys.argv[2], int(sys.argv[3]))
