"""What can go wrong with files of this machine, as errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from ._exceptions import InvalidRequestError, NotFoundError, ParqueueError, ServerError


def unreadable(path: str, error: OSError) -> ParqueueError:
    """Name an error of reading a file."""
    if isinstance(error, FileNotFoundError):
        return NotFoundError("file_not_found", f"{path} is not there.", "Check the path.", {"path": path})
    return InvalidRequestError("invalid_request", f"{path} can't be read: {error.strerror}.", "Check its permissions.", {"path": path})


def unwritable(path: str | os.PathLike[str], error: OSError) -> ParqueueError:
    """Name an error of writing to a file or folder."""
    details = {"path": os.fspath(path)}
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        hint = "Free some space and make the same call again: it goes on where it was."
        return ServerError("storage_full", f"There is no room left to write {os.fspath(path)}.", hint, details)
    hint = "Check the disk, and make the same call again."
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        hint = "Choose a folder that you may write to."
    return InvalidRequestError("invalid_request", f"{os.fspath(path)} can't be written: {error.strerror}.", hint, details)


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Name the errors of a block that reads a file."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ParqueueError):
            raise
        raise unreadable(path, error) from None


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the errors of a block that writes to a file or folder."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ParqueueError):
            raise
        raise unwritable(path, error) from None
