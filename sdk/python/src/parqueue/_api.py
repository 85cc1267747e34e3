"""The API's calls, straight to the server."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import httpx

from ._exceptions import ConnectionError, ParqueueError, error_of
from ._http import Lanes, exchange, read_at_most
from ._retry import Again, Retry, persist
from ._server import Server

ANSWER_LIMIT = 64 << 20
INTERNAL_TRIES = 5
LONGEST_WAIT = 60.0
_PASSING = frozenset({429, 500, 502, 503, 504})


class Answer(dict[str, Any]):
    """An answer's JSON, with its headers."""

    def __init__(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(body)
        self.headers = headers


class Api(Protocol):
    """Calls endpoints of the API, directly or by the daemon."""

    async def call(self, endpoint: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Call an endpoint until it is answered for good; without a body by GET.

        Every write has an Idempotency-Key or no second effect, so it may be tried again.
        """
        ...


def new_key() -> dict[str, str]:
    """Make the header of a write that is to be done once."""
    return {"Idempotency-Key": str(uuid.uuid4())}


class ServerApi:
    """The API of one server, spoken to with one key."""

    def __init__(self, server: Server, client: Lanes, retry: Retry) -> None:
        self._server = server
        self._client = client
        self._retry = retry

    def __repr__(self) -> str:
        return f"ServerApi({self._server.url!r})"

    async def call(self, endpoint: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Call an endpoint; see Api."""
        sent = {"Authorization": f"Key {self._server.api_key}", **(headers or {})}
        content = None
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode()
            sent["Content-Type"] = "application/json"

        async def attempt() -> Answer:
            where = f"The server at {self._server.url}"
            url = f"{self._server.url}/{endpoint}"
            method = "GET" if body is None else "POST"
            async with exchange(self._client, method, url, where=where, headers=sent, content=content) as response:
                text = await read_at_most(response, ANSWER_LIMIT, where)
            return answer_of(response, text, self._server.url)

        return await persist(self._retry, attempt)


def answer_of(response: httpx.Response, text: bytes, where: str) -> Answer:
    """Read a whole answer; anything but success is raised, as an Again where the same call may succeed later."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if response.status_code == 200:
        if body is None and text.lstrip()[:1] in (b"", b"{"):
            # It lost its end to a proxy that passes on as whole what was broken off.
            raise Again(_not_parqueue(where, 200), tries=INTERNAL_TRIES)
        if not isinstance(body, dict):
            raise _not_parqueue(where, 200)
        return Answer(body, response.headers)
    if not isinstance(body, dict) or not body.get("code") or not body.get("error"):
        error = _foreign(where, response.status_code)
        if isinstance(error, ConnectionError) and response.status_code in _PASSING:
            raise Again(error, retry_after(response))
        raise error
    error = error_of(body, response.status_code)
    if error.code == "internal":
        raise Again(error, tries=INTERNAL_TRIES)
    if response.status_code in _PASSING or error.code in ("conflict", "incomplete_body"):
        raise Again(error, retry_after(response))
    raise error


def retry_after(response: httpx.Response) -> float:
    """Read the seconds of the header of that name, up to a minute."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT) if text.isdigit() else 0.0


def _foreign(where: str, status: int) -> ParqueueError:
    """Make the error of an answer that API Gateway or a proxy gave, in words of its own."""
    if status == 401:
        return error_of(
            {
                "code": "unauthorized",
                "error": "The server doesn't take the API key.",
                "hint": "Sign in again with `parqueue auth login`, or give another api_key.",
            },
            status,
        )
    if status == 403:
        return error_of(
            {
                "code": "forbidden",
                "error": "The server doesn't let the API key do that.",
                "hint": "Use a key with the right scope, and check the URL.",
            },
            status,
        )
    if status in _PASSING:
        return ConnectionError("unavailable", f"The server at {where} is overloaded or down.", "Try again in a minute.", {"status": status})
    return _not_parqueue(where, status)


def _not_parqueue(where: str, status: int) -> ConnectionError:
    return ConnectionError(
        "unavailable",
        f"What answers at {where} is not a Parqueue server that this client knows.",
        "Check the URL: something else may be listening there, or an older server.",
        {"status": status},
    )


async def pages(api: Api, endpoint: str, name: str, body: Mapping[str, Any], limit: int) -> AsyncIterator[dict[str, Any]]:
    """Go through the rows of a listing, page by page."""
    cursor: str | None = None
    while True:
        request = {**body, "limit": limit}
        if cursor:
            request["cursor"] = cursor
        page = await api.call(endpoint, request)
        for row in page.get(name) or ():
            yield row
        cursor = page.get("next_cursor")
        if not cursor:
            return
