"""What virtual machines boot: an immutable operating system, and beside it a disk with what a release adds."""

from collections.abc import Mapping
from pathlib import Path

from api.release import Release
from deploy.binaries import cache
from deploy.binaries.progress import Report
from deploy.node_image.build import node_image
from deploy.node_image.release_disk import release_disk

__all__ = ["installed_images", "machine_images", "node_image", "release_disk"]


def machine_images(release: Release, report: Report) -> Mapping[str, Path]:
    """Return the files that machines of ``release`` boot from: ``root``, ``kernel``, ``initrd`` and ``disk``.

    They are made if they aren't there. A release with another operating system has only the last. Raises
    BinariesError when they can't be made.
    """
    system = {} if release.machine_images.system else node_image(report)
    return {**system, "disk": release_disk(release, report)}


def installed_images(release: Release) -> Mapping[str, Path]:
    """Return those of the files that ``release`` names by digest that are there; nothing is made."""
    named = release.machine_images.made
    return {name: path for name, digest in named.items() if (path := cache.by_digest(digest))}
