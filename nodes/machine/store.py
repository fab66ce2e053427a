"""Files that must never be half there: written whole, forced to disk, switched by one rename."""

import os
from collections.abc import Mapping
from pathlib import Path

CURRENT = "current"


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it that are missing, for their owner alone; return it."""
    for folder in [*reversed(path.parents), path]:
        folder.mkdir(mode=0o700, exist_ok=True)
    return path


def write_file(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 so that it is whole or not there, also after a power cut."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    _create(new, content)
    new.replace(path)
    _sync_folder(path.parent)


class Generations:
    """Numbered folders of files, of which the symbolic link ``current`` names one.

    Whoever reads ``current/<name>`` sees the files of one generation: a key always matches its certificate.
    """

    def __init__(self, folder: Path) -> None:
        """``folder`` is made by the first switch."""
        self._folder = folder
        self.current = folder / CURRENT

    def holds(self, name: str) -> bool:
        """Return whether the current generation has the file ``name``."""
        return (self.current / name).is_file()

    def read(self) -> dict[str, bytes]:
        """Return the files of the current generation by name; empty when there is none."""
        return {path.name: path.read_bytes() for path in self.current.iterdir()} if self.current.exists() else {}

    def switch(self, files: Mapping[str, bytes]) -> None:
        """Make a generation of ``files``, switch to it in one step, and remove all others."""
        private_folder(self._folder)
        numbers = (int(path.name) for path in self._folder.iterdir() if path.name.isdigit())
        new = self._folder / f"{1 + max(numbers, default=0):06d}"
        new.mkdir(mode=0o700)
        for name, content in files.items():
            _create(new / name, content)
        _sync_folder(new)
        link = self._folder / f"{new.name}.link"
        link.symlink_to(new.name)
        link.replace(self.current)
        _sync_folder(self._folder)
        self.prune()

    def prune(self) -> None:
        """Remove generations that are over, and whatever a crash left half made."""
        if not self._folder.exists():
            return
        kept = {self.current, self._folder / self.current.readlink()} if self.current.is_symlink() else set()
        for path in set(self._folder.iterdir()) - kept:
            if path.is_symlink():
                path.unlink()
            else:
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()


def _create(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - the mode is right from the first moment
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)  # a full disk shows only here, where the system has no name to tell
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
