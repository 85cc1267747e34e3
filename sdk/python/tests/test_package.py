"""The package as it is built and installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import parqueue

HERE = Path(__file__).parents[1]


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    out = subprocess.run([sys.executable, "-c", build, tmp_path], cwd=HERE, capture_output=True, text=True, check=True).stdout
    name = out.strip().splitlines()[-1]
    assert name == f"parqueue-{parqueue.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        inside = set(wheel.namelist())
        metadata = wheel.read(f"parqueue-{parqueue.__version__}.dist-info/METADATA").decode()
    modules = {f"parqueue/{p.name}" for p in (HERE / "src" / "parqueue").iterdir() if p.suffix == ".py" or p.name == "py.typed"}
    assert modules <= inside
    assert "Requires-Python: >=3.10" in metadata
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ") and "extra ==" not in line]
    assert required == ["Requires-Dist: httpx<1,>=0.27"]


def test_what_is_public_is_documented() -> None:
    for name in parqueue.__all__:
        thing = getattr(parqueue, name)
        if name == "__version__":
            continue
        assert thing.__doc__, name
        assert thing.__module__ == "parqueue", name
    assert parqueue.DataEraiClient is parqueue.ParqueueClient
    assert parqueue.ConnectionError.__mro__.index(ConnectionError) > 0


def test_importing_it_loads_no_data_library() -> None:
    script = "import parqueue, sys; print([m for m in ('pyarrow', 'pandas', 'polars', 'tqdm', 'fsspec') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
