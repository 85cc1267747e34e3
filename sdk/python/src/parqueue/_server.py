"""Which server is spoken to, and as whom: what was given, the environment, or who ``parqueue auth login`` signed in."""

from __future__ import annotations

import ipaddress
import json
import os
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ._exceptions import InvalidRequestError, UnauthorizedError


@dataclass(frozen=True)
class Server:
    """A server and a key to it. The key is in no text that is made of it."""

    url: str
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class Identity:
    """What a caller said, or left to the environment and to profiles."""

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    profile: str | None = None
    allow_http: bool = False

    def given(self) -> Server | None:
        """Return a server that was given whole, by arguments or, without any, by the environment."""
        url, key = self.url, self.api_key
        if self.profile is None:
            if key is None and url is None:
                url, key = os.environ.get("PARQUEUE_URL") or None, os.environ.get("PARQUEUE_API_KEY") or None
            elif key is None and same_url(url, os.environ.get("PARQUEUE_URL")):
                key = os.environ.get("PARQUEUE_API_KEY") or None
            elif url is None:
                url = os.environ.get("PARQUEUE_URL") or None
        if url is None or key is None:
            return None
        return Server(check_url(url, self.allow_http), check_key(key))

    def profile_name(self) -> str:
        """Return the name of the profile that is meant when no server was given."""
        return self.profile or os.environ.get("PARQUEUE_PROFILE") or "default"

    def by_profile(self) -> str | None:
        """Return the profile that a daemon is to use, which may read the keychain; None when a key was given."""
        if self.api_key is not None or (self.profile is None and os.environ.get("PARQUEUE_API_KEY")):
            return None
        url = self.url or (os.environ.get("PARQUEUE_URL") if self.profile is None else None)
        if url and not same_url(url, str(_profile(self.profile_name()).get("url") or "")):
            return None
        return self.profile_name()

    def resolve(self) -> Server:
        """Find the server. Raises UnauthorizedError when nobody is signed in."""
        given = self.given()
        if given is not None:
            return given
        profile = _profile(self.profile_name())
        url, key = str(profile.get("url") or ""), str(profile.get("key") or "")
        wanted = self.url
        if wanted is None and self.profile is None:
            wanted = os.environ.get("PARQUEUE_URL") or None
        if wanted is not None and not same_url(wanted, url):
            raise UnauthorizedError(
                "unauthorized",
                f"No API key was given for {wanted}.",
                "Give api_key, set PARQUEUE_API_KEY and PARQUEUE_URL, or sign in with `parqueue auth login`.",
            )
        if self.api_key is not None:
            key = self.api_key
        if not url:
            raise UnauthorizedError(
                "unauthorized",
                f'Nobody is signed in as "{self.profile_name()}".',
                "Give url and api_key, set PARQUEUE_URL and PARQUEUE_API_KEY, or sign in with `parqueue auth login`.",
            )
        if not key:
            raise UnauthorizedError(
                "unauthorized",
                f'The key of the profile "{self.profile_name()}" is not in its file.',
                "Use the daemon, which can read the keychain, or set PARQUEUE_API_KEY and PARQUEUE_URL.",
            )
        return Server(check_url(url, bool(profile.get("allow_http")) or self.allow_http), check_key(key))


def check_url(text: str, allow_http: bool = False) -> str:
    """Return a base URL in the form that it is compared in. Plain HTTP is for this machine, unless it is allowed."""
    url = text.strip()
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise InvalidRequestError(
            "invalid_request",
            f"{text!r} is not the URL of a server.",
            "Give it as https://host/path; `parqueue serve` prints its own.",
        )
    if parts.scheme == "http" and not allow_http and not _local(host):
        raise InvalidRequestError(
            "invalid_request",
            f"The key would be sent to {host} in the clear.",
            "Use https, or allow_http=True where the network between is your own.",
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def check_key(key: str) -> str:
    """Refuse what can't be a key, without showing it."""
    if not key or any(not " " < c < "\x7f" for c in key):
        raise UnauthorizedError(
            "unauthorized",
            "The API key has characters that no key has.",
            "Copy the key again: it begins with pq_live_ and is one word.",
        )
    return key


def same_url(a: str | None, b: str | None) -> bool:
    """Compare two URLs as servers."""
    return a is not None and b is not None and a.strip().rstrip("/").lower() == b.strip().rstrip("/").lower()


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _folder() -> Path:
    given = os.environ.get("PARQUEUE_CONFIG_DIR")
    if given:
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "parqueue"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "parqueue"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "parqueue"


def _profile(name: str) -> dict[str, object]:
    path = _folder() / "profiles.json"
    try:
        if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise InvalidRequestError(
                "invalid_request",
                f"{path} holds API keys, and other users of this machine can read it.",
                "Run `chmod 600` on it; if others may have read it, revoke the keys in it and sign in again.",
            )
        profiles = json.loads(path.read_text("utf-8"))["profiles"]
        profile = profiles.get(name) or {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidRequestError(
            "invalid_request",
            f"{path}, which holds who is signed in, can't be read.",
            "Make it right or move it away, then sign in again with `parqueue auth login`.",
        ) from None
    return dict(profile)
