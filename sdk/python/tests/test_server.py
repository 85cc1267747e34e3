"""Who is signed in, and where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import parqueue
from conftest import Home
from parqueue._server import Identity, Server, check_url


def sign_in(home: Home, **profiles: dict[str, object]) -> Path:
    path = home.path / ".config" / "parqueue" / "profiles.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"profiles": profiles}))
    path.chmod(0o600)
    return path


def test_arguments_environment_profile(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(parqueue.UnauthorizedError, match='Nobody is signed in as "default"') as caught:
        Identity().resolve()
    assert "parqueue auth login" in caught.value.hint
    sign_in(home, default={"url": "https://a.example", "key": "k1"}, work={"url": "https://b.example/Prod", "key": "k2"})
    assert Identity().resolve() == Server("https://a.example", "k1")
    assert Identity(profile="work").resolve() == Server("https://b.example/Prod", "k2")
    assert Identity(api_key="other").resolve() == Server("https://a.example", "other")
    assert Identity(url="https://A.example/").resolve() == Server("https://a.example", "k1")
    monkeypatch.setenv("PARQUEUE_PROFILE", "work")
    assert Identity().resolve().api_key == "k2"
    monkeypatch.setenv("PARQUEUE_URL", "https://c.example")
    with pytest.raises(parqueue.UnauthorizedError, match=r"No API key was given for https://c\.example"):
        Identity().resolve()
    monkeypatch.setenv("PARQUEUE_API_KEY", "k3")
    assert Identity().resolve() == Server("https://c.example", "k3")
    assert Identity(profile="work").resolve().api_key == "k2", "a profile that is named wins"
    assert Identity("https://d.example", "k4").resolve() == Server("https://d.example", "k4")
    with pytest.raises(parqueue.UnauthorizedError):
        Identity("https://d.example").resolve()  # the key of the environment is not that server's


def test_what_a_daemon_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(home, default={"url": "https://a.example", "key": ""})
    assert Identity().by_profile() == "default"
    assert Identity(profile="work").by_profile() == "work"
    assert Identity(url="https://a.example").by_profile() == "default"
    assert Identity(url="https://b.example").by_profile() is None
    assert Identity(api_key="k").by_profile() is None
    with pytest.raises(parqueue.UnauthorizedError, match="not in its file"):
        Identity().resolve()
    monkeypatch.setenv("PARQUEUE_API_KEY", "k")
    assert Identity().by_profile() is None
    assert Identity(profile="default").by_profile() == "default"


def test_profiles_that_others_can_read(home: Home) -> None:
    path = sign_in(home, default={"url": "https://a.example", "key": "k1"})
    path.chmod(0o644)
    with pytest.raises(parqueue.InvalidRequestError, match="other users of this machine"):
        Identity().resolve()
    path.chmod(0o600)
    path.write_text("{")
    with pytest.raises(parqueue.InvalidRequestError, match="can't be read"):
        Identity().resolve()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://Example.com/Prod/", "https://example.com/Prod"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:1/", "http://localhost:1"),
        ("http://[::1]:1", "http://[::1]:1"),
        ("http://example.com", None),
        ("http://127.0.0.1.evil.com", None),
        ("ftp://example.com", None),
        ("example.com", None),
        ("https://user:pw@x.com", None),
        ("https://x.com/?a=b", None),
        ("", None),
    ],
)
def test_urls(given: str, url: str | None) -> None:
    if url is not None:
        assert check_url(given) == url
        return
    with pytest.raises(parqueue.InvalidRequestError):
        check_url(given)


def test_plain_http_that_is_allowed() -> None:
    assert check_url("http://example.com", allow_http=True) == "http://example.com"
