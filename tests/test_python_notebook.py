"""The notebook about a trained model in Python runs, and shows pictures."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.runs_helpers import REPOSITORY

NOTEBOOK = nbformat.read(REPOSITORY / "docs" / "python.ipynb", as_version=4)


def test_the_notebook_is_kept_without_outputs():
    assert not any(cell.get("outputs") for cell in NOTEBOOK.cells)


@pytest.mark.slow
def test_the_notebook_runs_on_a_run_that_it_trains(tmp_path, monkeypatch):
    """Every cell; each figure is shown where it ends a cell, without pyplot."""
    monkeypatch.setenv("RUN", str(tmp_path / "run"))
    monkeypatch.setenv("RUN_STEPS", "20")
    notebook = nbformat.from_dict(NOTEBOOK)
    resources = {"metadata": {"path": str(REPOSITORY)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    shown = [
        (cell, output["data"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    pictures = [cell.source for cell, data in shown if "image/png" in data]
    drawn = [cell.source for cell, _ in shown if "plots." in cell.source]
    assert pictures == drawn and len(pictures) == 7
    assert any("text/html" in data for _, data in shown)  # the table
    own = sorted(path.name for path in (tmp_path / "own").iterdir())
    assert own == ["hook.png", "ring.png"]
    assert (tmp_path / "codes.csv").read_text().startswith("row,label,mean_0,")
