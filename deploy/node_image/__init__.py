"""What virtual machines boot: an immutable operating system, and beside it a disk with what a release adds."""

from collections.abc import Mapping
from pathlib import Path

from api.release import Release
from deploy.binaries import cache
from deploy.binaries.progress import Report
from deploy.node_image.build import image_bundle, node_image
from deploy.node_image.release_disk import disk_bundle, release_disk

__all__ = ["installed_images", "machine_images", "node_image", "release_disk"]


def machine_images(release: Release, report: Report) -> Mapping[str, Path]:
    """Return the files that machines of ``release`` boot from: ``root``, ``kernel``, ``initrd`` and ``release``.

    They are made if they aren't there. Raises BinariesError when they can't be.
    """
    return {**node_image(report), "release": release_disk(release, report)}


def installed_images(release: Release) -> Mapping[str, Path]:
    """Return those files if they are there, nothing if one is missing; nothing is made."""
    image, disk = cache.find(image_bundle()), cache.find(disk_bundle(release))
    return {**image, "release": disk["disk"]} if image and disk else {}
