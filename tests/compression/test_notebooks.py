"""The notebooks on compression and pruning run as they stand, on short settings."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.models import SHARED

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def executed(name: str) -> str:
    """Run a notebook and give what it printed and showed as text."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )


@pytest.mark.parametrize("name", ["compression.ipynb", "pruning.ipynb"])
def test_they_hold_no_outputs(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_compression(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVLENS_IMAGES", "48")
    monkeypatch.setenv("CONVLENS_STEPS", "4")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = SHARED / "cifar10"
    monkeypatch.setenv("CONVLENS_CIFAR", str(folder if folder.exists() else tmp_path))
    said = executed("compression.ipynb")
    assert "8 bits: rank correlation 0.9" in said
    assert "torch.ao: accuracy" in said
    if folder.exists():
        assert "layer3" in said.rpartition("costs most")[2]


def test_pruning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("SEEDS", "2"), ("ROUNDS", "1"), ("EPOCHS", "2"), ("IMAGES", "256")):
        monkeypatch.setenv(f"CONVLENS_{name}", value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = SHARED / "mnist"
    monkeypatch.setenv("CONVLENS_MNIST", str(folder if folder.exists() else tmp_path))
    said = executed("pruning.ipynb")
    assert "cka: at sparsity 0.400" in said
    assert "nbs: at sparsity 0.400" in said
    assert "round 1" in said
    assert "cka_last" in said
