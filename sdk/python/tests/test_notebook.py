"""In a notebook: a kernel whose event loop runs while cells do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbclient
import nbformat
import pytest

from conftest import Server

CELLS = [
    "import asyncio\nfrom parqueue import AsyncParqueueClient, ParqueueClient\nasyncio.get_running_loop().is_running()",
    "client = ParqueueClient(daemon=False)\ndataset = client.datasets.create('from a notebook')\ndataset.name",
    "done = client.datasets.upload(dataset, 'days')\ndone.uploaded_count",
    "import pandas as pd\nframe = pd.DataFrame({'item': ['x'], 'count': [7]})\n"
    "client.datasets.upload(dataset, frame, name='last', progress=False).last_position",
    "days = client.datasets.open(dataset)\nint(days.pyarrow().to_table().to_pandas()['count'].sum())",
    "async with AsyncParqueueClient(daemon=False) as a:\n    names = [f.file_name for f in await a.datasets.files(dataset)]\nnames",
    "client.close()\nclient",
]


def test_notebook(server: Server, tmp_path: Path, table_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    table_file("days/day-1.parquet", 2)
    monkeypatch.setenv("PARQUEUE_URL", server.url)
    monkeypatch.setenv("PARQUEUE_API_KEY", server.key)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "src"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    results = [[o for o in cell.outputs if o.output_type == "execute_result"] for cell in notebook.cells]
    texts = [r[0].data["text/plain"] for r in results]
    assert texts == [
        "True",
        "'from a notebook'",
        "1",
        "1",
        "8",
        "['day-1.parquet', 'last.parquet']",
        "<ParqueueClient 'default' (not connected)>",
    ]
    shown = str(notebook.cells[2].outputs)
    assert "upload: 100%" in shown, "a bar by tqdm"
    assert server.key not in nbformat.writes(notebook)
