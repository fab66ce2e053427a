"""The read-only images of a release on a hypervisor: brought there once, under the name of their content."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from activities.libvirt.downloads import disk_format, download
from activities.libvirt.places import searchable_folder
from activities.libvirt.xml import Images, SelfBooting
from api.errors import ErrorCode
from api.release import Release, SystemImage
from contracts.errors import StepError

LOCK_SECONDS = 300.0
"""Another worker may be bringing a gigabyte."""


def ensure_images(
    folder: Path, release: Release, find: Callable[[Release], Mapping[str, Path]]
) -> Images | SelfBooting:
    """Return the images that ``release`` names by digest, below ``folder``.

    Those that are missing there are copied from what ``find`` returns (root, kernel, initrd, disk); machines keep
    running from the copies, whatever becomes of the cache that it finds them in. An operating system that boots by
    itself is downloaded. Raises ``StepError`` with BinariesMissing when something can't be had, or is another one.
    """
    searchable_folder(folder)
    made, system = _ensure_copies(folder, release, find), release.machine_images.system
    if system is None:
        return Images(**made)
    image = _ensure_system(folder, system)
    return SelfBooting(system=image, format=disk_format(image), disk=made["disk"])


def _ensure_copies(
    folder: Path, release: Release, find: Callable[[Release], Mapping[str, Path]]
) -> dict[str, Path]:
    digests = release.machine_images.made
    images = {name: folder / f"{digest}-{name}" for name, digest in digests.items()}
    with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
        missing = [name for name, image in images.items() if not image.exists()]
        found = find(release) if missing else {}
        if lacking := [f"{name} ({digests[name]})" for name in missing if name not in found]:
            text = f"the hypervisor lacks images of release {release.name}: {', '.join(lacking)}"
            raise StepError(ErrorCode.BINARIES_MISSING, text)
        for name in missing:
            _copy(found[name], images[name], digests[name])
    return images


def _ensure_system(folder: Path, system: SystemImage) -> Path:
    """Return the image of an operating system, unpacked. Others' images don't wait for its download."""
    image = folder / f"{system.sha256}-system"
    with FileLock(folder / f".{image.name}.lock", timeout=LOCK_SECONDS):
        if not image.exists():
            new = image.with_suffix(".new")
            download(system, new)
            _finish(new, image)
    return image


def _copy(source: Path, target: Path, digest: str) -> None:
    """Copy one image, and see that its content is what it says."""
    new = target.with_suffix(".new")
    shutil.copyfile(source, new)
    with new.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != digest:
        new.unlink()
        text = f"{source} has the SHA-256 {found}, and the release names {digest}"
        raise StepError(ErrorCode.BINARIES_MISSING, text)
    _finish(new, target)


def _finish(new: Path, target: Path) -> None:
    """Give an image its name when it is on disk; nobody writes to it any more."""
    new.chmod(0o444)
    os.sync()
    new.replace(target)


def remove_overlays(folder: Path, domain: str) -> None:
    """Remove what libvirt has put above images in ``folder`` for a domain that is off.

    It does so itself when the domain ends, but for a hypervisor that lost its power; and it starts none whose
    overlay is there.
    """
    for overlay in folder.glob(f"*.TRANSIENT-{domain}"):
        overlay.unlink(missing_ok=True)
