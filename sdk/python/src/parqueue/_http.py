"""Requests as everything here sends them: bounded, without redirects, and with no secret in a log or in an error.

httpx logs the URL of each request, and a presigned one is a secret; so the query goes beside the URL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx

from ._exceptions import ConnectionError, DaemonError
from ._retry import Again

LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=20)
TIMEOUT = httpx.Timeout(60, connect=20, pool=None)


def new_client(uds: str | None = None) -> httpx.AsyncClient:
    """Make a client for a server and its store, or for what listens on a socket."""
    if uds is not None:
        return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=uds, limits=LIMITS), timeout=TIMEOUT, trust_env=False)
    return httpx.AsyncClient(limits=LIMITS, timeout=TIMEOUT, follow_redirects=False)


@asynccontextmanager
async def exchange(
    client: httpx.AsyncClient,
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
    extensions: dict[str, object] = {}
    if parsed.query:
        extensions["target"] = parsed.raw_path
        parsed = parsed.copy_with(query=None)
    request = client.build_request(
        method,
        parsed,
        headers={"User-Agent": "parqueue-python", "Accept-Encoding": "gzip", **(headers or {})},
        content=content,
        timeout=timeout or TIMEOUT,
        extensions={**extensions, "timeout": (timeout or TIMEOUT).as_dict()},
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
