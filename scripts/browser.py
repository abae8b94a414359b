"""Find the Chromium or Chrome that the browser tests drive, or install one where that is allowed.

Run as a script it prints the path, or one line that says what to do and an exit status of 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPS = ("Chromium", "Google Chrome")
DEBIAN_PACKAGES = ("chromium", "fonts-dejavu-core")
ADVICE = (
    "The browser tests need Chromium or Chrome: install one, "
    "or set CONVLENS_BROWSER to the path of its executable."
)


def find_browser() -> Path | None:
    """Find the browser: the one named by CONVLENS_BROWSER, else one of the machine's own."""
    named = os.environ.get("CONVLENS_BROWSER")
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    for app in MAC_APPS:
        for folder in (Path("/Applications"), Path.home() / "Applications"):
            file = folder / f"{app}.app" / "Contents" / "MacOS" / app
            if file.is_file():
                return file
    return None


def install_browser() -> None:
    """Install Chromium by apt-get, where there is one and it may be used without asking."""
    apt = shutil.which("apt-get")
    if apt is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update",), ("install", "-y", "--no-install-recommends", *DEBIAN_PACKAGES)):
        subprocess.run(
            [apt, "-qq", *arguments], env=environment, stdout=subprocess.DEVNULL, check=False
        )


def main() -> None:
    """Print where the browser is."""
    if find_browser() is None and "CONVLENS_BROWSER" not in os.environ:
        print("No Chromium or Chrome found: installing chromium", flush=True)
        install_browser()
    browser = find_browser()
    if browser is None:
        sys.exit(ADVICE)
    print(browser)


if __name__ == "__main__":
    main()
