"""A network that drops, delays, cuts, repeats and lies: a forward proxy that does so with one request in four."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from conftest import Server
from parqueue import ParqueueClient, Retry

MB = 1 << 20
FAULTS = ("drop", "delay", "cut the request", "cut the answer", "shorten", "lose the answer", "repeat", "429", "500", "503", "html")


class Proxy:
    """A forward proxy for plain HTTP, as HTTP_PROXY names one."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.put: list[int] = []  # how long what was sent to the store was
        self.fault_of: Callable[[str], str] = lambda _method: self.next_fault()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                self.close_connection = False
                fault = proxy.fault_of(self.command)
                length = int(self.headers.get("Content-Length") or 0)
                if fault == "drop":
                    return self.hang_up()
                if fault == "cut the request":
                    self.rfile.read(length // 2)
                    return self.hang_up()
                body = self.rfile.read(length)
                if self.command == "PUT":
                    proxy.put.append(length)
                if fault == "damage":
                    body = bytes([body[0] ^ 1]) + body[1:]
                if fault in ("429", "500", "503", "html"):
                    text = b"<html>no</html>" if fault == "html" else b'{"message": "no"}'
                    return self.give(502 if fault == "html" else int(fault), {}, text)
                if fault == "delay":
                    time.sleep(0.2)
                answer = proxy.forward(self.command, self.path, dict(self.headers), body)
                if fault == "repeat":
                    answer = proxy.forward(self.command, self.path, dict(self.headers), body)
                if fault == "lose the answer":
                    return self.hang_up()
                if fault == "answer otherwise":
                    return self.give(503, {}, b"")
                if fault == "shorten" and answer[0] < 300:
                    answer = (*answer[:2], answer[2][: len(answer[2]) // 2])
                return self.give(*answer, cut=fault == "cut the answer")

            do_GET = do_POST = do_PUT = handle_one  # noqa: N815

            def hang_up(self) -> None:
                self.close_connection = True

            def give(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)
                self.close_connection = self.close_connection or cut

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def next_fault(self) -> str:
        with self.lock:
            fault = self.dice.choice(FAULTS) if self.dice.random() < 0.25 else "none"
            self.done[fault] += 1
        return fault

    @staticmethod
    def forward(method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            path = url[url.index(parts.netloc) + len(parts.netloc) :]
            connection.request(method, path, body, {k: v for k, v in headers.items() if k.lower() != "connection"})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    running = Proxy(seed=7)
    monkeypatch.setenv("http_proxy", running.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_everything_arrives_in_order(server: Server, proxy: Proxy, table_file: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "days"
    for n in range(25):
        table_file(f"day-{n}.parquet", n + 1, folder=folder)
    table_file("big.parquet", 20, folder=folder, noise=0).rename(folder / "day-25.parquet")
    with ParqueueClient(server.url, server.key, daemon=False, retry=Retry(0.01, 0.05, 30)) as client:
        dataset = client.datasets.create("through a bad network")
        done = client.datasets.upload(dataset, folder)
        assert (done.uploaded_count, done.first_position, done.last_position) == (26, 0, 25)
        assert [f.file_name for f in client.datasets.files(dataset)] == [f"day-{n}.parquet" for n in range(26)]
        assert sum(d.name == "through a bad network" for d in client.datasets.list()) == 1, "created once"
        client.datasets.download(dataset, tmp_path / "to")
        table = client.datasets.open(dataset).pyarrow().to_table()
        noisy = client.datasets.create()
        big = table_file("big.parquet", 40, noise=MB)
        sent = client.datasets.upload(noisy, big).sent_bytes
        client.datasets.download(noisy, tmp_path / "to")
    for path in [*folder.iterdir(), big]:
        assert (tmp_path / "to" / path.name).read_bytes() == path.read_bytes()
    assert table.num_rows == sum(range(1, 26)) + 20
    assert sent >= big.stat().st_size
    assert set(proxy.done) == {"none", *FAULTS}, "each fault was met"


@pytest.mark.parametrize(
    ("fault", "more"),
    [("lose the answer", 0), ("answer otherwise", 0), ("repeat", 0), ("damage", 1)],  # it is asked about, refused, or begun anew
)
def test_a_file_that_goes_as_one(
    server: Server, proxy: Proxy, table_file: Callable[..., Path], tmp_path: Path, fault: str, more: int
) -> None:
    path = table_file("one.parquet", 3, noise=MB)
    proxy.fault_of = lambda method: fault if method == "PUT" and not proxy.put else "none"
    with ParqueueClient(server.url, server.key, daemon=False, retry=Retry(0.01, 0.05, 30)) as client:
        dataset = client.datasets.create()
        client.datasets.upload(dataset, path)
        assert proxy.put == [path.stat().st_size] * (1 + more)
        client.datasets.download(dataset, tmp_path / "to")
    assert (tmp_path / "to" / path.name).read_bytes() == path.read_bytes()
