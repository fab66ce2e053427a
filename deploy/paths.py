"""Where Giantnetes keeps things on this machine.

Two folders, each to be moved by one variable: what must survive (``GIANTNETES_STATE``) and what can be
made again (``GIANTNETES_CACHE``). The defaults follow the XDG base directory specification.
"""

import os
from pathlib import Path

import platformdirs


def state_dir() -> Path:
    """Return the folder of the local stack: databases, keys, logs, machines. It may not exist yet."""
    return _folder("GIANTNETES_STATE", platformdirs.user_state_dir("giantnetes"))


def cache_dir() -> Path:
    """Return the folder of downloaded and built binaries; deleting it costs time only."""
    return _folder("GIANTNETES_CACHE", platformdirs.user_cache_dir("giantnetes"))


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default).expanduser().absolute()
