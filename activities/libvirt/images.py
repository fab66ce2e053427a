"""The read-only images of a release on a hypervisor: copied there once, under the name of their content."""

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from activities.libvirt.places import searchable_folder
from activities.libvirt.xml import Images
from api.errors import ErrorCode
from contracts.errors import StepError

LOCK_SECONDS = 300.0
"""Another worker may be copying a gigabyte."""


def ensure_images(folder: Path, found: Mapping[str, Path], release: str) -> Images:
    """Return the images of ``release`` below ``folder``, copied from ``found`` (root, kernel, initrd, release).

    Machines keep running from them, whatever becomes of the cache that ``found`` is in. Raises BINARIES_MISSING.
    """
    names = [field.name for field in dataclasses.fields(Images)]
    if missing := [name for name in names if name not in found]:
        raise StepError(ErrorCode.BINARIES_MISSING, f"release {release} lacks the images {', '.join(missing)}")
    searchable_folder(folder)
    with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
        return Images(**{name: _ensure(folder, found[name]) for name in names})


def _ensure(folder: Path, source: Path) -> Path:
    """A link remembers the source's size and time, so that the digest is made once and not for each machine."""
    stat = source.stat()
    known = folder / f".{source.name}-{stat.st_size}-{stat.st_mtime_ns}"
    if known.is_symlink() and known.exists():
        return known.resolve()
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = folder / f"{digest}-{source.name}"
    if not target.exists():
        new = target.with_suffix(".new")
        shutil.copyfile(source, new)
        new.chmod(0o444)
        new.replace(target)
    known.unlink(missing_ok=True)
    known.symlink_to(target.name)
    return target
