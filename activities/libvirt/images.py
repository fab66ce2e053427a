"""The read-only images of a release on a hypervisor: copied there once, under the name of their content."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from activities.libvirt.places import searchable_folder
from activities.libvirt.xml import Images
from api.errors import ErrorCode
from api.release import Release
from contracts.errors import StepError

LOCK_SECONDS = 300.0
"""Another worker may be copying a gigabyte."""


def ensure_images(folder: Path, release: Release, find: Callable[[Release], Mapping[str, Path]]) -> Images:
    """Return the images that ``release`` names by digest, below ``folder``.

    Those that are missing there are copied from what ``find`` returns (root, kernel, initrd, disk); machines keep
    running from the copies, whatever becomes of the cache that it finds them in. Raises ``StepError`` with
    BinariesMissing when it finds none, or other ones.
    """
    digests = release.machine_images.made
    images = {name: folder / f"{digest}-{name}" for name, digest in digests.items()}
    searchable_folder(folder)
    with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
        missing = [name for name, image in images.items() if not image.exists()]
        found = find(release) if missing else {}
        if lacking := [f"{name} ({digests[name]})" for name in missing if name not in found]:
            text = f"the hypervisor lacks images of release {release.name}: {', '.join(lacking)}"
            raise StepError(ErrorCode.BINARIES_MISSING, text)
        for name in missing:
            _copy(found[name], images[name], digests[name])
    return Images(**images)


def _copy(source: Path, target: Path, digest: str) -> None:
    """Copy one image; its name appears when its content is seen to be what it says, and is on disk."""
    new = target.with_suffix(".new")
    shutil.copyfile(source, new)
    with new.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != digest:
        new.unlink()
        text = f"{source} has the SHA-256 {found}, and the release names {digest}"
        raise StepError(ErrorCode.BINARIES_MISSING, text)
    new.chmod(0o444)
    os.sync()
    new.replace(target)
