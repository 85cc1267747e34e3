"""What can go wrong.

::

    ParqueueError                    everything below; .code, .message, .hint, .details
    ├── ConnectionError              neither the daemon nor the server can be reached (also the builtin)
    └── DaemonError                  the daemon or the server refused
        ├── DaemonTimeoutError       transfer_timeout_s is over (also the builtin TimeoutError)
        ├── UnauthorizedError        nobody is signed in, or the key is not valid
        ├── ForbiddenError           the key is valid and may not do that
        ├── NotFoundError            no such dataset, file, upload or asset
        ├── ConflictError            a name is taken, or something has changed meanwhile
        │   └── SchemaMismatchError  a file has another schema than its dataset; .diff, .table
        ├── InvalidFileError         a file is not sound Parquet
        ├── ChecksumMismatchError    bytes were damaged on their way
        ├── TooLargeError            more bytes than can be taken
        ├── InvalidRequestError      anything else that has to be asked for in another way
        └── ServerError              nothing that the caller did

``code`` is the API's and never changes: branch on it where the class is not enough.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any


class ParqueueError(Exception):
    """The base of every error of this package.

    Attributes:
        code: names the kind of failure, such as ``dataset_not_found``; it never changes.
        message: a sentence for people.
        hint: what to do next; may be empty.
        details: what else the answer said, such as ``diff`` or ``file_name``.

    """

    def __init__(self, code: str, message: str, hint: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message, self.hint, self.details)


class ConnectionError(ParqueueError, builtins.ConnectionError):  # noqa: A001 - the name that is documented
    """Neither the daemon nor the server can be reached; the same call may be made again."""


class DaemonError(ParqueueError):
    """The daemon or the server refused. Without a daemon it is raised all the same."""


class DaemonTimeoutError(DaemonError, builtins.TimeoutError):
    """The time that a transfer was given is over.

    By a daemon it goes on, and the same call joins it; without one the same call resumes it.
    """


class UnauthorizedError(DaemonError):
    """Nobody is signed in, or the key is not valid."""


class ForbiddenError(DaemonError):
    """The key is valid and may not do that."""


class NotFoundError(DaemonError):
    """No such dataset, file, upload or asset, or not one of this key's."""


class ConflictError(DaemonError):
    """A name is taken, or something has changed meanwhile."""


class SchemaMismatchError(ConflictError):
    """A file has another schema than its dataset."""

    @property
    def diff(self) -> dict[str, Any]:
        """What differs: ``missing``, ``extra`` and ``changed`` columns."""
        return dict(self.details.get("diff") or {})

    @property
    def table(self) -> list[str]:
        """The difference as lines for people."""
        return _table(self.diff)

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.table)]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class InvalidFileError(DaemonError):
    """A file is not sound Parquet, or of a kind that a dataset does not take."""


class ChecksumMismatchError(DaemonError):
    """The bytes that arrived are not those that were sent."""


class TooLargeError(DaemonError):
    """More bytes than can be taken."""


class InvalidRequestError(DaemonError):
    """The call can't succeed as it was made."""


class ServerError(DaemonError):
    """Something went wrong on the server, or it has no room left."""


_BY_CODE: dict[str, type[ParqueueError]] = {
    "schema_mismatch": SchemaMismatchError,
    "checksum_mismatch": ChecksumMismatchError,
    "request_too_large": TooLargeError,
    "unavailable": ConnectionError,
    "internal": ServerError,
    "storage_full": ServerError,
    "unauthorized": UnauthorizedError,
    "forbidden": ForbiddenError,
    **dict.fromkeys(
        [
            "not_parquet",
            "truncated_parquet",
            "invalid_parquet",
            "encrypted_parquet",
            "parquet_limit",
            "unsupported_parquet",
        ],
        InvalidFileError,
    ),
    **dict.fromkeys(
        [
            "file_exists",
            "version_mismatch",
            "upload_closed",
            "upload_incomplete",
            "file_changed",
            "conflict",
            "alias_taken",
            "asset_changed",
        ],
        ConflictError,
    ),
}

_BY_STATUS: dict[int, type[ParqueueError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    413: TooLargeError,
    429: ConnectionError,
    502: ConnectionError,
    503: ConnectionError,
    504: ConnectionError,
}


def error_of(body: Mapping[str, Any], status: int = 0) -> ParqueueError:
    """Rebuild the error that a server or a daemon made."""
    details = dict(body)
    code = str(details.pop("code", "") or "internal")
    message = str(details.pop("error", "") or details.get("message") or code)
    details.pop("message", None)
    hint = str(details.pop("hint", "") or "")
    kind = _BY_CODE.get(code)
    if kind is None and code.endswith("_not_found"):
        kind = NotFoundError
    if kind is None:
        kind = _BY_STATUS.get(status)
    if kind is None:
        kind = InvalidRequestError if code.startswith("invalid_") or 400 <= status < 500 else DaemonError
    if kind is DaemonError and status >= 500:
        kind = ServerError
    return kind(code, message, hint, details)


def _table(diff: Mapping[str, Any]) -> list[str]:
    rows = [(c["column"], c["expected"], c["found"]) for c in diff.get("changed") or ()]
    rows += [(c["column"], c["type"], "-") for c in diff.get("missing") or ()]
    rows += [(c["column"], "-", c["type"]) for c in diff.get("extra") or ()]
    if not rows:
        return []
    more = sum(int(diff.get(f"{kind}_count") or 0) for kind in ("changed", "missing", "extra")) - len(rows)
    if more > 0:
        rows.append((f"… and {more} more", "", ""))
    rows.insert(0, ("COLUMN", "EXPECTED", "FOUND"))
    first, second = (max(len(row[i]) for row in rows) + 2 for i in (0, 1))
    return [f"{a:<{first}}{b:<{second}}{c}".rstrip() for a, b, c in rows]
