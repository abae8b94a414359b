"""Run a command with hot reload: the front end is rebuilt at every change for as long as it runs.

`python scripts/watch.py jupyter lab notebooks/quickstart.ipynb`
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(command: list[str]) -> int:
    """Run `command` beside the watcher, and stop the watcher with it."""
    # Unfit for a wheel: not minified. Without the digest the next build knows.
    (ROOT / "convlens" / "static" / "built-from.sha256").unlink(missing_ok=True)
    # In a session of its own: npm leaves its children behind, so all of it is stopped at once.
    watcher = subprocess.Popen(
        [sys.executable, "hatch_build.py", "npm", "run", "watch"], cwd=ROOT, start_new_session=True
    )
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for the command, which may ask back
    try:
        environment = {**os.environ, "ANYWIDGET_HMR": "1"}
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        os.killpg(watcher.pid, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
