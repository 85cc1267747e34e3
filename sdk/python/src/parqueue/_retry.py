"""How what failed is tried again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ._exceptions import ParqueueError

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """Waits that grow and are drawn at random, in seconds.

    Attributes:
        first: upper bound of the first wait.
        most: upper bound of every wait.
        patience: from the first failure; after it no new try begins.

    """

    first: float = 0.2
    most: float = 15.0
    patience: float = 300.0


class Again(Exception):
    """Marks an error after which the same may be tried again; if ``tries`` is not 0, until it has failed so often with such errors."""

    def __init__(self, error: ParqueueError, after: float = 0, tries: int = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        self.tries = tries


async def persist(retry: Retry, attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until it succeeds, fails for good, or the patience ends. The error is the last try's."""
    bound, failing, few = retry.first, 0.0, 0
    while True:
        try:
            return await attempt()
        except Again as again:
            few += again.tries > 0
            now = time.monotonic()
            failing = failing or now
            wait = max(random.random() * bound, again.after)  # noqa: S311 - no secret
            if now + wait - failing > retry.patience or (again.tries and few >= again.tries):
                raise again.error from None
            await asyncio.sleep(wait)
            bound = min(2 * bound, retry.most)
