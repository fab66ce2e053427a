"""Files for the user's eyes only."""

import os
import tempfile
from pathlib import Path


def expanded(target: str) -> Path:
    """Return the absolute path of a file as a user names it; a leading ``~`` is the home folder."""
    return Path(target).expanduser().absolute()


def write_private(path: Path, text: str) -> None:
    """Put ``text`` into ``path`` (mode 0600), whole or not at all; a folder that is missing is made (mode 0700).

    Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
