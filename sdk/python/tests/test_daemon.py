"""By the daemon: the real one, over a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import parqueue
from conftest import BINARY, QUICK, Home, Server
from parqueue import ParqueueClient, ProgressEvent

Write = Callable[..., Path]
MB = 1 << 20


def told() -> dict[str, Any]:
    out = subprocess.run([BINARY, "daemon", "start", "--json"], capture_output=True, text=True, check=True).stdout
    return dict(json.loads(out))


@pytest.fixture
def daemon(home: Home) -> Iterator[Home]:
    """A home whose daemon is stopped in the end."""
    yield home
    subprocess.run([BINARY, "daemon", "stop"], capture_output=True, check=False)


@pytest.fixture
def by_daemon(daemon: Home, server: Server) -> Iterator[ParqueueClient]:
    with ParqueueClient(server.url, server.key, binary_path=BINARY, retry=QUICK) as c:
        yield c


def slow_down(client: ParqueueClient) -> None:
    """Give time to break things."""
    daemon = client._core._daemon
    assert daemon is not None
    client._run(daemon.request("PUT", "/v1/limits", {"connections": 4, "bytes_per_second": 100 * MB}))


def names(client: ParqueueClient, dataset: Any) -> list[str]:
    return [f.file_name for f in client.datasets.files(dataset)]


def test_datasets(by_daemon: ParqueueClient, tmp_path: Path, table_file: Write) -> None:
    import pyarrow as pa

    client = by_daemon
    assert "(daemon)" in repr(client)
    assert client.auth_status().tenant == "local"
    days = tmp_path / "days"
    for n in (1, 2, 10):
        table_file(f"day-{n}.parquet", n, folder=days)
    dataset = client.datasets.create("by daemon")
    events: list[ProgressEvent] = []
    done = client.datasets.upload(dataset, days, on_progress=events.append)
    assert (done.uploaded_count, done.skipped_count, done.first_position, done.last_position) == (3, 0, 0, 2)
    assert events[-1].percent == 100 and events[-1].files_total == 3
    assert client.datasets.upload(dataset, days).skipped_count == 3
    client.datasets.upload(dataset, (pa.table({"item": ["x"], "count": [n]}) for n in range(3)), name="part")
    assert names(client, dataset)[3:] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    got = client.datasets.download(dataset, tmp_path / "to")
    assert [f.file_name for f in got.files] == names(client, dataset)
    assert (tmp_path / "to" / "day-10.parquet").read_bytes() == (days / "day-10.parquet").read_bytes()
    assert client.datasets.open(dataset).pyarrow().count_rows() == 16
    with pytest.raises(parqueue.SchemaMismatchError) as caught:
        client.datasets.upload(dataset, pa.table({"item": ["x"], "count": [1.5]}))
    assert "double" in str(caught.value)
    with pytest.raises(parqueue.NotFoundError):
        client.datasets.get("dataset-00000000-0000-7000-8000-00000000dead")
    client.datasets.delete(dataset)


def test_who_is_signed_in(daemon: Home, server: Server, table_file: Write) -> None:
    with ParqueueClient(binary_path=BINARY) as client, pytest.raises(parqueue.UnauthorizedError):
        client.auth_status()
    key_file = server.data / "admin.key"
    subprocess.run([BINARY, "auth", "login", "--url", server.url, "--key-file", key_file], check=True, capture_output=True)
    with ParqueueClient(binary_path=BINARY) as client:
        assert client.auth_status().authenticated
        dataset = client.datasets.create()
        assert client.datasets.upload(dataset, table_file("a.parquet")).uploaded_count == 1
    with ParqueueClient(profile="other", binary_path=BINARY) as client, pytest.raises(parqueue.UnauthorizedError):
        client.auth_status()


def test_the_daemon_is_killed(by_daemon: ParqueueClient, table_file: Write, tmp_path: Path) -> None:
    client = by_daemon
    big = table_file("big.parquet", 96, noise=MB)
    dataset = client.datasets.create()
    address = told()
    slow_down(client)
    pids: list[int] = []

    def watch(event: ProgressEvent) -> None:
        if event.bytes_done > 8 * MB and not pids:
            pids.append(address["pid"])
            os.kill(address["pid"], signal.SIGKILL)

    done = client.datasets.upload(dataset, big, on_progress=watch)
    assert pids, "it was killed in the middle"
    assert told()["pid"] != address["pid"]
    assert done.uploaded_count == 1 and names(client, dataset) == ["big.parquet"]
    client.datasets.download(dataset, tmp_path / "to")
    assert (tmp_path / "to" / "big.parquet").read_bytes() == big.read_bytes()


def test_a_daemon_that_was_stopped_is_started_again(by_daemon: ParqueueClient) -> None:
    by_daemon.datasets.list()
    subprocess.run([BINARY, "daemon", "stop"], capture_output=True, check=True)
    by_daemon.datasets.list()


def test_it_is_cancelled_by_somebody_else(by_daemon: ParqueueClient, server: Server, table_file: Write) -> None:
    big = table_file("big.parquet", 96, noise=MB)
    dataset = by_daemon.datasets.create()
    slow_down(by_daemon)
    env = {**os.environ, "PARQUEUE_URL": server.url, "PARQUEUE_API_KEY": server.key}

    def cancel() -> None:
        listed = json.loads(subprocess.run([BINARY, "transfers", "list", "--json"], capture_output=True, check=True).stdout)
        one = listed["transfers"][0]["transfer_id"]
        subprocess.run([BINARY, "transfers", "cancel", one], capture_output=True, check=True, env=env)

    thread = threading.Thread(target=cancel)

    def watch(event: ProgressEvent) -> None:
        if event.bytes_done > 0 and thread.ident is None:
            thread.start()

    with pytest.raises(parqueue.DaemonError) as caught:
        by_daemon.datasets.upload(dataset, big, on_progress=watch)
    thread.join()
    assert caught.value.code == "cancelled"
    assert names(by_daemon, dataset) == []


def state(client: ParqueueClient) -> str:
    daemon = client._core._daemon
    assert daemon is not None
    (one,) = client._run(daemon.request("GET", "/v1/transfers"))["transfers"]
    return str(one["state"])


def test_time_out_leaves_it_running(by_daemon: ParqueueClient, table_file: Write) -> None:
    big = table_file("big.parquet", 96, noise=MB)
    dataset = by_daemon.datasets.create()
    slow_down(by_daemon)
    with pytest.raises(parqueue.DaemonTimeoutError):
        by_daemon.datasets.upload(dataset, big, transfer_timeout_s=0.5)
    assert state(by_daemon) == "running"
    assert by_daemon.datasets.upload(dataset, big).uploaded_count == 1, "the same call joins it"
    assert names(by_daemon, dataset) == ["big.parquet"]


def interrupt(event: ProgressEvent) -> None:
    if event.bytes_done > 0:
        raise KeyboardInterrupt


def test_an_interruption_pauses_it(by_daemon: ParqueueClient, table_file: Write) -> None:
    big = table_file("big.parquet", 96, noise=MB)
    dataset = by_daemon.datasets.create()
    slow_down(by_daemon)
    with pytest.raises(KeyboardInterrupt):
        by_daemon.datasets.upload(dataset, big, on_progress=interrupt)
    assert state(by_daemon) == "paused"
    assert by_daemon.datasets.upload(dataset, big).uploaded_count == 1, "the same call goes on with it"


def test_an_interrupted_upload_of_a_table_is_given_up(by_daemon: ParqueueClient) -> None:
    import pyarrow as pa

    table = pa.table({"noise": [os.urandom(MB) for _ in range(96)]})
    dataset = by_daemon.datasets.create()
    slow_down(by_daemon)
    with pytest.raises(KeyboardInterrupt):
        by_daemon.datasets.upload(dataset, table, on_progress=interrupt)
    assert state(by_daemon) == "cancelled", "the file that it was sent from has gone"
    with pytest.raises(parqueue.DaemonTimeoutError):
        by_daemon.datasets.upload(dataset, table, transfer_timeout_s=0.5)
    assert names(by_daemon, dataset) == []


def test_a_key_that_is_revoked(by_daemon: ParqueueClient, server: Server, table_file: Write) -> None:
    big = table_file("big.parquet", 96, noise=MB)
    revocable = server.revocable_key()
    slow_down(by_daemon)
    dataset = by_daemon.datasets.create()
    with ParqueueClient(server.url, revocable.key, binary_path=BINARY, retry=QUICK) as other:
        with pytest.raises(parqueue.UnauthorizedError) as caught:
            other.datasets.upload(dataset, big, on_progress=revocable.watch)
        assert revocable.revoked and caught.value.hint
    assert names(by_daemon, dataset) == []
    assert by_daemon.datasets.upload(dataset, big).uploaded_count == 1


def test_no_binary(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(parqueue.ConnectionError, match="not on PATH"):
        ParqueueClient(server.url, server.key, daemon=True).connect()
    with pytest.raises(parqueue.ConnectionError, match="no program at"):
        ParqueueClient(server.url, server.key, binary_path=tmp_path / "none").connect()
    with ParqueueClient(server.url, server.key) as client:
        assert "(direct)" in repr(client)


def fake(path: Path, says: str, code: int = 0) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\necho why >&2\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_a_daemon_that_does_not_start(server: Server, tmp_path: Path) -> None:
    with pytest.raises(parqueue.ConnectionError, match="did not start") as caught:
        ParqueueClient(server.url, server.key, binary_path=fake(tmp_path / "p", "no JSON", 1)).connect()
    assert caught.value.details == {"cause": "why\n", "exit_code": 1}
    newer = fake(tmp_path / "q", '{"socket": "/nowhere", "pid": 1, "version": "9", "protocol": 2}')
    with pytest.raises(parqueue.DaemonError, match="protocol 2") as mismatch:
        ParqueueClient(server.url, server.key, binary_path=newer).connect()
    assert mismatch.value.code == "protocol_mismatch"
