"""The files that set a machine up say the same as the package does, and say what is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml

from scripts.browser import ADVICE, find_browser
from scripts.lowest import lowest

ROOT = Path(__file__).parents[1]
# What conda-forge calls them; the -base ones leave out a window toolkit and statistics models.
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(";")[0].strip().split("==") for line in lines if re.match(r"\w", line))


def test_every_dependency_has_a_lower_bound() -> None:
    required = [line for line in requires("convlens") or [] if "extra ==" not in line]
    assert len(lowest()) == len(required) > 5


def test_pins_lie_within_the_bounds() -> None:
    pinned = pins()
    for name, bound in lowest().items():
        assert numbers(pinned[name]) >= numbers(bound), name


def test_binder_has_what_the_package_needs() -> None:
    wanted = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text(encoding="utf-8"))
    given = dict(re.split(">=", line) for line in wanted["dependencies"] if ">=" in line)
    for name, bound in lowest().items():
        if name != "captum":  # which postBuild's pip adds, since it is pure Python
            assert given[CONDA_NAMES.get(name, name)] == bound


def test_each_dependency_is_justified() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = text.split("## Dependencies")[1]
    for name, bound in lowest().items():
        row = re.search(rf"^\| {name} \|.*\| {re.escape(bound)}[,:][^|]*\|$", rows, re.MULTILINE)
        assert row, f"the table has no row for {name} >= {bound}"


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = re.findall(r"^make (\S+)", done.stdout, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(listed) == set(phony.split())
    assert {"demo", "test", "lint", "bench", "screenshots"} <= set(listed)


def test_a_named_browser_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVLENS_BROWSER", sys.executable)
    assert find_browser() == Path(sys.executable)


def test_a_missing_browser_is_one_line_of_advice(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/browser.py"],
        cwd=ROOT,
        env={**os.environ, "CONVLENS_BROWSER": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == ADVICE
