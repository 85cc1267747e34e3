"""How far a transfer has come, and who is told."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ._models import ProgressEvent

Tell = Callable[[ProgressEvent], object]

TICK = 0.2  # seconds between two events
_PACE = 8.0  # seconds that a rate is taken over


def nobody(event: ProgressEvent) -> None:
    """Hear of nothing."""


class Meter:
    """Measures a transfer of this process. Bytes are done when the other side has them."""

    def __init__(self, tell: Tell | None, files: int, size: int) -> None:
        self._tell = tell or nobody
        self._files, self._size = files, size
        self._files_done = self._done = 0
        self._active: dict[int, str] = {}
        self._last = 0.0
        self._pace: deque[tuple[float, int]] = deque()
        self.moved = 0
        self._show("")

    def begin(self, index: int, name: str) -> None:
        """Note that a file is under way."""
        self._active[index] = name

    def add(self, count: int, *, moved: bool = True) -> None:
        """Note bytes that moved, or below 0 did so in vain."""
        self._done += count
        if moved and count > 0:
            self.moved += count
        now = time.monotonic()
        if now - self._last >= TICK:
            self._last = now
            self._show(self._active[min(self._active)] if self._active else "")

    def leave(self, index: int) -> None:
        """Note that a file is not under way any more."""
        self._active.pop(index, None)

    def file_done(self, name: str) -> None:
        """Note that a file is where it was to go."""
        self._files_done += 1
        self._show(name)

    def end(self) -> None:
        """Tell of the end."""
        self._show("")

    def _show(self, name: str) -> None:
        now = time.monotonic()
        self._pace.append((now, self._done))
        while len(self._pace) > 2 and now - self._pace[0][0] > _PACE:
            self._pace.popleft()
        since, before = self._pace[0]
        rate = (self._done - before) / (now - since) if now - since >= 0.1 and self._done > before else 0.0
        self._tell(ProgressEvent(self._done, self._size, name, self._files_done, self._files, rate))


def event_of(line: Mapping[str, Any]) -> ProgressEvent:
    """Read an event of the daemon."""
    name = ""
    if line.get("file"):
        name = str(line["file"].get("file_name", ""))
    elif line.get("active"):
        name = str(line["active"][0].get("file_name", ""))
    return ProgressEvent(
        bytes_done=int(line.get("bytes_done", 0)),
        bytes_total=int(line.get("bytes", 0)),
        file_name=name,
        files_done=int(line.get("files_done", 0)),
        files_total=int(line.get("files", 0)),
        bytes_per_second=float(line.get("bytes_per_second", 0)),
    )


class Bar:
    """A progress bar by tqdm."""

    def __init__(self, what: str, forced: bool) -> None:
        self._what, self._forced = what, forced
        self._bar: Any = None
        self._shown = 0

    def __call__(self, event: ProgressEvent) -> None:
        """Show an event."""
        if self._bar is None:
            from tqdm.auto import tqdm

            disable = False if self._forced or _in_notebook() else None  # None: where the output is no terminal
            self._bar = tqdm(total=event.bytes_total, desc=self._what, unit="B", unit_scale=True, unit_divisor=1024, disable=disable)
        self._bar.total = event.bytes_total
        self._bar.update(event.bytes_done - self._shown)
        self._shown = event.bytes_done

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def bar_for(what: str, wanted: bool | None, given: Tell | None) -> Bar | None:
    """Return a bar when one is wanted, or when nothing was said, nobody else is told and tqdm is there."""
    if wanted is False or (wanted is None and given is not None):
        return None
    try:
        import tqdm  # noqa: F401
    except ImportError:
        if wanted:
            raise
        return None
    return Bar(what, wanted is True)
