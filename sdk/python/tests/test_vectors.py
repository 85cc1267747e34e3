"""The vectors that clients of every language pass; see testdata/vectors/README.md."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import parqueue
from conftest import QUICK, vectors
from parqueue import AsyncParqueueClient, ParqueueClient, _checksum, _natural
from parqueue._api import new_key
from parqueue._daemon import outcome
from parqueue._exceptions import error_of
from parqueue._progress import event_of

KINDS = {
    "unauthorized": parqueue.UnauthorizedError,
    "forbidden": parqueue.ForbiddenError,
    "not_found": parqueue.NotFoundError,
    "schema_mismatch": parqueue.SchemaMismatchError,
    "conflict": parqueue.ConflictError,
    "invalid_file": parqueue.InvalidFileError,
    "checksum_mismatch": parqueue.ChecksumMismatchError,
    "too_large": parqueue.TooLargeError,
    "invalid_request": parqueue.InvalidRequestError,
    "unavailable": parqueue.ConnectionError,
    "internal": parqueue.ServerError,
}


class Stub:
    """A server that gives the answers of a vector, the last one again and again, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stub.asked.append({"method": self.command, "path": self.path, "headers": self.headers, "body": body})
                answer = stub.answers[min(len(stub.asked), len(stub.answers)) - 1]
                if answer.get("cut"):
                    self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"dataset_id":')
                    self.close_connection = True
                    return
                text = json.dumps(answer["json"]) if "json" in answer else answer.get("text", "")
                self.send_response(answer["status"])
                for name, value in answer.get("headers", {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def give(self, *answers: dict[str, Any]) -> None:
        self.answers, self.asked = list(answers), []


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    running = Stub()
    yield running
    running.http.shutdown()
    running.http.server_close()


def client_of(stub: Stub, key: str = "pq_live_vector") -> AsyncParqueueClient:
    return AsyncParqueueClient(stub.url, key, daemon=False, retry=QUICK)


Operation = Callable[[AsyncParqueueClient, dict[str, Any]], Any]

API: dict[str, tuple[str, bool]] = {  # what there is no public call for, and whether it carries an Idempotency-Key
    "uploads.create": ("create-upload", True),
    "uploads.get": ("get-upload", False),
    "uploads.complete": ("complete-upload", False),
    "uploads.append": ("append-files", False),
    "uploads.abort": ("abort-upload", False),
    "assets.create": ("create-asset", True),
    "assets.create_version": ("create-asset-version", True),
    "assets.url": ("download-asset", False),
}

OPERATIONS: dict[str, Operation] = {
    "auth.status": lambda c, a: c.auth_status(),
    "datasets.create": lambda c, a: c.datasets.create(**a),
    "datasets.get": lambda c, a: c.datasets.get(a["dataset_id"]),
    "datasets.list": lambda c, a: c.datasets.list(),
    "datasets.files": lambda c, a: c.datasets.files(a["dataset_id"]),
    "datasets.url": lambda c, a: c.datasets.url(a["dataset_id"], a["file_name"]),
    "datasets.delete": lambda c, a: c.datasets.delete(a["dataset_id"], if_version=a.get("if_version")),
    "datasets.delete_file": lambda c, a: c.datasets.delete_file(a["dataset_id"], a["file_name"]),
    "assets.get": lambda c, a: c.get_metadata(a["asset_id"]),
    "assets.set": lambda c, a: c.set_metadata(a.pop("asset_id"), **a),
    "assets.list": lambda c, a: c.list_assets(**a),
    "assets.versions": lambda c, a: c.asset_versions(a["asset_id"]),
    "assets.delete": lambda c, a: c.delete_asset(a["asset_id"]),
}


def perform(stub: Stub, vector: dict[str, Any], key: str = "pq_live_vector") -> Any:
    async def work() -> Any:
        async with client_of(stub, key) as client:
            if vector["operation"] in API:
                endpoint, with_key = API[vector["operation"]]
                api, _ = await client.ready()
                return await api.call(endpoint, vector["request"]["json"], new_key() if with_key else None)
            return await OPERATIONS[vector["operation"]](client, dict(vector["arguments"]))

    return asyncio.run(work())


def check_request(stub: Stub, vector: dict[str, Any], key: str) -> None:
    wanted, asked = vector["request"], stub.asked[0]
    assert (asked["method"], asked["path"]) == (wanted["method"], wanted["path"])
    assert asked["headers"]["Authorization"] == f"Key {key}"
    for name, value in wanted.get("headers", {}).items():
        assert asked["headers"][name], name
        assert value in ("…", asked["headers"][name])
    if "json" in wanted:
        free = {"limit", "fields"}
        sent = json.loads(asked["body"])
        assert {k: v for k, v in sent.items() if k not in free} == {k: v for k, v in wanted["json"].items() if k not in free}


def same(result: Any, answer: dict[str, Any]) -> None:
    """What a client returns has the answer's members, under the same names."""
    checked = 0
    for name, value in answer.items():
        if hasattr(result, name):
            got = getattr(result, name)
            if name.endswith("_at"):
                assert got.isoformat() == value.removesuffix("Z") + "+00:00"
            else:
                assert (list(got) if isinstance(got, tuple) else got) == value, name
            checked += 1
    assert checked >= 2


EXCHANGES = [v for name in ("exchanges.json", "errors.json", "assets.json") for v in vectors(name) if "operation" in v]
PLAYED = [v for v in EXCHANGES if "kind" not in v]


@pytest.mark.parametrize("vector", PLAYED, ids=[v["name"] for v in PLAYED])
def test_exchanges(stub: Stub, vector: dict[str, Any]) -> None:
    stub.give(vector["answer"])
    result = perform(stub, vector)
    check_request(stub, vector, "pq_live_vector")
    answer = vector["answer"]["json"]
    if isinstance(result, dict):
        assert result == answer
    elif isinstance(result, list):
        (rows,) = [value for value in answer.values() if isinstance(value, list)]
        assert len(result) == len(rows)
        for one, row in zip(result, rows, strict=True):
            same(one, row)
    elif isinstance(result, str):
        assert result == answer["url"]
    elif result is not None:
        same(result, answer)


REFUSED = [v for v in EXCHANGES if "kind" in v]


@pytest.mark.parametrize("vector", REFUSED, ids=[v["name"] for v in REFUSED])
def test_errors(stub: Stub, vector: dict[str, Any]) -> None:
    stub.give(vector["answer"])
    key = vector["request"].get("key", "pq_live_vector")
    with pytest.raises(parqueue.DaemonError) as caught:
        perform(stub, vector, key)
    check_request(stub, vector, key)
    error, body = caught.value, dict(vector["answer"]["json"])
    assert type(error) is KINDS[vector["kind"]]
    assert (error.code, error.message, error.hint) == (body.pop("code"), body.pop("error"), body.pop("hint", ""))
    del body["message"]
    assert error.details == body
    assert len(stub.asked) == 1, "what was refused is not asked for again"


RETRIES = vectors("retries.json")


@pytest.mark.parametrize("vector", RETRIES, ids=[f"{v['operation']}: {v['name']}" for v in RETRIES])
def test_retries(stub: Stub, vector: dict[str, Any]) -> None:
    stub.give(*vector["answers"])
    if "code" in vector:
        with pytest.raises(parqueue.ParqueueError) as caught:
            perform(stub, vector)
        assert caught.value.code == vector["code"]
    else:
        assert perform(stub, vector).dataset_id == "dataset-00000000-0000-7000-8000-000000000001"
    assert len(stub.asked) == vector["requests"]
    keys = {a["headers"]["Idempotency-Key"] for a in stub.asked}
    assert len(keys) == 1 and (keys == {None}) == (vector["operation"] == "datasets.get")


def test_an_outage_outlasts_the_patience(stub: Stub) -> None:
    stub.give({"status": 503, "json": {"code": "unavailable", "error": "Busy."}})
    with (
        pytest.raises(parqueue.ConnectionError) as caught,
        ParqueueClient(stub.url, "k", daemon=False, retry=parqueue.Retry(0.01, 0.02, 0.1)) as client,
    ):
        client.auth_status()
    assert isinstance(caught.value, ConnectionError), "the builtin too"
    assert len(stub.asked) > 2


PROGRESS = vectors("progress.json")


@pytest.mark.parametrize("vector", PROGRESS, ids=[v["name"] for v in PROGRESS])
def test_progress(vector: dict[str, Any]) -> None:
    for line, shown in zip(vector["events"], vector["shown"], strict=True):
        event = event_of(line)
        assert {
            "bytes_done": event.bytes_done,
            "bytes_total": event.bytes_total,
            "file_name": event.file_name,
            "percent": round(event.percent, 2),
        } == shown
        assert event.rate_mbps == line["bytes_per_second"] * 8 / 1e6
    if "code" in vector["outcome"]:
        with pytest.raises(parqueue.DaemonError) as caught:
            outcome(vector["events"][-1])
        assert caught.value.code == vector["outcome"]["code"]
    else:
        assert outcome(vector["events"][-1]) == vector["outcome"]["result"]


@pytest.mark.parametrize("vector", vectors("schema_diffs.json"), ids=lambda v: v["name"])
def test_schema_diffs(vector: dict[str, Any]) -> None:
    error = error_of({"code": "schema_mismatch", "error": vector["sentence"], "diff": vector["diff"]}, 409)
    assert isinstance(error, parqueue.SchemaMismatchError)
    assert error.diff == vector["diff"]
    assert error.table == vector["table"]
    assert str(error) == "\n".join([vector["sentence"], *(f"  {line}" for line in vector["table"])])


@pytest.mark.parametrize("vector", vectors("checksums.json"), ids=lambda v: v["name"])
def test_checksums(vector: dict[str, Any]) -> None:
    whole = _checksum.Sum()
    sums = []
    for part in vector["parts"]:
        one = _checksum.Sum().add(part.encode())
        sums.append(one.text())
        whole = whole.join(one)
    assert sums == vector["sums"]
    assert whole.text() == vector["joined"]


def test_names_in_order(tmp_path: Path) -> None:
    order = vectors("order.json")
    assert _natural.in_order(order["names"]) == order["names_in_order"]
    assert sorted(order["paths"], key=_natural.path_key) == order["paths_in_order"]


@pytest.mark.parametrize("name", ["../out.parquet", "a/b", "..", "", "a\\b", "nul\0"])
def test_a_server_that_lies_writes_nowhere_else(stub: Stub, tmp_path: Path, name: str) -> None:
    file = {"file_name": name, "file_id": "f", "position": 0, "size_bytes": 1, "row_count": 0, "checksum_crc64nvme": ""}
    stub.give({"status": 200, "json": {"files": [file]}})
    to = tmp_path / "to"
    with (
        ParqueueClient(stub.url, "k", daemon=False, retry=QUICK) as client,
        pytest.raises(parqueue.InvalidRequestError, match="can't be the name of a file"),
    ):
        client.datasets.download("dataset-1", to)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
