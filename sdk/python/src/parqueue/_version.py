"""The version of this package."""

__version__ = "0.1.0"

PROTOCOL = 1
"""The protocol of the daemon that this package speaks."""
