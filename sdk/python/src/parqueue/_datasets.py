"""Datasets, blocking."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._async_datasets import id_of
from ._models import Dataset, DatasetFile, DatasetUploadResult, DownloadResult
from ._progress import Tell
from ._reading import OpenDataset
from ._sources import Order

if TYPE_CHECKING:
    from ._client import ParqueueClient


class Datasets:
    """The datasets of a server. Wherever a dataset is meant, give its id or what ``get`` returned."""

    def __init__(self, client: ParqueueClient) -> None:
        self._client = client

    @property
    def _async(self) -> Any:
        return self._client._core.datasets

    def create(self, name: str | None = None, metadata: Mapping[str, Any] | None = None) -> Dataset:
        """Make an empty dataset.

        Args:
            name: for people; two datasets may have the same.
            metadata: a JSON object of up to 16 KiB.

        """
        created: Dataset = self._client._run(self._async.create(name, metadata))
        return created

    def list(self) -> builtins.list[Dataset]:
        """List all datasets that the key reaches, newest first."""
        every: builtins.list[Dataset] = self._client._run(self._async.list())
        return every

    def get(self, dataset: str | Dataset) -> Dataset:
        """Ask for one dataset, as it is now. Raises NotFoundError."""
        found: Dataset = self._client._run(self._async.get(dataset))
        return found

    def files(self, dataset: str | Dataset) -> builtins.list[DatasetFile]:
        """List the files of a dataset in order."""
        every: builtins.list[DatasetFile] = self._client._run(self._async.files(dataset))
        return every

    def url(self, dataset: str | Dataset, file_name: str) -> str:
        """Make a URL that anyone can fetch a file with by GET, for some minutes. It is a secret as long."""
        return str(self._client._run(self._async.url(dataset, file_name)))

    def upload(
        self,
        dataset: str | Dataset,
        source: str | os.PathLike[str] | Iterable[Any] | Any,
        *,
        name: str | None = None,
        order: Order = "name",
        any_order: bool = False,
        compression: str = "zstd",
        row_group_rows: int | None = None,
        on_progress: Tell | None = None,
        progress: bool | None = None,
        transfer_timeout_s: float | None = None,
    ) -> DatasetUploadResult:
        """Upload to a dataset, in order.

        What is in the dataset is at every moment a prefix of what was given. After any interruption make the same call again:
        files that are there are skipped, and parts that have arrived are not sent again.

        Args:
            dataset: where to.
            source: a path, or several: files, patterns such as ``days/*.parquet``, and folders, of which the files called
                ``*.parquet`` are taken that don't begin with a dot or ``_``. Or a pyarrow Table, a pandas or polars DataFrame, or an
                iterator of them, which is taken as it goes: each becomes a file. An index of pandas without a name is left
                out; one with a name has to be made a column.
            name: of the file that a table becomes; several are called ``<name>-00000.parquet`` and so on.
            order: of files: ``name`` (part-2 before part-10), ``mtime`` or ``given``.
            any_order: let files come behind ones that are in the dataset and were to come after them.
            compression: of the files that tables become.
            row_group_rows: of the files that tables become; by default a row group is about 128 MiB in memory.
            on_progress: called with a ProgressEvent several times a second, in this thread.
            progress: show a bar by tqdm: True, False, or None for where tqdm is installed and on_progress is not given.
            transfer_timeout_s: raise DaemonTimeoutError after so many seconds.

        Raises:
            SchemaMismatchError: a file has another schema than the dataset. The server looks at the footer before the
                file's other bytes are sent.
            InvalidFileError: a file is not sound Parquet.
            ConflictError: a name is taken by another file, or the order can't be had.

        """

        def work(tell: Tell) -> Any:
            return self._async.upload(
                dataset,
                source,
                name=name,
                order=order,
                any_order=any_order,
                compression=compression,
                row_group_rows=row_group_rows,
                on_progress=tell,
                transfer_timeout_s=transfer_timeout_s,
            )

        result: DatasetUploadResult = self._client._observe(work, "upload", on_progress, progress)
        return result

    def download(
        self,
        dataset: str | Dataset,
        to: str | os.PathLike[str],
        *,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        on_progress: Tell | None = None,
        progress: bool | None = None,
        transfer_timeout_s: float | None = None,
    ) -> DownloadResult:
        """Download a dataset, or some files of it, into a folder.

        Files are put in their places whole, when their checksum is right; the same call resumes. ``_order.json`` has the
        order of a whole dataset.

        Args:
            dataset: which one.
            to: the folder; it is made.
            files: names of files; all without.
            overwrite: replace other files that have the names.
            on_progress: called with a ProgressEvent several times a second, in this thread.
            progress: show a bar by tqdm: True, False, or None for where tqdm is installed and on_progress is not given.
            transfer_timeout_s: raise DaemonTimeoutError after so many seconds.

        """

        def work(tell: Tell) -> Any:
            return self._async.download(
                dataset, to, files=files, overwrite=overwrite, on_progress=tell, transfer_timeout_s=transfer_timeout_s
            )

        result: DownloadResult = self._client._observe(work, "download", on_progress, progress)
        return result

    def open(self, dataset: str | Dataset, files: Sequence[str] | None = None) -> OpenDataset:
        """Open a dataset for reading where it is, in order: by pyarrow, polars, DuckDB, pandas, or as files.

        It is as it was when it was opened: files that are appended later are not in it. Reading ends with the client.
        """
        dataset_id = id_of(dataset)
        chosen: Any = self._client._run(self._async.chosen(dataset_id, files))
        return OpenDataset(self._client._core, self._client._run, dataset_id, chosen)

    def delete(self, dataset: str | Dataset, *, if_version: int | None = None) -> None:
        """Delete a dataset and all that is in it, for good. With if_version only if it still is of that version."""
        self._client._run(self._async.delete(dataset, if_version=if_version))

    def delete_file(self, dataset: str | Dataset, file_name: str) -> None:
        """Take a file out of a dataset. Its position stays empty, and no other file moves."""
        self._client._run(self._async.delete_file(dataset, file_name))
