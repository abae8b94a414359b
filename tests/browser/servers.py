"""Real notebook servers, each with a home of its own and gone at the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
IPYKERNEL_6 = ROOT / ".cache" / "ipykernel6"
START_SECONDS = 180


@dataclass(frozen=True)
class Server:
    """A running server; notebooks opened from it lie in `folder`."""

    url: str
    folder: Path
    log: Path


@contextmanager
def jupyter(application: str, home: Path) -> Generator[Server]:
    """Run JupyterLab ("lab") or Notebook 7 ("notebook") with the kernels of `write_kernels`."""
    folder = home / "notebooks"
    folder.mkdir(parents=True)
    environment = private_environment(home)
    write_kernels(home / "data" / "kernels")
    _no_news(home / "settings")
    exposed = {"lab": "LabApp", "notebook": "JupyterNotebookApp"}[application]
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyter", application),
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        f"--{exposed}.expose_app_in_browser=True",
    ]
    url = f"http://127.0.0.1:{port}"
    with _running(command, environment, home / "server.log", f"{url}/api/status"):
        yield Server(url, folder, home / "server.log")


@contextmanager
def marimo(notebook: Path, home: Path) -> Generator[Server]:
    """Run marimo's editor on one notebook file."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        *(sys.executable, "-m", "marimo", "--yes", "edit"),
        str(notebook),
        "--headless",
        "--no-token",
        "--skip-update-check",
        "--host=127.0.0.1",
        f"--port={port}",
    ]
    url = f"http://127.0.0.1:{port}"
    with _running(command, private_environment(home), home / "server.log", f"{url}/health"):
        yield Server(url, notebook.parent, home / "server.log")


def write_kernels(folder: Path) -> None:
    """Write two kernel specs: "python3" (this Python's ipykernel) and "ipykernel6"."""
    search: Mapping[str, list[Path]] = {
        "python3": [ROOT],
        # Found before the ipykernel 7 that is installed.
        "ipykernel6": [IPYKERNEL_6, ROOT],
    }
    for name, paths in search.items():
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
            "env": {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        }
        (folder / name).mkdir(parents=True)
        (folder / name / "kernel.json").write_text(json.dumps(spec))


def private_environment(home: Path) -> dict[str, str]:
    """Return this process's environment with every folder that a server writes to in `home`."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "XDG_", "MARIMO"))},
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        # The kernels of `write_kernels` before those of the virtual environment.
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        # matplotlib's font cache is the one thing worth sharing: it takes seconds to build.
        "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(home.parent / "matplotlib")),
    }


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _no_news(settings: Path) -> None:
    # JupyterLab would ask on the screen whether it may fetch its news.
    folder = settings / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (folder / "notification.jupyterlab-settings").write_text(json.dumps(quiet))


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, ready: str
) -> Generator[None]:
    with log.open("wb") as output:
        # A session of its own, so that the kernels go with the server.
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _await_answer(ready, process, log)
        yield
    finally:
        _stop(process)


def _await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"No answer from {url}; the server says:\n{log.read_text()[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(timeout=10)
            # Kernels outlive a server that had no time to end them.
