"""What README.md shows is run, block by block, as one session."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Server

README = Path(__file__).parents[1] / "README.md"


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def test_readme(
    own_server: Server,
    tmp_path: Path,
    table_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PARQUEUE_URL", own_server.url)
    monkeypatch.setenv("PARQUEUE_API_KEY", own_server.key)
    monkeypatch.setenv("PATH", "")  # without a daemon
    monkeypatch.chdir(tmp_path)
    for name in ("days/day-2.parquet", "days/day-10.parquet", "x.parquet", "a.parquet"):
        table_file(name)
    (tmp_path / "clip.mp4").write_bytes(b"no film")
    session: dict[str, Any] = {}
    said = []
    for block in blocks(README):
        exec(compile(block, str(README), "exec"), session)
        said.append(capsys.readouterr().out)
    assert len(said) == 6
    assert said[0] == "0 day-2.parquet 3\n1 day-10.parquet 3\n2 x.parquet 3\n3 a.parquet 3\n"
    assert said[3] == f"{tmp_path / 'clips' / 'clip.mp4'} 7\n"
    assert "count   int64     double" in said[4]
    assert said[5].splitlines()[-1] == "100 %"
    assert (tmp_path / "back" / "day-2.parquet").exists()
