"""A dataset read where it is: files in order, by ranges of presigned URLs, which are renewed when they are used.

pyarrow, polars and fsspec are loaded by the calls that need them.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ._api import retry_after
from ._exceptions import ConflictError, ConnectionError, NotFoundError
from ._http import exchange, read_at_most
from ._models import DatasetFile
from ._retry import Again, persist
from ._upload import refused

if TYPE_CHECKING:
    from ._async_client import AsyncParqueueClient

T = TypeVar("T")

_URLS_FOR = 200.0  # seconds; the server makes them good for 5 minutes
_STORE = "The place where files are stored"
_POLARS_FILES = 8  # that polars reads at once


class OpenDataset(Sequence["OpenFile"]):
    """The files of a dataset in order, as they were when it was opened."""

    def __init__(
        self,
        client: AsyncParqueueClient,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        dataset_id: str,
        files: Sequence[DatasetFile],
    ) -> None:
        self._client, self._run = client, run
        self.dataset_id = dataset_id
        self._files = [OpenFile(client, run, dataset_id, f) for f in files]

    def __repr__(self) -> str:
        return f"<OpenDataset {self.dataset_id}: {len(self)} files>"

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> OpenFile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[OpenFile]: ...
    def __getitem__(self, index: int | slice) -> OpenFile | Sequence[OpenFile]:
        """Return a file, by its place among these."""
        return self._files[index]

    @property
    def paths(self) -> list[str]:
        """The files as paths of ``pyarrow_filesystem()`` and ``fsspec()``."""
        return [f.path for f in self._files]

    def file(self, path: str) -> OpenFile:
        """Return the file that has a path, or a name. Raises NotFoundError."""
        name = path.rsplit("/", 1)[-1]
        for f in self._files:
            if f.name == name:
                return f
        raise NotFoundError("file_not_found", f'"{name}" is not among the open files.', "Look at paths.", {"file_name": name})

    def urls(self) -> list[str]:
        """Make URLs of the files, in order, for whatever reads plain URLs: DuckDB with httpfs, curl, a worker elsewhere.

        They are good for a few minutes, and secrets as long; ask again when they are used.
        """
        return [f.url() for f in self._files]

    def pyarrow_filesystem(self) -> Any:
        """Return a pyarrow.fs.FileSystem that has ``paths``, and nothing else."""
        from ._arrow import filesystem

        return filesystem(self)

    def pyarrow(self) -> Any:
        """Return a pyarrow.dataset.Dataset, which DuckDB queries too. Batches come in the dataset's order."""
        import pyarrow.dataset

        return pyarrow.dataset.dataset(self.paths, filesystem=self.pyarrow_filesystem(), format="parquet")

    def polars(self) -> Any:
        """Return a polars.LazyFrame. What it reads, and whether at all, is decided when it is collected."""
        import polars
        from polars.io.plugins import register_io_source

        if not self._files:
            return polars.LazyFrame()
        schema = polars.scan_parquet(self._files[0].url()).collect_schema()

        def read(columns: list[str] | None, predicate: Any, rows: int | None, batch: int | None) -> Iterator[Any]:
            left = rows
            for at in range(0, len(self._files), _POLARS_FILES):
                if left == 0:
                    return
                frame = polars.scan_parquet([f.url() for f in self._files[at : at + _POLARS_FILES]])
                if left is not None:
                    frame = frame.head(left)
                if predicate is not None:
                    frame = frame.filter(predicate)
                if columns is not None:
                    frame = frame.select(columns)
                found = frame.collect()
                if left is not None and predicate is None:
                    left -= found.height
                yield found

        return register_io_source(read, schema=schema)

    def fsspec(self) -> Any:
        """Return an fsspec filesystem, as DuckDB (``register_filesystem``) and pandas take it. It has ``paths``."""
        from ._fsspec import ParqueueFileSystem

        return ParqueueFileSystem(opened=self)


class OpenFile:
    """A file of a dataset, which can be read from any place."""

    def __init__(
        self,
        client: AsyncParqueueClient,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        dataset_id: str,
        file: DatasetFile,
    ) -> None:
        self._client, self._run = client, run
        self.dataset_id, self.info = dataset_id, file
        self._url, self._since = "", 0.0

    def __repr__(self) -> str:
        return f"<OpenFile {self.path}>"

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.info.file_name

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.info.size_bytes

    @property
    def path(self) -> str:
        """The file in the filesystems of an OpenDataset."""
        return f"{self.dataset_id}/{self.name}"

    def url(self) -> str:
        """Return a URL that is good for at least a minute, and a secret as long."""
        return str(self._run(self._locate()))

    async def _locate(self) -> str:
        if not self._url or time.monotonic() - self._since > _URLS_FOR:
            answer = await self._client.datasets.locate(self.dataset_id, self.name)
            if answer["size_bytes"] != self.size or answer["checksum_crc64nvme"] != self.info.checksum_crc64nvme:
                raise ConflictError("file_changed", f"{self.name} is another file by now.", "Open the dataset again.")
            self._url, self._since = str(answer["url"]), time.monotonic()
        return self._url

    def read_at(self, offset: int, length: int) -> bytes:
        """Read bytes at a place; fewer at the end."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        data: bytes = self._run(self._fetch(offset, length))
        return data

    async def _fetch(self, offset: int, length: int) -> bytes:
        await self._client.ready()
        way = self._client.way()
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}

        async def attempt() -> bytes:
            try:
                async with exchange(way.client, "GET", await self._locate(), where=_STORE, headers=headers) as response:
                    if response.status_code not in (200, 206):
                        text = await read_at_most(response, 64 << 10, _STORE)
                        raise refused(response.status_code, text, retry_after(response))
                    if response.status_code == 200 and length != self.size:
                        raise Again(ConnectionError("unavailable", f"{_STORE} gives no ranges.", "Check the network."), tries=2)
                    data = await read_at_most(response, length, _STORE)
                if len(data) != length:
                    raise Again(ConnectionError("unavailable", f"{_STORE} sent too little.", "Make the same call again."))
            except BaseException:
                self._url = ""  # it may have expired, or lead to where nobody is any more
                raise
            return data

        return await persist(way.retry, attempt)

    def open(self, buffer_size: int = 1 << 20) -> io.BufferedReader:
        """Open the file as Python does, for reading."""
        return io.BufferedReader(Raw(self), buffer_size)


class Raw(io.RawIOBase):
    """A file as Python's io sees it."""

    def __init__(self, file: OpenFile) -> None:
        self._file, self._at = file, 0

    @property
    def name(self) -> str:
        """The path."""
        return self._file.path

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def size(self) -> int:
        """Return the size, which pyarrow asks for."""
        return self._file.size

    def readinto(self, into: Any) -> int:
        """Read at the place."""
        data = self._file.read_at(self._at, len(into))
        into[: len(data)] = data
        self._at += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Read at the place, in one request."""
        data = self._file.read_at(self._at, self._file.size if size is None or size < 0 else size)
        self._at += len(data)
        return data
