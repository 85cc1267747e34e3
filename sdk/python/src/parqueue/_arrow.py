"""An open dataset as a filesystem of pyarrow; only to be imported where pyarrow is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow
import pyarrow.fs

if TYPE_CHECKING:
    from ._reading import OpenDataset


def filesystem(opened: OpenDataset) -> Any:
    """Make the filesystem."""
    return pyarrow.fs.PyFileSystem(_Handler(opened))


class _Handler(pyarrow.fs.FileSystemHandler):  # type: ignore[misc]
    def __init__(self, opened: OpenDataset) -> None:
        self._opened = opened

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handler) and other._opened is self._opened

    def __hash__(self) -> int:
        return id(self._opened)

    def get_type_name(self) -> str:
        return "parqueue"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[Any]:
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> Any:
        if path in self._opened.paths:
            return pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.File, size=self._opened.file(path).size)
        kind = pyarrow.fs.FileType.Directory if path in ("", self._opened.dataset_id) else pyarrow.fs.FileType.NotFound
        return pyarrow.fs.FileInfo(path, kind)

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        return self.get_file_info(self._opened.paths) if selector.base_dir in ("", self._opened.dataset_id) else []

    def open_input_file(self, path: str) -> Any:
        from ._reading import Raw

        return pyarrow.PythonFile(Raw(self._opened.file(path)), mode="r")

    open_input_stream = open_input_file

    def _read_only(self, *_: Any, **__: Any) -> NoReturn:
        raise OSError("a dataset is read here, and not written")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _read_only
    move = copy_file = open_output_stream = open_append_stream = _read_only
