"""Files on their way out of the store, without a daemon: ranges of presigned URLs, side by side.

A file is fetched beside its place, into ``.parqueue-<id>.part``, with a list of the ranges that it has: the same call goes on where
one broke off. It is moved to its place when it is whole and has the right checksum.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._api import Answer, retry_after
from ._checksum import Sum
from ._checksum import available as checks
from ._disk import writing
from ._exceptions import ChecksumMismatchError, ConflictError, ConnectionError, InvalidRequestError
from ._http import Lanes, exchange, read_at_most
from ._models import DownloadedFile, DownloadResult
from ._progress import Meter, Tell
from ._retry import Again, Retry, persist
from ._upload import all_of, refused

_RANGE = 8 << 20
_URLS_FOR = 200.0  # seconds; the server makes them good for 5 minutes
_STORE = "The place where files are stored"


@dataclass(frozen=True)
class Wanted:
    """A file to fetch.

    Attributes:
        name: what it is to be called.
        key: names its bytes: never those of another file.
        size: in bytes.
        checksum: CRC-64/NVME, or "".
        locate: asks for a URL.

    """

    name: str
    key: str
    size: int
    checksum: str
    locate: Callable[[], Awaitable[Answer]]


async def download_files(
    client: Lanes,
    retry: Retry,
    connections: int,
    files: Sequence[Wanted],
    folder: Path,
    overwrite: bool,
    tell: Tell | None,
) -> DownloadResult:
    """Fetch files into a folder. Files that are there with the right bytes stay."""
    folder = folder.absolute()
    with writing(folder):
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    meter = Meter(tell, len(files), sum(f.size for f in files))
    gate = asyncio.Semaphore(connections)
    try:
        await all_of(
            [_Fetching(client, retry, gate, meter, i, f, folder, overwrite).fetch() for i, f in enumerate(files)],
            2 * connections,
        )
    finally:
        meter.end()
    return DownloadResult(tuple(DownloadedFile(folder / f.name, f.size, f.name) for f in files))


def check_name(name: str) -> str:
    """Refuse a name that would lead out of the folder; the server has none, whoever answers may."""
    if not name or name in (".", "..") or any(c in name for c in "/\\\0") or (os.name == "nt" and ":" in name):
        raise InvalidRequestError("invalid_file_name", f"{name!r} can't be the name of a file.", "Check the server's URL.")
    return name


class _Fetching:
    """One file on its way."""

    def __init__(
        self,
        client: Lanes,
        retry: Retry,
        gate: asyncio.Semaphore,
        meter: Meter,
        index: int,
        file: Wanted,
        folder: Path,
        overwrite: bool,
    ) -> None:
        self._client, self._retry, self._gate, self._meter, self._index = client, retry, gate, meter, index
        self._file, self._overwrite = file, overwrite
        self._to = folder / check_name(file.name)
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", file.key)
        self._part = folder / f".parqueue-{safe}.part"
        self._had = folder / f".parqueue-{safe}.ranges"
        self._url, self._since = "", 0.0
        self._lock = asyncio.Lock()

    async def fetch(self) -> None:
        file, meter = self._file, self._meter
        meter.begin(self._index, file.name)
        try:
            with writing(self._to):
                if await self._there():
                    meter.add(file.size, moved=False)
                else:
                    await self._fetch()
        finally:
            meter.leave(self._index)
        meter.file_done(file.name)

    async def _there(self) -> bool:
        if not self._to.exists():
            return False
        comparable = self._to.stat().st_size == self._file.size and checks() and self._file.checksum
        if comparable and await asyncio.to_thread(_checksum_of, self._to) == self._file.checksum:
            self._forget()  # what a process left that was killed as it had moved the file
            return True
        if not self._overwrite:
            raise ConflictError(
                "file_exists",
                f"{self._to} is another file.",
                "Move it away, or say overwrite=True.",
                {"path": str(self._to)},
            )
        return False

    async def _fetch(self) -> None:
        size = self._file.size
        done = await asyncio.to_thread(self._resume)
        count = max(1, -(-size // _RANGE))
        self._meter.add(sum(min(_RANGE, size - n * _RANGE) for n in done), moved=False)
        got = [0]
        with open(self._part, "r+b", buffering=0) as out, open(self._had, "a", encoding="ascii") as log:

            async def one(number: int) -> None:
                start = number * _RANGE
                length = min(_RANGE, size - start)
                async with self._gate:
                    await persist(self._retry, lambda: self._get(out, start, length))
                got[0] += length
                log.write(f"{number}\n")
                log.flush()

            await all_of([one(n) for n in range(count) if n not in done and size > 0], 16)
            await asyncio.to_thread(os.fsync, out.fileno())
        if checks() and self._file.checksum:
            found = await asyncio.to_thread(_checksum_of, self._part)
            if found != self._file.checksum:
                self._forget()
                self._meter.add(-size, moved=False)
                raise ChecksumMismatchError(
                    "checksum_mismatch",
                    f"{self._file.name} arrived with another checksum than the server's.",
                    "Nothing was put in its place. Make the same call again; if it stays so, verify the dataset.",
                    {"file_name": self._file.name},
                )
        os.replace(self._part, self._to)
        self._forget()

    def _resume(self) -> set[int]:
        """Find the ranges that an earlier run has fetched, and have a file of the right size for the others."""
        done: set[int] = set()
        count = max(1, -(-self._file.size // _RANGE))
        with contextlib.suppress(OSError, ValueError):
            if self._part.stat().st_size == self._file.size:
                lines = self._had.read_text("ascii").split("\n")[:-1]  # the last one may be half a line
                done = {int(line) for line in lines if 0 <= int(line) < count}
        if not done:
            with open(self._part, "wb") as out:
                out.truncate(self._file.size)
            self._had.write_text("", "ascii")
        return done

    def _forget(self) -> None:
        for path in (self._part, self._had):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    async def _locate(self) -> str:
        async with self._lock:
            if not self._url or time.monotonic() - self._since > _URLS_FOR:
                answer = await self._file.locate()
                if int(answer.get("size_bytes", self._file.size)) != self._file.size:
                    raise ConflictError("file_changed", f"{self._file.name} is another file by now.", "Make the same call again.")
                self._url, self._since = str(answer["url"]), time.monotonic()
            return self._url

    async def _get(self, out: Any, start: int, length: int) -> None:
        """Fetch a range once."""
        url = await self._locate()
        counted = 0
        headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        try:
            async with exchange(self._client, "GET", url, where=_STORE, headers=headers) as response:
                whole = response.status_code == 200 and start == 0 and length == self._file.size
                if response.status_code != 206 and not whole:
                    text = await read_at_most(response, 64 << 10, _STORE) if response.status_code != 200 else b""
                    raise refused(response.status_code, text, retry_after(response))
                async for data in response.aiter_raw(256 << 10):
                    if counted + len(data) > length:
                        raise Again(ConnectionError("unavailable", f"{_STORE} sent too much.", "Make the same call again."))
                    with writing(self._part):
                        await asyncio.to_thread(_write, out, data, start + counted)
                    counted += len(data)
                    self._meter.add(len(data))
            if counted != length:
                raise Again(ConnectionError("unavailable", f"{_STORE} sent too little.", "Make the same call again."))
        except BaseException:
            self._url = ""  # it may have expired, or lead to where nobody is any more
            self._meter.add(-counted)
            raise


def _write(out: Any, data: bytes, offset: int) -> None:
    if hasattr(os, "pwrite"):
        view = memoryview(data)
        while view:
            n = os.pwrite(out.fileno(), view, offset)
            view, offset = view[n:], offset + n
        return
    with open(out.name, "r+b") as own:
        own.seek(offset)
        own.write(data)


def _checksum_of(path: Path) -> str | None:
    total = Sum()
    with open(path, "rb", buffering=0) as f:
        while data := f.read(1 << 20):
            total = total.add(data)
    return total.text()


def write_order(folder: Path, names: Sequence[str]) -> None:
    """Say in ``_order.json`` in what order the files are."""
    temporary = folder / "._order.json.part"
    with writing(folder):
        temporary.write_text(json.dumps(list(names), indent=2, ensure_ascii=False) + "\n", "utf-8")
        os.replace(temporary, folder / "_order.json")
