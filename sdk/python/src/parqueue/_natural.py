"""The order that people expect of names: part-2 before part-10."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

_PIECES = re.compile(rb"[0-9]+|[^0-9]", re.DOTALL)


def compare(a: str, b: str) -> int:
    """Compare two names: below 0 when a comes first. Names that differ are never in one place."""
    x, y = _PIECES.findall(a.encode("utf-8", "surrogateescape")), _PIECES.findall(b.encode("utf-8", "surrogateescape"))
    for m, n in zip(x, y, strict=False):
        if m[:1].isdigit() and n[:1].isdigit():
            m, n = m.lstrip(b"0"), n.lstrip(b"0")
            if len(m) != len(n):
                return len(m) - len(n)
        else:
            m, n = m[:1], n[:1]
        if m != n:
            return -1 if m < n else 1
    if len(x) != len(y):
        return len(x) - len(y)
    p, q = a.encode("utf-8", "surrogateescape"), b.encode("utf-8", "surrogateescape")
    return (p > q) - (p < q)


def compare_paths(a: str, b: str) -> int:
    """Compare paths folder by folder."""
    x, y = a.split("/"), b.split("/")
    for m, n in zip(x, y, strict=False):
        c = compare(m, n)
        if c:
            return c
    return len(x) - len(y)


name_key = functools.cmp_to_key(compare)
path_key = functools.cmp_to_key(compare_paths)


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names."""
    return sorted(names, key=name_key)
