"""Datasets, for asyncio."""

from __future__ import annotations

import asyncio
import builtins
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _tables
from ._api import new_key, pages
from ._daemon import in_time
from ._download import Wanted, check_name, download_files, write_order
from ._exceptions import InvalidRequestError, NotFoundError
from ._models import Dataset, DatasetFile, DatasetUploadResult, DownloadedFile, DownloadResult, read
from ._progress import Tell
from ._sources import LocalFile, Order, find, unique
from ._upload import upload_files

if TYPE_CHECKING:
    from ._async_client import AsyncParqueueClient

_DATASETS_PAGE = 100
_FILES_PAGE = 10_000
_FIELDS = ["file_name", "file_id", "position", "size_bytes", "row_count", "checksum_crc64nvme", "uploaded_at"]


class Clock:
    """The time that a call has."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left, or None for any number."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


class AsyncDatasets:
    """The datasets of a server; see Datasets, which says the same of each call."""

    def __init__(self, client: AsyncParqueueClient) -> None:
        self._client = client

    async def create(self, name: str | None = None, metadata: Mapping[str, Any] | None = None) -> Dataset:
        """Make an empty dataset."""
        body: dict[str, Any] = {}
        if name is not None:
            body["name"] = name
        if metadata is not None:
            body["metadata"] = metadata
        api, _ = await self._client.ready()
        return read(Dataset, await api.call("create-dataset", body, new_key()))

    async def list(self) -> builtins.list[Dataset]:
        """List all datasets, newest first."""
        api, _ = await self._client.ready()
        return [read(Dataset, row) async for row in pages(api, "list-datasets", "datasets", {}, _DATASETS_PAGE)]

    async def get(self, dataset: str | Dataset) -> Dataset:
        """Ask for one dataset."""
        api, _ = await self._client.ready()
        return read(Dataset, await api.call("get-dataset", {"dataset_id": id_of(dataset)}))

    async def files(self, dataset: str | Dataset) -> builtins.list[DatasetFile]:
        """List the files of a dataset in order."""
        api, _ = await self._client.ready()
        request = {"dataset_id": id_of(dataset), "fields": _FIELDS}
        return [read(DatasetFile, row) async for row in pages(api, "list-dataset-files", "files", request, _FILES_PAGE)]

    async def url(self, dataset: str | Dataset, file_name: str) -> str:
        """Make a URL that anyone can fetch a file with, for some minutes."""
        return str((await self.locate(id_of(dataset), file_name))["url"])

    async def locate(self, dataset_id: str, file_name: str) -> dict[str, Any]:
        """Ask where a file is, with its size and checksum."""
        api, _ = await self._client.ready()
        request = {"dataset_id": dataset_id, "file_name": file_name, "delivery": "url"}
        return await api.call("download-from-dataset", request)

    async def delete(self, dataset: str | Dataset, *, if_version: int | None = None) -> None:
        """Delete a dataset and all that is in it."""
        api, _ = await self._client.ready()
        body: dict[str, Any] = {"dataset_id": id_of(dataset)}
        if if_version is not None:
            body["if_version"] = if_version
        await api.call("delete-dataset", body, new_key())

    async def delete_file(self, dataset: str | Dataset, file_name: str) -> None:
        """Take a file out of a dataset; its position stays empty."""
        api, _ = await self._client.ready()
        await api.call("delete-dataset-file", {"dataset_id": id_of(dataset), "file_name": file_name}, new_key())

    async def upload(
        self,
        dataset: str | Dataset,
        source: Any,
        *,
        name: str | None = None,
        order: Order = "name",
        any_order: bool = False,
        compression: str = "zstd",
        row_group_rows: int | None = None,
        on_progress: Tell | None = None,
        transfer_timeout_s: float | None = None,
    ) -> DatasetUploadResult:
        """Upload files, folders, tables or data frames; see Datasets.upload."""
        dataset_id = id_of(dataset)
        clock = Clock(transfer_timeout_s)
        await self._client.ready()
        paths, tables = _sorted_out(source)
        if tables is None:
            if name is not None:
                raise InvalidRequestError("invalid_request", "A name is for tables; files have their own.", "Leave name out.")
            files = await asyncio.to_thread(find, paths, order)
            return await self._send(dataset_id, files, any_order, on_progress, clock)
        single = _tables.is_table(source)
        names = iter([_tables.single_name(name)]) if single else _tables.file_names(name)
        total = DatasetUploadResult(dataset_id)
        with _tables.new_folder() as folder:
            lots = _tables.written(tables, names, Path(folder), compression, row_group_rows)
            while True:
                lot = await asyncio.to_thread(next, lots, None)
                if lot is None:
                    return total
                files = [LocalFile.at(path) for path in lot]
                total += await self._send(dataset_id, files, False, on_progress, clock, lasting=False)

    async def _send(
        self,
        dataset_id: str,
        files: Sequence[LocalFile],
        any_order: bool,
        tell: Tell | None,
        clock: Clock,
        *,
        lasting: bool = True,
    ) -> DatasetUploadResult:
        unique(files)
        _, daemon = await self._client.ready()
        if daemon is None:
            return await in_time(upload_files(self._client.way(), dataset_id, files, any_order, tell), clock.left())
        request = {"dataset_id": dataset_id, "paths": [f.path for f in files], "order": "given", "any_order": any_order}
        done = await daemon.transfer("upload_dataset", request, tell, clock.left(), lasting=lasting)
        return read(DatasetUploadResult, done, dataset_id=dataset_id)

    async def download(
        self,
        dataset: str | Dataset,
        to: str | os.PathLike[str],
        *,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        on_progress: Tell | None = None,
        transfer_timeout_s: float | None = None,
    ) -> DownloadResult:
        """Download a dataset, or some files of it, into a folder; see Datasets.download."""
        dataset_id, folder, names, tell = id_of(dataset), Path(to).absolute(), files, on_progress
        _, daemon = await self._client.ready()
        chosen = await self.chosen(dataset_id, names)
        if daemon is not None:
            request = {
                "dataset_id": dataset_id,
                "to": str(folder),
                "overwrite": overwrite,
                "files": None if names is None else list(names),
            }
            await daemon.transfer("download_dataset", request, tell, transfer_timeout_s)
            return DownloadResult(tuple(DownloadedFile(folder / check_name(f.file_name), f.size_bytes, f.file_name) for f in chosen))
        way = self._client.way()
        wanted = [
            Wanted(f.file_name, f.file_id, f.size_bytes, f.checksum_crc64nvme, _locator(self, dataset_id, f.file_name)) for f in chosen
        ]
        work = download_files(way.client, way.retry, way.connections, wanted, folder, overwrite, tell)
        done = await in_time(work, transfer_timeout_s)
        if names is None:
            await asyncio.to_thread(write_order, folder, [f.file_name for f in chosen])
        return done

    async def chosen(self, dataset_id: str, names: Sequence[str] | None) -> Sequence[DatasetFile]:
        """Return the files of a dataset that have these names, in the order of the dataset; without names all."""
        every: Sequence[DatasetFile] = await self.files(dataset_id)
        if names is None:
            return every
        wanted = set(names)
        chosen = [f for f in every if f.file_name in wanted]
        missing = sorted(wanted - {f.file_name for f in chosen})
        if missing:
            raise NotFoundError(
                "file_not_found",
                f'The dataset has no file "{missing[0]}".',
                "Look at files().",
                {"file_name": missing[0]},
            )
        return chosen


def _locator(datasets: AsyncDatasets, dataset_id: str, name: str) -> Any:
    return lambda: datasets.locate(dataset_id, name)


def id_of(dataset: str | Dataset) -> str:
    """Return a dataset's id."""
    return dataset.dataset_id if isinstance(dataset, Dataset) else dataset


def _sorted_out(source: Any) -> tuple[Sequence[str | os.PathLike[str]], Iterable[Any] | None]:
    """Tell paths from tables."""
    if isinstance(source, (str, os.PathLike)):
        return [source], None
    if _tables.is_table(source):
        return [], [source]
    if not isinstance(source, Iterable):
        raise InvalidRequestError(
            "invalid_request",
            f"A {type(source).__module__}.{type(source).__qualname__} can't be uploaded.",
            "Give paths, pyarrow Tables, pandas or polars DataFrames, or an iterator of them.",
        )
    rest: Iterator[Any] = iter(source)
    first = next(rest, None)
    if first is None:
        return [], None
    if isinstance(first, (str, os.PathLike)):
        return [first, *rest], None
    return [], _chain(first, rest)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
