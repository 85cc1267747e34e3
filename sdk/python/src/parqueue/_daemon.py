"""The daemon, which owns transfers and survives its clients: HTTP with JSON on a socket that only this user can reach."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import httpx

from ._api import ANSWER_LIMIT, Answer, answer_of
from ._exceptions import ConnectionError, DaemonError, DaemonTimeoutError, ParqueueError, error_of
from ._http import Lanes, exchange, read_at_most
from ._progress import Tell, event_of
from ._retry import Again, Retry, persist
from ._server import Identity
from ._version import PROTOCOL

T = TypeVar("T")

_START_TIME = 30.0  # seconds
_WHERE = "The daemon"
_LINE_LIMIT = 8 << 20
_NO_READ_LIMIT = httpx.Timeout(60, read=None)


def find_binary(given: str | os.PathLike[str] | None) -> str | None:
    """Find the program: where it was said to be, or on PATH. Raises ConnectionError when it isn't where it was said to be."""
    if given is None:
        return shutil.which("parqueue")
    path = os.fspath(given)
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise ConnectionError("daemon_not_found", f"There is no program at {path}.", "Give the path of `parqueue` as binary_path.")
    return path


class Daemon:
    """The running daemon, started when it isn't."""

    def __init__(self, binary: str, identity: Identity, retry: Retry) -> None:
        self._binary, self._identity, self._retry = binary, identity, retry
        self._client: Lanes | None = None
        self._base = "http://daemon"
        self._headers: dict[str, str] = {}
        self._starting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Daemon({self._binary!r})"

    async def start(self, broken: Lanes | None = None) -> None:
        """Find the daemon, and start it if there is none. A client that is broken is replaced."""
        async with self._starting:
            if self._client is not None and self._client is not broken:
                return
            if self._client is not None:
                await self._client.aclose()
                self._client = None
            told = await asyncio.to_thread(self._run)
            protocol = told.get("protocol")
            if protocol != PROTOCOL:
                raise DaemonError(
                    "protocol_mismatch",
                    f"The daemon speaks protocol {protocol}, and this package {PROTOCOL}.",
                    "Install versions of `parqueue` and of this package that belong together; `parqueue daemon stop` ends the running one.",
                )
            self._headers = {"Parqueue-Protocol": str(PROTOCOL)}
            if told.get("socket"):
                self._base, self._client = "http://daemon", Lanes(str(told["socket"]))
            else:
                self._base, self._client = str(told["url"]).rstrip("/"), Lanes()
                self._headers["Authorization"] = f"Bearer {told['token']}"

    def _run(self) -> dict[str, Any]:
        try:
            ended = subprocess.run(  # noqa: S603 - the program that was asked for
                [self._binary, "daemon", "start", "--json"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_START_TIME,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConnectionError(
                "daemon_unavailable",
                f"`{Path(self._binary).name} daemon start` could not be run: {type(error).__name__}.",
                "Run it in a terminal to see why, or do without it: daemon=False.",
            ) from None
        try:
            told = json.loads(ended.stdout.decode().strip().splitlines()[-1])
            if isinstance(told, dict) and ("socket" in told or "url" in told):
                return told
        except (ValueError, IndexError):
            pass
        raise ConnectionError(
            "daemon_unavailable",
            "The daemon did not start.",
            "Run `parqueue daemon start` in a terminal to see why, or do without it: daemon=False.",
            {"cause": ended.stderr.decode("utf-8", "replace")[-500:], "exit_code": ended.returncode},
        )

    async def aclose(self) -> None:
        """Leave the daemon, which goes on."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _server(self) -> dict[str, Any]:
        """Say which server is meant, as the daemon's environment is not this process's."""
        profile = self._identity.by_profile()
        if profile is not None:
            return {"profile": profile}
        server = self._identity.resolve()
        return {"url": server.url, "api_key": server.api_key, **({"allow_http": True} if self._identity.allow_http else {})}

    def _body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"server": self._server(), **{k: v for k, v in body.items() if v is not None}}

    async def call(self, endpoint: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Call an endpoint of the API by the daemon, which adds the key; see Api."""
        request: dict[str, Any] = {"request": dict(body or {})}
        if headers:
            request["headers"] = dict(headers)
        return await self.request("POST", f"/v1/api/{endpoint}", self._body(request))

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Ask the daemon. One that has gone meanwhile is started again."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()

        async def attempt() -> Answer:
            await self.start()
            client = self._client
            assert client is not None  # noqa: S101
            headers = {**self._headers, **({"Content-Type": "application/json"} if content is not None else {})}
            try:
                async with exchange(
                    client,
                    method,
                    self._base + path,
                    where=_WHERE,
                    headers=headers,
                    content=content,
                    timeout=_NO_READ_LIMIT,
                ) as response:
                    text = await read_at_most(response, ANSWER_LIMIT, _WHERE)
            except Again:
                await self.start(broken=client)
                raise
            if response.status_code == 201:
                response.status_code = 200
            try:
                return answer_of(response, text, "the daemon's socket")
            except Again as again:
                raise again.error from None  # the daemon has tried again itself

        return await persist(self._retry, attempt)

    async def transfer(
        self, kind: str, body: Mapping[str, Any], tell: Tell | None, seconds: float | None, *, lasting: bool = True
    ) -> dict[str, Any]:
        """Have the daemon move something, and wait for the end. If the daemon dies meanwhile, a new one goes on.

        When the time is over the transfer goes on; when this is cancelled it is paused. One that is not lasting, because its
        files go with the caller, is given up in both cases.
        """
        request = self._body({"kind": kind, **body})
        known: list[str] = []

        async def attempt() -> dict[str, Any]:
            transfer = await self.request("POST", "/v1/transfers", request)
            known[:] = [str(transfer["transfer_id"])]
            return await self._follow(known[0], tell)

        try:
            return await in_time(persist(self._retry, attempt), seconds)
        except (asyncio.CancelledError, DaemonTimeoutError) as error:
            if known and not (lasting and isinstance(error, DaemonTimeoutError)):
                what = {"server": request["server"]}
                path = f"/v1/transfers/{known[0]}/{'pause' if lasting else 'cancel'}"
                with contextlib.suppress(ParqueueError, asyncio.TimeoutError):
                    await asyncio.wait_for(self.request("POST", path, what), 10)
            raise

    async def _follow(self, transfer_id: str, tell: Tell | None) -> dict[str, Any]:
        client = self._client
        assert client is not None  # noqa: S101
        url = f"{self._base}/v1/transfers/{transfer_id}/events"
        try:
            async with exchange(client, "GET", url, where=_WHERE, headers=self._headers, timeout=_NO_READ_LIMIT) as response:
                if response.status_code != 200:
                    answer_of(response, await read_at_most(response, ANSWER_LIMIT, _WHERE), "the daemon's socket")
                async for line in response.aiter_lines():
                    if not line.strip():
                        continue
                    event = json.loads(line)
                    if tell is not None:
                        tell(event_of(event))
                    if event.get("state") == "waiting" and event.get("error"):
                        _raise_waiting(event["error"])
                    if event.get("type") == "end":
                        return outcome(event)
        except Again:
            await self.start(broken=client)
            raise
        raise Again(ConnectionError("unavailable", "The daemon ended in the middle of a transfer.", "Make the same call again."))


def _raise_waiting(body: Mapping[str, Any]) -> NoReturn:
    """Say why a transfer waits: a daemon that was started again asks for the key, which comes with the same request."""
    error = error_of(body)
    if error.code == "unauthorized":
        raise Again(error, tries=3)
    raise error


async def in_time(work: Coroutine[Any, Any, T], seconds: float | None) -> T:
    """Await a transfer for a time. Raises DaemonTimeoutError when that is over."""
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError as error:
        if isinstance(error, ParqueueError):
            raise
        raise DaemonTimeoutError(
            "timeout",
            f"The transfer was not done after {seconds:g} seconds.",
            "Make the same call again, with a larger transfer_timeout_s: it goes on where it is.",
        ) from None


def outcome(end: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result that a transfer ended with, or raise why it has none."""
    state = end.get("state")
    if state == "done":
        return dict(end.get("result") or {})
    if end.get("error"):
        error: ParqueueError = error_of(end["error"])
        raise error
    if state == "cancelled":
        raise DaemonError("cancelled", "The transfer was cancelled.", "Make the same call again to begin it anew.")
    raise DaemonError("internal", f"The transfer ended as {state}.", "Look at `parqueue daemon logs`.")
