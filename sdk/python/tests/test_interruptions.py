"""What happens when something dies, expires or lies."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parqueue
from conftest import QUICK, Server
from parqueue import ParqueueClient, ParqueueError, ProgressEvent, Retry, _download, _upload
from parqueue._retry import Again, persist
from parqueue._upload import Sending, part_size

Write = Callable[..., Path]
MB = 1 << 20


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 100 MB a second for each connection, so that there is time to break things."""
    read, write = _upload._read, _download._write

    def slowly(what: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any) -> Any:
            time.sleep(0.01)
            return what(*arguments)

        return do

    monkeypatch.setattr(_upload, "_read", slowly(read))
    monkeypatch.setattr(_download, "_write", slowly(write))


@pytest.mark.usefixtures("slow")
def test_the_server_is_killed_and_comes_back(own_server: Server, table_file: Write, tmp_path: Path) -> None:
    big = table_file("big.parquet", 64, noise=MB)
    killed: list[int] = []

    def watch(event: ProgressEvent) -> None:
        if event.bytes_done > 16 * MB and not killed:
            killed.append(event.bytes_done)
            own_server.kill()
            threading.Timer(0.5, own_server.start).start()

    with ParqueueClient(own_server.url, own_server.key, daemon=False, retry=QUICK, connections=4) as client:
        dataset = client.datasets.create()
        done = client.datasets.upload(dataset, big, on_progress=watch)
        assert killed and done.uploaded_count == 1
        assert done.sent_bytes > big.stat().st_size, "it was killed in the middle"
        assert done.sent_bytes <= big.stat().st_size + 4 * 8 * MB, "at most what was under way is sent again"
        killed.clear()
        client.datasets.download(dataset, tmp_path / "to", on_progress=watch)
        assert killed
    assert (tmp_path / "to" / "big.parquet").read_bytes() == big.read_bytes()


SCRIPT = """
import os, signal, sys
import time
from parqueue import ParqueueClient, _download, _upload
read, write = _upload._read, _download._write
_upload._read = lambda *a: (time.sleep(0.01), read(*a))[1]
_download._write = lambda *a: (time.sleep(0.01), write(*a))[1]
url, dataset, source, to, stop = sys.argv[1:]
def watch(event):
    if event.bytes_done > int(stop):
        os.kill(os.getpid(), signal.SIGKILL)
with ParqueueClient(url, sys.stdin.read(), daemon=False, connections=4) as client:
    if to: client.datasets.download(dataset, to, on_progress=watch)
    else: client.datasets.upload(dataset, source, on_progress=watch)
"""


def killed(server: Server, dataset: str, source: Path | str, to: Path | str, stop: int) -> None:
    """Have a process of its own move something, which kills itself on the way."""
    env = {"PYTHONPATH": ":".join(sys.path), "HOME": os.environ["HOME"]}
    done = subprocess.run([sys.executable, "-c", SCRIPT, server.url, dataset, source, to, str(stop)], input=server.key.encode(), env=env)
    assert done.returncode == -signal.SIGKILL


def test_this_process_is_killed(
    server: Server, client: ParqueueClient, table_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "days"
    for n, size in enumerate((1, 96, 1)):
        table_file(f"day-{n}.parquet", size, folder=folder, noise=MB)
    total = sum(p.stat().st_size for p in folder.iterdir())
    dataset = client.datasets.create().dataset_id
    stop, under_way = 64 * MB, 4 * 8 * MB
    killed(server, dataset, folder, "", stop)
    before = [f.file_name for f in client.datasets.files(dataset)]
    assert before == [f"day-{n}.parquet" for n in range(len(before))], "a true prefix"
    done = client.datasets.upload(dataset, folder)
    assert done.uploaded_count + done.skipped_count == 3
    assert done.sent_bytes <= total - stop + under_way, "at most what was under way is sent again"
    assert [f.file_name for f in client.datasets.files(dataset)] == ["day-0.parquet", "day-1.parquet", "day-2.parquet"]

    to = tmp_path / "to"
    killed(server, dataset, "", to, stop)
    assert list(to.glob(".parqueue-*.part"))
    events: list[ProgressEvent] = []
    received, write = [0], _download._write

    def count(out: Any, data: bytes, at: int) -> None:
        received[0] += len(data)
        write(out, data, at)

    monkeypatch.setattr(_download, "_write", count)
    client.datasets.download(dataset, to, on_progress=events.append)
    assert received[0] <= total - stop + under_way, "it begins where it was"
    assert events[-1].bytes_done == total
    assert sorted(p.name for p in to.iterdir()) == ["_order.json", *(f"day-{n}.parquet" for n in range(3))]
    for path in folder.iterdir():
        assert (to / path.name).read_bytes() == path.read_bytes()


def test_part_urls_that_expired(client: ParqueueClient, table_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    take, spoilt = Sending._take, set[int]()

    def spoil(self: Sending, view: dict[str, Any]) -> None:
        take(self, view)
        for part in self._urls.values():
            if part.number not in spoilt:
                spoilt.add(part.number)
                part.url = part.url[:-8] + "00000000"  # 403, as for one that has expired

    monkeypatch.setattr(Sending, "_take", spoil)
    big = table_file("big.parquet", 20, noise=MB)
    dataset = client.datasets.create()
    done = client.datasets.upload(dataset, big)
    assert done.uploaded_count == 1 and len(spoilt) == 3


def test_a_file_that_changes_is_not_appended(client: ParqueueClient, table_file: Write) -> None:
    big, late = table_file("big.parquet", 20, noise=MB), table_file("late.parquet", 1, noise=MB)
    dataset = client.datasets.create()

    def touch(event: ProgressEvent) -> None:
        if event.bytes_done > 0:
            with open(big, "r+b") as f:
                f.seek(100)
                f.write(os.urandom(8))

    with pytest.raises(parqueue.InvalidRequestError, match="changed while it was being sent") as caught:
        client.datasets.upload(dataset, [big, late], on_progress=touch)
    assert caught.value.code == "file_changed"
    assert client.datasets.files(dataset) == []
    assert client.datasets.upload(dataset, [big, late]).uploaded_count == 2


def test_damage_on_the_way_is_noticed(client: ParqueueClient, table_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = client.datasets.create()
    path = table_file("a.parquet")
    read = _upload._read
    with monkeypatch.context() as patch:
        patch.setattr(_upload, "_read", lambda *a: (bytes(read(*a)[0][:-9]) + b"damaged!!", read(*a)[1]))
        with pytest.raises(parqueue.ChecksumMismatchError):
            client.datasets.upload(dataset, path)
    assert client.datasets.files(dataset) == []
    client.datasets.upload(dataset, table_file("b.parquet"))
    write = _download._write
    with monkeypatch.context() as patch:
        patch.setattr(_download, "_write", lambda out, data, at: write(out, b"x" + data[1:], at))
        with pytest.raises(parqueue.ChecksumMismatchError):
            client.datasets.download(dataset, tmp_path / "to")
    assert [p.name for p in (tmp_path / "to").iterdir()] == [], "nothing half-done is shown as done"


def test_time_out(client: ParqueueClient, table_file: Write) -> None:
    dataset = client.datasets.create()
    big = table_file("big.parquet", 40, noise=MB)
    with pytest.raises(parqueue.DaemonTimeoutError) as caught:
        client.datasets.upload(dataset, big, transfer_timeout_s=0.02)
    assert isinstance(caught.value, TimeoutError) and caught.value.code == "timeout"
    assert client.datasets.upload(dataset, big).uploaded_count == 1


def test_nothing_listens() -> None:
    started = time.monotonic()
    with (
        pytest.raises(parqueue.ConnectionError) as caught,
        ParqueueClient("http://127.0.0.1:9", "k", daemon=False, retry=Retry(0.01, 0.02, 0.1)) as client,
    ):
        client.datasets.list()
    assert caught.value.code == "unavailable" and "127.0.0.1:9" in str(caught.value) and time.monotonic() - started < 5


def test_no_secret_is_shown(server: Server, table_file: Write, caplog: pytest.LogCaptureFixture) -> None:
    secret = server.new_key("write")
    said = []
    with caplog.at_level(logging.DEBUG), ParqueueClient(server.url, secret, daemon=False, retry=QUICK) as client:
        dataset = client.datasets.create()
        client.datasets.upload(dataset, table_file("a.parquet"))
        said += [repr(client), repr(client._core), repr(client._core._api), repr(client._core._identity), repr(client._core.way())]
        try:
            client.datasets.open(dataset)
        except parqueue.ForbiddenError as error:  # it may only write
            said += [repr(error), str(error), repr(error.details)]
    logged = caplog.text
    assert "httpcore" in logged, "there is a log to look at"
    for text in [logged, *said]:
        assert secret not in text and "X-Amz-Signature" not in text
    with pytest.raises(parqueue.UnauthorizedError) as caught:
        ParqueueClient(server.url, "pq_live_ümlaut", daemon=False).connect()
    assert "ümlaut" not in repr(caught.value)


def test_errors_can_be_pickled() -> None:
    error = parqueue.SchemaMismatchError("schema_mismatch", "No.", "Do.", {"diff": {}})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and vars(again) == vars(error)


def test_part_sizes() -> None:
    assert part_size(1) == 8 * MB
    assert part_size(1, 1) == 5 * MB
    assert part_size(80_000 * MB) == 8 * MB
    assert -(-(5 << 40) // part_size(5 << 40)) <= 10_000


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_disk(client: ParqueueClient, table_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends at once, with a next step."""
    dataset = client.datasets.create()
    path = table_file("a.parquet", 1, noise=MB)
    client.datasets.upload(dataset, path)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    started = time.monotonic()
    with pytest.raises(parqueue.InvalidRequestError, match="can't be written"):
        client.datasets.download(dataset, in_the_way)
    with monkeypatch.context() as patch:
        patch.setattr(_download, "_write", full)
        with pytest.raises(parqueue.ServerError, match="no room left") as caught:
            client.datasets.download(dataset, tmp_path / "to")
        assert caught.value.code == "storage_full"

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(_upload, "pread", refuse)
        with pytest.raises(parqueue.InvalidRequestError, match="can't be read: Input/output error"):
            client.datasets.upload(client.datasets.create(), path)
    assert time.monotonic() - started < QUICK.patience / 2
    client.datasets.download(dataset, tmp_path / "to")
    assert (tmp_path / "to" / "a.parquet").read_bytes() == path.read_bytes()


def test_a_file_that_is_removed(client: ParqueueClient, table_file: Write) -> None:
    big = table_file("big.parquet", 20, noise=MB)
    dataset = client.datasets.create()
    with pytest.raises(parqueue.InvalidRequestError, match="was removed while it was being sent") as caught:
        client.datasets.upload(dataset, big, on_progress=lambda e: big.unlink(missing_ok=True) if e.bytes_done else None)
    assert caught.value.code == "file_changed"
    assert client.datasets.files(dataset) == []


@pytest.mark.usefixtures("slow")
def test_a_key_that_is_revoked(client: ParqueueClient, server: Server, table_file: Write) -> None:
    big = table_file("big.parquet", 64, noise=MB)
    revocable = server.revocable_key()
    dataset = client.datasets.create()
    with ParqueueClient(server.url, revocable.key, daemon=False, retry=QUICK, connections=2) as other:
        with pytest.raises(parqueue.UnauthorizedError) as caught:
            other.datasets.upload(dataset, big, on_progress=revocable.watch)
        assert revocable.revoked and caught.value.hint
    assert client.datasets.files(dataset) == []
    assert client.datasets.upload(dataset, big).uploaded_count == 1


def test_files_that_cannot_be_read(client: ParqueueClient, table_file: Write, tmp_path: Path) -> None:
    """Nothing is sent, nor waited for: links that go round, a pipe, a folder of that name."""
    dataset = client.datasets.create()
    folder = tmp_path / "days"
    table_file("a.parquet", folder=folder)
    loop = folder / "b.parquet"
    loop.symlink_to(loop)
    with pytest.raises(parqueue.DaemonError) as caught:
        client.datasets.upload(dataset, folder)
    assert "b.parquet" in str(caught.value) and caught.value.hint
    loop.unlink()
    os.mkfifo(loop)
    with pytest.raises(parqueue.DaemonError, match=r"b\.parquet"):
        client.datasets.upload(dataset, loop)
    assert client.datasets.files(dataset) == []


def test_links(client: ParqueueClient, table_file: Write, tmp_path: Path) -> None:
    folder = tmp_path / "days"
    path = table_file("a.parquet", folder=folder)
    (folder / "b.parquet").symlink_to(path)
    (folder / "round").symlink_to(folder)
    dataset = client.datasets.create()
    client.datasets.upload(dataset, folder)
    assert [f.file_name for f in client.datasets.files(dataset)] == ["a.parquet", "b.parquet"]
    (folder / "c.parquet").symlink_to("nowhere")
    with pytest.raises(parqueue.NotFoundError, match=r"c\.parquet is not there"):
        client.datasets.upload(dataset, folder)


def test_failures_that_are_likely_to_stay_are_counted_by_themselves() -> None:
    error = ParqueueError("unavailable", "no")
    failures = [0, 3, 0, 0, 3, 0]
    tries = 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        raise Again(error, tries=failures[tries - 1] if tries <= len(failures) else 3)

    with pytest.raises(ParqueueError):
        asyncio.run(persist(Retry(0.0001, 0.0001, 60), attempt))
    assert tries == 7
