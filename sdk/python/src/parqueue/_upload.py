"""Files on their way into the store, without a daemon: parts by presigned URLs, side by side.

Nothing has to be remembered between two runs. The Idempotency-Key that a file's upload is created under is made of what the
file is, so the same call finds the same upload again and asks which parts of it have arrived.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ._api import Answer, Api, pages, retry_after
from ._checksum import Sum
from ._checksum import available as checks
from ._disk import reading
from ._exceptions import ChecksumMismatchError, ConflictError, ConnectionError, ParqueueError, ServerError, error_of
from ._http import Lanes, exchange, read_at_most
from ._models import DatasetUploadResult
from ._progress import Meter, Tell
from ._retry import Again, Retry, persist
from ._sources import LocalFile, changed

PART = 8 << 20
_MIN_PART = 5 << 20
_MAX_PARTS = 10_000
_CHUNK = 256 << 10
_URLS_ASKED = 100
_PARTS_LISTED = 1000
_URLS_FOR = 600.0  # seconds; the server makes them good for 15 minutes
_FILES_PAGE = 10_000
_RUN = 32  # files that the server appends in one step
_MAX_APPEND = 1000
_TRIES = 4
_STORE = "The place where files are stored"


@dataclass(frozen=True)
class Way:
    """What an upload goes by."""

    api: Api
    client: Lanes
    retry: Retry
    connections: int = 16


@dataclass
class _Part:
    number: int
    offset: int
    size: int
    url: str
    headers: dict[str, str]  # to be sent with it; there are some if the file goes as one
    since: float


@dataclass
class Sending:
    """One file on its way."""

    way: Way
    file: LocalFile
    endpoint: str
    request: dict[str, Any]  # what the upload is created with
    gate: asyncio.Semaphore
    moved: Callable[[int, bool], None]  # bytes, and whether they went over the network
    upload_id: str = ""
    result: Answer = field(default_factory=lambda: Answer({}, {}))
    _urls: dict[int, _Part] = field(default_factory=dict)
    _there: set[int] = field(default_factory=set)  # parts that the server said have arrived when it was asked again
    _single: bool = False  # the file goes as one
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, complete: Mapping[str, Any]) -> Answer:
        """Send what is missing of the file and complete the upload. Raises the errors of create- and complete-upload."""
        damaged = False
        for attempt in range(_TRIES):
            try:
                return await self._round(attempt, complete)
            except ConflictError as error:
                # Of another run with the same file, or somebody aborted it: the next one is a new upload.
                if error.code != "upload_closed" or attempt == _TRIES - 1:
                    raise
            except ChecksumMismatchError:
                # What went as one is not replaced: the next one is a new upload.
                if not self._single or damaged or attempt == _TRIES - 1:
                    raise
                damaged = True
                with suppress(ParqueueError):  # or it ends by itself
                    await self.way.api.call("abort-upload", {"upload_id": self.upload_id})
        raise AssertionError("unreachable")

    async def _round(self, attempt: int, complete: Mapping[str, Any]) -> Answer:
        view = await self._create(attempt)
        self.upload_id = str(view["upload_id"])
        if view["state"] == "complete":
            self.moved(self.file.size, False)
            return view
        size, count = int(view["part_size"]), int(view["part_count"])
        self._urls, self._there = {}, set()
        self._take(view)
        self._single = any(part.headers for part in self._urls.values())
        sums: list[Sum | None] = [None] * count
        had = 0
        if view.headers.get("Idempotency-Replayed"):
            had = await self._read_arrived(sums, size)
            if had == 0:
                joined = await self._join(complete)
                if joined is not None:
                    return joined
        sent = 0
        try:
            with reading(self.file.path), open(self.file.path, "rb", buffering=0) as source:
                missing = [n for n in range(1, count + 1) if sums[n - 1] is None]

                async def one(number: int) -> None:
                    nonlocal sent
                    offset = (number - 1) * size
                    length = min(size, self.file.size - offset)
                    async with self.gate:
                        sums[number - 1] = await persist(self.way.retry, lambda: self._put(source, number, offset, length))
                        sent += length

                await all_of([one(n) for n in missing], self.way.connections)
            self.file.check_unchanged()
            whole = Sum()
            for s in sums:
                whole = whole.join(s or Sum())
            body: dict[str, Any] = {"upload_id": self.upload_id, **complete}
            if checks():
                body["checksum"] = whole.text()
            return await self.way.api.call("complete-upload", body)
        except ParqueueError as error:
            self.moved(-had - sent, False)
            error.details.setdefault("upload_id", self.upload_id)
            error.details.setdefault("path", self.file.path)
            raise

    async def _create(self, attempt: int) -> Answer:
        """Create the upload, or find the one that an earlier run created; it is open or complete."""
        footer = await asyncio.to_thread(self.file.footer) if _for_dataset(self.request) else None
        for following in range(_TRIES * 4):
            headers = key_of(self.endpoint, self.request, self.file, attempt, following)
            request = {**self.request, "limit": _URLS_ASKED, "single_put": True}
            if footer is not None:
                request["footer"] = base64.b64encode(footer).decode()
            view = await self.way.api.call(self.endpoint, request, headers)
            if (view["state"] == "complete" and self.endpoint == "create-upload") or view["state"] == "open":
                return view
        raise ConflictError("upload_closed", "The file was uploaded and removed again many times.", "Copy it, and upload the copy.")

    def _take(self, view: Mapping[str, Any]) -> None:
        now = time.monotonic()
        for p in view.get("part_urls") or ():
            number = int(p["part_number"])
            self._urls[number] = _Part(number, int(p["offset"]), int(p["size_bytes"]), str(p["url"]), p.get("headers") or {}, now)

    async def _read_arrived(self, sums: list[Sum | None], size: int) -> int:
        """Take in the parts that were sent before, by reading them here: the sum is one of the file as it is now."""
        had, following = 0, 1
        while following:
            request = {"upload_id": self.upload_id, "parts_from": following, "limit": _PARTS_LISTED}
            view = await self.way.api.call("get-upload", request)
            self._take(view)
            for p in view.get("parts") or ():
                number, length = int(p["part_number"]), int(p["size_bytes"])
                offset = (number - 1) * size
                if not 1 <= number <= len(sums) or length != min(size, self.file.size - offset):
                    continue
                sums[number - 1] = await asyncio.to_thread(_sum_of, self.file.path, offset, length)
                had += length
                self.moved(length, False)
            following = int(view.get("next_parts_from") or 0)
        return had

    async def _join(self, complete: Mapping[str, Any]) -> Answer | None:
        """Complete an upload none of whose parts are there: they may have been joined by a request that was cut off.

        To send a part of it again would be in vain, and the store closes the connection before it says so.
        """
        body: dict[str, Any] = {"upload_id": self.upload_id, **complete}
        if checks():
            body["checksum"] = (await asyncio.to_thread(_sum_of, self.file.path, 0, self.file.size)).text()
        self.file.check_unchanged()
        try:
            answer = await self.way.api.call("complete-upload", body)
        except ConflictError as error:
            if error.code == "upload_incomplete":
                return None
            raise
        self.moved(self.file.size, False)
        return answer

    async def _url(self, number: int) -> _Part | None:
        """Give where a part goes, or None if an earlier try brought it there and was not answered."""
        async with self._lock:
            part = self._urls.get(number)
            if part is None or time.monotonic() - part.since > _URLS_FOR:
                request = {"upload_id": self.upload_id, "parts_from": number, "limit": _URLS_ASKED}
                view = await self.way.api.call("get-upload", request)
                self._take(view)
                part = self._urls.get(number)
                here = {int(p["part_number"]): int(p["size_bytes"]) for p in view.get("parts") or ()}
                self._there |= {n for n, size in here.items() if n in self._urls and self._urls[n].size == size}
            if part is None:
                raise ConflictError("upload_closed", "The upload was closed meanwhile.", "Make the same call again.")
            return None if number in self._there else part

    async def _put(self, source: BinaryIO | Any, number: int, offset: int, length: int) -> Sum:
        """Send a part once."""
        part = await self._url(number)
        if part is None:
            return await self._arrived(number, offset, length)
        total, counted = Sum(), 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal total, counted
            while total.size < length:
                want = min(_CHUNK, length - total.size)
                data, total = await asyncio.to_thread(_read, self.file.path, source, offset + total.size, want, total)
                yield data
                counted += len(data)
                self.moved(len(data), True)

        try:
            async with exchange(
                self.way.client, "PUT", part.url, where=_STORE, headers={**part.headers, "Content-Length": str(length)}, content=body()
            ) as response:
                text = await read_at_most(response, 64 << 10, _STORE)
            if response.status_code == 412 and part.headers:  # it is there: the answer to an earlier try was lost
                self.moved(-counted, True)
                counted = 0
                return await self._arrived(number, offset, length)
            if response.status_code != 200:
                raise refused(response.status_code, text, retry_after(response))
            if total.size != length:
                raise Again(ConnectionError("unavailable", f"{_STORE} answered too early.", "Make the same call again."))
        except BaseException:
            self._urls.pop(number, None)  # it may have expired, or lead to where nobody is any more, or have taken the part
            self.moved(-counted, True)
            raise
        self._urls.pop(number, None)
        return total

    async def _arrived(self, number: int, offset: int, length: int) -> Sum:
        total = await asyncio.to_thread(_sum_of, self.file.path, offset, length)
        self._urls.pop(number, None)
        self.moved(length, False)
        return total


def _for_dataset(request: Mapping[str, Any]) -> bool:
    return "dataset_id" in request or str(request.get("owner_id", "")).startswith("dataset-")


def refused(status: int, text: bytes, after: float) -> Exception:
    """Say what an answer of the store that is no success means."""
    match = re.search(rb"<Code>([A-Za-z]{1,64})</Code>", text)
    code = match[1].decode() if match else ""
    details = {"status": status, "store_code": code}
    if status == 507:
        return ServerError(
            "storage_full",
            "There is no room left where files are stored.",
            "Free some space there, or ask the operator to.",
            details,
        )
    if code == "NoSuchUpload":
        return ConflictError("upload_closed", "The upload was closed meanwhile.", "Make the same call again.", details)
    error = ConnectionError(
        "unavailable",
        f"{_STORE} answered {status} {code}".strip() + ".",
        "Make the same call again: it goes on where it was.",
        details,
    )
    passing = status in (408, 429) or status >= 500 or code == "RequestTimeout"
    return Again(error, after) if passing else Again(error, tries=_TRIES)


def _read(path: str, source: Any, offset: int, want: int, before: Sum) -> tuple[bytes, Sum]:
    with reading(path):
        data = pread(source, want, offset)
    if len(data) != want:
        raise changed(path)
    return data, before.add(data)


def pread(source: Any, want: int, offset: int) -> bytes:
    """Read bytes at a place, whoever else reads the file."""
    import os

    if hasattr(os, "pread"):
        data: bytes = os.pread(source.fileno(), want, offset)
        while 0 < len(data) < want:
            more = os.pread(source.fileno(), want - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data
    with open(source.name, "rb", buffering=0) as own:
        own.seek(offset)
        return own.read(want) or b""


def _sum_of(path: str, offset: int, length: int) -> Sum:
    total = Sum()
    with reading(path), open(path, "rb", buffering=0) as source:
        source.seek(offset)
        while total.size < length:
            data = source.read(min(_CHUNK, length - total.size))
            if not data:
                raise changed(path)
            total = total.add(data)
    return total


async def all_of(work: Sequence[Awaitable[None]], at_once: int) -> None:
    """Await all, few at a time; the first failure ends the others."""
    waiting = list(reversed(work))
    running: set[asyncio.Task[None]] = set()

    async def run(one: Awaitable[None]) -> None:
        await one

    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.add(asyncio.ensure_future(run(waiting.pop())))
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)
        for one in waiting:
            with suppress(AttributeError):
                one.close()  # type: ignore[attr-defined]


def part_size(size: int, wanted: int | None = None) -> int:
    """Choose how large parts are: 8 MiB, and more where 10,000 of them would be too few."""
    chosen = max(wanted or PART, _MIN_PART)
    least = -(-size // _MAX_PARTS)
    return max(chosen, -(-least >> 20 << 20) if least > chosen else 0)


async def upload_files(way: Way, dataset_id: str, files: Sequence[LocalFile], any_order: bool, tell: Tell | None) -> DatasetUploadResult:
    """Upload files and append them in order. What is in the dataset is at every moment a prefix of them."""
    there = await _compare(way, dataset_id, files)
    if not any_order:
        _check_order(files, there)
    wanted = [f for f in files if f.name not in there]
    meter = Meter(tell, len(wanted), sum(f.size for f in wanted))
    run = _DatasetRun(way, dataset_id, wanted, meter)
    try:
        positions = await run.upload()
    finally:
        meter.end()
    return DatasetUploadResult(
        dataset_id,
        len(wanted),
        len(there),
        sum(f.size for f in wanted),
        meter.moved,
        min(positions, default=None),
        max(positions, default=None),
    )


class _DatasetRun:
    def __init__(self, way: Way, dataset_id: str, files: Sequence[LocalFile], meter: Meter) -> None:
        self._way, self._dataset_id, self._files, self._meter = way, dataset_id, files, meter
        self._ready: list[str] = [""] * len(files)
        self._more = asyncio.Event()
        self._gate = asyncio.Semaphore(way.connections)

    async def upload(self) -> list[int]:
        appending = asyncio.ensure_future(self._append())
        try:
            sending = asyncio.ensure_future(all_of([self._send(i) for i in range(len(self._files))], 2 * self._way.connections))
            done, _ = await asyncio.wait({appending, sending}, return_when=asyncio.FIRST_EXCEPTION)
            if appending in done and appending.exception() is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            elif sending in done and sending.exception() is not None:
                self._close()
                await asyncio.gather(appending, return_exceptions=True)
                sending.result()
            return await appending
        finally:
            for task in (appending, sending):
                task.cancel()
            await asyncio.gather(appending, sending, return_exceptions=True)

    async def _send(self, index: int) -> None:
        file = self._files[index]
        self._meter.begin(index, file.name)
        try:
            sending = Sending(
                self._way,
                file,
                "create-upload",
                _new_upload(self._dataset_id, file),
                self._gate,
                lambda n, moved: self._meter.add(n, moved=moved),
            )
            await sending.send({"append": False})
        finally:
            self._meter.leave(index)
        self._ready[index] = sending.upload_id
        self._more.set()

    def _close(self) -> None:
        """Have the rest be given up: what is ready without a gap is appended."""
        for i, ready in enumerate(self._ready):
            if not ready:
                self._ready = self._ready[:i]
                break
        self._more.set()

    async def _append(self) -> list[int]:
        positions: list[int] = []
        while len(positions) < len(self._ready):
            run = []
            for ready in self._ready[len(positions) : len(positions) + _MAX_APPEND]:
                if not ready:
                    break
                run.append(ready)
            rest = len(self._ready) - len(positions)
            if len(run) < min(rest, _RUN):
                self._more.clear()
                await self._more.wait()
                continue
            answer = await self._way.api.call("append-files", {"dataset_id": self._dataset_id, "upload_ids": run})
            for row in answer["files"]:
                positions.append(int(row["position"]))
                self._meter.file_done(str(row["file_name"]))
        return positions


def key_of(endpoint: str, request: Mapping[str, Any], file: LocalFile, attempt: int = 0, following: int = 0) -> dict[str, str]:
    """Make the key that an upload of this file, as it is, is created under."""
    name = json.dumps([endpoint, request, file.identity(), attempt, following], sort_keys=True)
    return {"Idempotency-Key": "py-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()}


def _new_upload(dataset_id: str, file: LocalFile) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "file_name": file.name,
        "size_bytes": file.size,
        "part_size": part_size(file.size),
    }


async def _same(way: Way, dataset_id: str, file: LocalFile, row: Mapping[str, Any]) -> bool:
    """Tell whether a file of the dataset is this one: by its checksum, or because this package sent it not long ago."""
    if file.size != row["size_bytes"]:
        return False
    if checks():
        return (await asyncio.to_thread(_sum_of, file.path, 0, file.size)).text() == str(row["checksum_crc64nvme"])
    request = _new_upload(dataset_id, file)
    try:
        view = await way.api.call("create-upload", {**request, "limit": 1}, key_of("create-upload", request, file))
    except ConflictError:
        return False  # the name is taken, and not by an upload under this key
    return bool(view.get("file_id") == row["file_id"])


async def _compare(way: Way, dataset_id: str, files: Sequence[LocalFile]) -> dict[str, int]:
    """Find which of the files the dataset has already, and at which positions."""
    api = way.api
    dataset = await api.call("get-dataset", {"dataset_id": dataset_id})
    if not dataset.get("file_count"):
        return {}
    by_name = {f.name: f for f in files}
    there: dict[str, int] = {}
    request = {
        "dataset_id": dataset_id,
        "fields": ["file_name", "file_id", "position", "size_bytes", "checksum_crc64nvme"],
    }
    async for row in pages(api, "list-dataset-files", "files", request, _FILES_PAGE):
        file = by_name.get(row["file_name"])
        if file is None:
            continue
        if not await _same(way, dataset_id, file, row):
            hint = "Rename the file, or take the other one out with delete_file."
            if file.size == row["size_bytes"] and not checks():
                hint = "If it is the same file: install parqueue[checksum], which can tell, and it is skipped. Otherwise rename it."
            raise error_of(
                {
                    "code": "file_exists",
                    "error": f"{file.path}: the dataset has another file with this name.",
                    "hint": hint,
                    "path": file.path,
                    "file_name": file.name,
                },
                409,
            )
        there[file.name] = int(row["position"])
    return there


def _check_order(files: Sequence[LocalFile], there: Mapping[str, int]) -> None:
    first, last, at = "", -1, ""
    for f in files:
        position = there.get(f.name)
        if position is None:
            first = first or f.name
            continue
        if first or position < last:
            raise _misordered(first or at, f.name)
        last, at = position, f.name


def _misordered(before: str, after: str) -> ConflictError:
    return ConflictError(
        "conflict",
        f'"{before}" is to come before "{after}", which is in the dataset already.',
        "Choose another order or leave files out; any_order=True takes the files as they can be had.",
    )
