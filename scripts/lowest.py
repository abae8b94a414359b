"""Print the oldest versions that pyproject.toml allows, as pip's requirements.

torch is left to the caller: one build of it is gigabytes, and make has its own.
"""

from __future__ import annotations

import re
from importlib.metadata import requires


def lowest() -> dict[str, str]:
    """Give the lower bound of each runtime dependency by its name."""
    lines = [line for line in requires("convlens") or [] if "extra ==" not in line]
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


if __name__ == "__main__":
    for name, bound in lowest().items():
        if name != "torch":
            print(f"{name}=={bound}")
