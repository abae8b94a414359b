"""The notebook on similarity runs as it stands, on few images."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.models import SHARED

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "similarity.ipynb"


def test_it_holds_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.parametrize("cifar", [True, False])
def test_every_cell_runs(cifar: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVLENS_IMAGES", "128")
    folder = SHARED / "cifar10" if cifar else tmp_path
    if cifar and not folder.exists():
        pytest.skip(f"{folder} is not there")
    monkeypatch.setenv("CONVLENS_CIFAR", str(folder))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "p >= n" in printed  # CCA was refused
    assert "4 batches of 32" in printed
