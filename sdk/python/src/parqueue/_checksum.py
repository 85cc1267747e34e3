"""The CRC-64/NVME of files, which S3 computes too: bytes are compared from end to end.

It is computed by awscrt (the extra ``checksum``). Without that, files are sent and fetched unchecked by this side.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

_ONE = 1 << 63
_POLYNOMIAL = 0x9A6C9329AC4BC9B5  # with its bits reversed, as all values are: the highest bit is x^0


def _load() -> Callable[[bytes, int], int] | None:
    try:
        from awscrt.checksums import crc64nvme
    except ImportError:
        return None
    update: Callable[[bytes, int], int] = crc64nvme
    return update


_UPDATE = _load()


def available() -> bool:
    """Tell whether checksums can be computed here."""
    return _UPDATE is not None


@dataclass(frozen=True)
class Sum:
    """The checksum of some bytes, and how many they are."""

    crc: int = 0
    size: int = 0

    def add(self, data: bytes) -> Sum:
        """Take further bytes in; without awscrt only their number."""
        crc = _UPDATE(data, self.crc) if _UPDATE is not None else 0
        return Sum(crc, self.size + len(data))

    def join(self, other: Sum) -> Sum:
        """Return the sum of these bytes and, behind them, the other's.

        A CRC is a remainder of polynomials over GF(2): zero bytes behind these are a multiplication by x^(8·size), and then the
        other is added. zlib's crc32_combine does the same: https://stackoverflow.com/a/23126768
        """
        return Sum(_multiply(self.crc, _power(other.size)) ^ other.crc, self.size + other.size)

    def text(self) -> str | None:
        """Return the sum as S3 and Parqueue write it, or None where it can't be computed."""
        if _UPDATE is None:
            return None
        return base64.b64encode(self.crc.to_bytes(8, "big")).decode()


def _multiply(a: int, b: int) -> int:
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFF_FFFF_FFFF_FFFF
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
    return product


def _power(size: int) -> int:
    result, square = _ONE, _ONE >> 8
    while size:
        if size & 1:
            result = _multiply(result, square)
        square = _multiply(square, square)
        size >>= 1
    return result
