"""Files and folders for this user's eyes only, each whole or not there at all."""

import os
import tempfile
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make the folder ``path``, and those above it that are missing, closed to others (mode 0700); return it."""
    if not path.parent.exists():
        private_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private(path: Path, content: str | bytes) -> bool:
    """Put ``content`` into ``path`` (mode 0600, on disk when this returns); return whether it is a change.

    The file appears by a rename, so that no reader and no power cut finds half of it. A folder that is missing is
    made, for this user alone; one that exists, such as ``~/.kube``, is left as it is.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        path.chmod(0o600)
        return False
    if not path.parent.exists():
        private_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True
