"""Requests as everything here sends them: bounded, without redirects, and with no secret in a log or in an error.

An httpx client logs the URL of each request, and a presigned one is a secret; so httpx's transports are used without it.
"""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx

from ._exceptions import ConnectionError, DaemonError, ParqueueError
from ._retry import Again

TIMEOUT = httpx.Timeout(60, connect=20, pool=None)
_LIMITS = httpx.Limits(max_connections=2, max_keepalive_connections=2, keepalive_expiry=20)


class Lanes:
    """Connections to a server and its store, or to what listens on a socket; by a proxy where the environment names one.

    httpx looks at every connection of a pool whenever a request begins or ends, which with dozens costs more than the requests
    do. So each request at a time has a small pool of its own, which the next one takes over.
    """

    def __init__(self, uds: str | None = None) -> None:
        self._uds = uds
        self._idle: dict[str | None, list[httpx.AsyncHTTPTransport]] = {}
        self._all: list[httpx.AsyncHTTPTransport] = []
        self._context = httpx.create_ssl_context() if uds is None else None
        self._proxies = urllib.request.getproxies() if uds is None else {}

    def _proxy(self, url: httpx.URL) -> str | None:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy is None or urllib.request.proxy_bypass(url.netloc.decode()):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _new(self, proxy: str | None) -> httpx.AsyncHTTPTransport:
        if self._context is None:
            transport = httpx.AsyncHTTPTransport(uds=self._uds, limits=_LIMITS)
        else:
            transport = httpx.AsyncHTTPTransport(verify=self._context, limits=_LIMITS, proxy=proxy)
        self._all.append(transport)
        return transport

    @asynccontextmanager
    async def lane(self, url: httpx.URL) -> AsyncIterator[httpx.AsyncHTTPTransport]:
        """Give what carries one request."""
        proxy = self._proxy(url)
        idle = self._idle.setdefault(proxy, [])
        transport = idle.pop() if idle else self._new(proxy)
        try:
            yield transport
        finally:
            idle.append(transport)

    async def aclose(self) -> None:
        """Close all connections."""
        every, self._all, self._idle = self._all, [], {}
        for transport in every:
            await transport.aclose()


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
    request = httpx.Request(
        method,
        url,
        headers={"User-Agent": "parqueue-python", "Accept": "*/*", "Accept-Encoding": "gzip", **(headers or {})},
        content=content,
        extensions={"timeout": (timeout or TIMEOUT).as_dict()},
    )
    async with lanes.lane(request.url) as transport:
        response: httpx.Response | None = None
        try:
            response = await transport.handle_async_request(request)
            yield response
        except ParqueueError:
            raise  # some are OSErrors as well
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
