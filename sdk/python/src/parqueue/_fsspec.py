"""An open dataset as a filesystem of fsspec; only to be imported where fsspec is."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import fsspec

from ._exceptions import NotFoundError

if TYPE_CHECKING:
    from ._reading import OpenDataset


class ParqueueFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """The files of one open dataset."""

    protocol = "parqueue"
    cachable = False

    def __init__(self, opened: OpenDataset, **options: Any) -> None:
        super().__init__(**options)
        self._opened = opened

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("parqueue://").strip("/")

    def _entry(self, path: str) -> dict[str, Any]:
        f = self._opened.file(path)
        return {"name": f.path, "size": f.size, "type": "file"}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Return name, size and type."""
        path = self._strip_protocol(path)
        if path in ("", self._opened.dataset_id):
            return {"name": path, "size": 0, "type": "directory"}
        try:
            return self._entry(path)
        except NotFoundError:
            raise FileNotFoundError(path) from None

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """List the files in order."""
        path = self._strip_protocol(path)
        every = path in ("", self._opened.dataset_id)
        entries = [self._entry(p) for p in self._opened.paths] if every else [self.info(path)]
        return entries if detail else [e["name"] for e in entries]

    def modified(self, path: str) -> datetime:
        """Return when a file was uploaded; it has not changed since."""
        at = self._opened.file(self._strip_protocol(path)).info.uploaded_at
        return at or datetime.fromtimestamp(0, timezone.utc)

    created = modified

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            raise OSError("a dataset is read here, and not written")
        return self._opened.file(self._strip_protocol(path)).open()
