"""A real server: `bin/parqueue serve` on a free port, over a folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from parqueue import ParqueueClient, ProgressEvent, Retry

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "testdata" / "vectors"
BINARY = ROOT / os.environ.get("PARQUEUE_BIN", "bin/parqueue")

QUICK = Retry(first=0.05, most=0.3, patience=20)


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


class Server:
    """One `parqueue serve`, which can be killed and started again over what it left behind."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = 0
        self.start()

    def start(self) -> None:
        log = self.data.parent / f"server-{time.time_ns()}.log"
        command = [str(BINARY), "serve", "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data)]
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        deadline = time.monotonic() + 30
        while not (found := re.search(r"ready: (http://127\.0\.0\.1:(\d+))", log.read_text())):
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "no ready line"
            time.sleep(0.02)
        self.url, self.port = found[1], int(found[2])
        self.key = (self.data / "admin.key").read_text().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def new_key(self, scopes: str) -> str:
        out = subprocess.run(
            [BINARY, "keys", "create", "--data", self.data, "--tenant", "local", "--name", "t", "--scopes", scopes],
            capture_output=True,
            text=True,
            check=True,
        )
        return out.stdout.strip().splitlines()[-1].strip()

    def revocable_key(self) -> RevocableKey:
        command = [str(BINARY), "keys", "create", "--data", str(self.data), "--tenant", "local", "--json"]
        made = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return RevocableKey(made["key"], made["key_id"], self.data)


@dataclass
class RevocableKey:
    """A key that is revoked in the middle of a transfer."""

    key: str
    key_id: str
    data: Path
    revoked: bool = False

    def watch(self, event: ProgressEvent) -> None:
        """Revoke it when the first bytes have gone."""
        if event.bytes_done > 0 and not self.revoked:
            self.revoked = True
            subprocess.run([BINARY, "keys", "revoke", "--data", self.data, self.key_id], capture_output=True, check=True)


@dataclass
class Home:
    """A folder that stands for a person's."""

    path: Path


@pytest.fixture(scope="session", autouse=True)
def binary() -> Path:
    assert BINARY.exists(), "run `make build`"
    return BINARY


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Home:
    """No test sees who is signed in here."""
    path = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("PARQUEUE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(path))
    return Home(path)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server") / "data")
    yield running
    running.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may kill."""
    running = Server(tmp_path / "server-data")
    yield running
    running.kill()


@pytest.fixture
def client(server: Server) -> Iterator[ParqueueClient]:
    """A client without a daemon."""
    with ParqueueClient(server.url, server.key, daemon=False, retry=QUICK) as c:
        yield c


@pytest.fixture
def table_file(tmp_path: Path) -> Callable[..., Path]:
    """Write Parquet files: `table_file("a.parquet", 3)`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(name: str, rows: int = 3, start: int = 0, folder: Path | None = None, noise: int = 0) -> Path:
        path = (folder or tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        items = [f"item {i}" for i in range(start, start + rows)]
        columns = {"item": pa.array(items), "count": pa.array(range(start, start + rows), pa.int64())}
        if noise:
            columns["noise"] = pa.array([os.urandom(noise) for _ in range(rows)])
        pq.write_table(pa.table(columns), path, compression="none")
        return path

    return write
