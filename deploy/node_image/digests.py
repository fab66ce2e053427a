"""The digests of what machines boot, as release files have them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import yaml

from api.release import MachineImages, Release
from deploy.binaries.cache import sha256
from deploy.binaries.errors import BinariesError
from deploy.node_image.build import image_bundle
from deploy.node_image.release_disk import disk_bundle
from planning.releases import RELEASES

FIELD = "machineImages:"
"""Where the part of a release file begins that is written here; it is the last."""


def recipe(release: Release) -> str:
    """Return the key of what a release's images are made by, without making them."""
    keys = [image_bundle().folder.name, disk_bundle(release).folder.name]
    return hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16]


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by name, in hexadecimal."""
    return {name: sha256(path) for name, path in files.items()}


def differences(release: Release, found: Mapping[str, str]) -> list[str]:
    """Return a sentence for each digest of ``machine_images`` that isn't the one that the release names."""
    named = release.machine_images.made
    return [
        f"{name} of release {release.name} has the SHA-256 {found[name]}, and is to have {named[name]}"
        for name in sorted(found)
        if found[name] != named[name]
    ]


def write(release: Release, found: Mapping[str, str]) -> None:
    """Write digests of ``machine_images`` into the release's file, as its end.

    Raises BinariesError when something else follows them there.
    """
    images = MachineImages(recipe=recipe(release), system=release.machine_images.system, **found)
    file = RELEASES / f"{release.name}.yaml"
    kept, _, old = file.read_text().partition(f"\n{FIELD}")
    if any(line and not line.startswith(" ") for line in old.splitlines()):
        raise BinariesError(f"{FIELD} is not the last in {file}: move what follows it before it.")
    written = yaml.safe_dump(images.model_dump(exclude_none=True), indent=2, sort_keys=False)
    file.write_text(f"{kept.rstrip()}\n{FIELD}\n" + "".join(f"  {line}\n" for line in written.splitlines()))
