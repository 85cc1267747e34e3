"""An event loop in a thread of its own.

What is async underneath can so be called from anywhere, a notebook's running loop included.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
E = TypeVar("E")

_POLL = 1.0  # seconds; a wait for ever can't be interrupted on Windows
_PATIENCE = 15.0  # seconds that what was interrupted has to put things right


class LoopThread:
    """The loop and its thread, from the first call to ``close``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="parqueue", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end. Interrupting the caller cancels it."""
        return self.observe(lambda _: work, None)

    def observe(self, work: Callable[[Callable[[E], None]], Coroutine[Any, Any, T]], observer: Callable[[E], object] | None) -> T:
        """Run to its end, and call the observer with what it tells, in this thread."""
        told: queue.SimpleQueue[E | None] = queue.SimpleQueue()
        ended = threading.Event()
        tasks: list[asyncio.Task[T]] = []
        coroutine = work(told.put)

        def begin() -> None:
            task = self._loop.create_task(coroutine)
            task.add_done_callback(finish)
            tasks.append(task)

        def finish(task: asyncio.Task[T]) -> None:
            if not task.cancelled():
                task.exception()  # it is looked at, here or below
            told.put(None)
            ended.set()

        self._loop.call_soon_threadsafe(begin)
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    event = told.get(timeout=_POLL)
                    if event is None:
                        break
                    if observer is not None:
                        observer(event)
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            ended.wait(_PATIENCE)
            raise
        return tasks[0].result()

    def close(self) -> None:
        """End the thread; nothing may run in it."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_up(self) -> None:
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
