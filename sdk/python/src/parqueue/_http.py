"""Requests as everything here sends them: bounded, without redirects, and with no secret in a log or in an error.

httpx logs the URL of each request, and a presigned one is a secret; so the query goes beside the URL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx

from ._exceptions import ConnectionError, DaemonError
from ._retry import Again

TIMEOUT = httpx.Timeout(60, connect=20, pool=None)
_LIMITS = httpx.Limits(max_connections=2, max_keepalive_connections=2, keepalive_expiry=20)


class Lanes:
    """Connections to a server and its store, or to what listens on a socket.

    httpx looks at every connection of a pool whenever a request begins or ends, which with dozens costs more than the requests
    do. So each request at a time has a small pool of its own, which the next one takes over.
    """

    def __init__(self, uds: str | None = None) -> None:
        self._uds = uds
        self._idle: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []
        self._context = httpx.create_ssl_context() if uds is None else None

    def _take(self) -> httpx.AsyncClient:
        if self._idle:
            return self._idle.pop()
        if self._uds is not None:
            transport = httpx.AsyncHTTPTransport(uds=self._uds, limits=_LIMITS)
            client = httpx.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=False)
        else:
            assert self._context is not None  # noqa: S101
            client = httpx.AsyncClient(verify=self._context, limits=_LIMITS, timeout=TIMEOUT, follow_redirects=False)
        self._all.append(client)
        return client

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[httpx.AsyncClient]:
        """Give a client for one request."""
        client = self._take()
        try:
            yield client
        finally:
            self._idle.append(client)

    async def aclose(self) -> None:
        """Close all connections."""
        every, self._all, self._idle = self._all, [], []
        for client in every:
            await client.aclose()


@asynccontextmanager
async def exchange(
    lanes: Lanes,
    method: str,
    url: str,
    *,
    where: str,
    headers: Mapping[str, str] | None = None,
    content: bytes | AsyncIterator[bytes] | None = None,
    timeout: httpx.Timeout | None = None,
) -> AsyncIterator[httpx.Response]:
    """Send a request, and give the answer to be read. What fails on the way is an Again with a ConnectionError."""
    parsed = httpx.URL(url)
    extensions: dict[str, object] = {"timeout": (timeout or TIMEOUT).as_dict()}
    if parsed.query:
        extensions["target"] = parsed.raw_path
        parsed = parsed.copy_with(query=None)
    async with lanes.lane() as client:
        request = client.build_request(
            method,
            parsed,
            headers={"User-Agent": "parqueue-python", "Accept-Encoding": "gzip", **(headers or {})},
            content=content,
            extensions=extensions,
        )
        response: httpx.Response | None = None
        try:
            response = await client.send(request, stream=True)
            yield response
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise unreachable(where, type(error).__name__) from None
        finally:
            if response is not None:
                await response.aclose()


def unreachable(where: str, why: str) -> Again:
    """Make the error of a request that got no whole answer."""
    return Again(
        ConnectionError(
            "unavailable",
            f"{where} can't be reached.",
            "Check the network and the URL, then make the same call again.",
            {"cause": why},
        )
    )


async def read_at_most(response: httpx.Response, limit: int, where: str) -> bytes:
    """Read an answer whole, unless it is longer than any should be."""
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > limit:
            raise DaemonError("unavailable", f"The answer of {where} is too long.", "Check the URL.")
        chunks.append(chunk)
    return b"".join(chunks)


Observer = Callable[[int], None]
"""Hears of bytes that moved, or below 0 did so in vain."""
