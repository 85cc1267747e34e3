"""What there is to upload: files, folders and patterns become files in order."""

from __future__ import annotations

import glob
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ._disk import reading
from ._exceptions import InvalidRequestError, NotFoundError
from ._natural import path_key

StrPath = str | os.PathLike[str]
Order = Literal["name", "mtime", "given"]

MAX_FILES = 1_000_000
_FOOTER_LIMIT = 3 << 20


@dataclass(frozen=True)
class LocalFile:
    """A file as it was when it was found."""

    path: str
    name: str
    sort: str
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def at(cls, path: str, sort: str = "", name: str = "") -> LocalFile:
        """Look at a file. Raises NotFoundError or InvalidRequestError."""
        with reading(path):
            status = os.stat(path)
        if not os.path.isfile(path):
            raise InvalidRequestError("invalid_request", f"{path} is not a file.", "Name files or folders.", {"path": path})
        base = name or os.path.basename(path)
        return cls(os.path.abspath(path), base, sort or base, status.st_size, status.st_mtime_ns, status.st_ino)

    def check_unchanged(self) -> None:
        """Raise ConflictError's file_changed if the file is not what it was."""
        try:
            now = LocalFile.at(self.path, self.sort, self.name)
        except NotFoundError:
            raise changed(self.path, "was removed") from None
        if (now.size, now.mtime_ns, now.inode) != (self.size, self.mtime_ns, self.inode):
            raise changed(self.path)

    def identity(self) -> str:
        """Name the file as it is: an upload that broke off is found again by it."""
        return "\0".join([socket.gethostname(), self.path, str(self.size), str(self.mtime_ns), str(self.inode)])

    def footer(self) -> bytes | None:
        """Read the end of a Parquet file, by which the server refuses it before a byte moves; None when it can't be one."""
        if self.size < 12:
            return None
        with reading(self.path), open(self.path, "rb") as f:
            f.seek(-8, os.SEEK_END)
            length, magic = struct.unpack("<I4s", f.read(8))
            if magic != b"PAR1" or length + 8 > min(self.size, _FOOTER_LIMIT):
                return None
            f.seek(-8 - length, os.SEEK_END)
            return f.read(length + 8)


def changed(path: str, what: str = "changed") -> InvalidRequestError:
    """Make the error of a file that was written to, or removed, while it was sent."""
    return InvalidRequestError(
        "file_changed",
        f"{path} {what} while it was being sent.",
        "It was not appended, nor was any file behind it. Upload again when nothing writes to it.",
        {"path": path},
    )


def find(paths: Sequence[StrPath], order: Order) -> list[LocalFile]:
    """Find the files, in their order. In folders these are ``*.parquet`` but what begins with a dot or ``_``."""
    if order not in ("name", "mtime", "given"):
        raise InvalidRequestError("invalid_request", f"There is no order {order!r}.", "It is name, mtime or given.")
    files: list[LocalFile] = []
    for path in [os.fspath(p) for p in paths]:
        found = [path]
        if not os.path.lexists(path) and glob.has_magic(path):
            found = sorted(glob.glob(path), key=path_key)
            if not found:
                raise NotFoundError("file_not_found", f"Nothing matches {path}.", "Check the pattern.", {"path": path})
        for one in found:
            if os.path.isdir(one):
                inside = [LocalFile.at(p, sort) for p, sort in _walk(one)]
                files += sorted(inside, key=lambda f: path_key(f.sort))
            else:
                files.append(LocalFile.at(one))
            if len(files) > MAX_FILES:
                raise InvalidRequestError("invalid_request", "There are more than a million files.", "Upload them folder by folder.")
    unique(files)
    if order == "name":
        files.sort(key=lambda f: path_key(f.sort))
    elif order == "mtime":
        files.sort(key=lambda f: (f.mtime_ns, path_key(f.sort)))
    return files


def _walk(folder: str) -> Iterable[tuple[str, str]]:
    for at, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith((".", "_"))]
        for name in names:
            if name.endswith(".parquet") and not name.startswith((".", "_")):
                path = os.path.join(at, name)
                yield path, Path(path).relative_to(folder).as_posix()


def unique(files: Iterable[LocalFile]) -> None:
    """Refuse two files of one name, which a dataset can't hold."""
    seen: dict[str, str] = {}
    for f in files:
        if f.name in seen:
            raise InvalidRequestError(
                "file_exists",
                f"{seen[f.name]} and {f.path} have the same name.",
                "A dataset has each name once: rename one of them.",
                {"path": f.path},
            )
        seen[f.name] = f.path
