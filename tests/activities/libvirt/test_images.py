"""Images on a hypervisor: those that the release names, and no others."""

import hashlib
from pathlib import Path

import pytest

from activities.libvirt.images import ensure_images
from api.errors import ErrorCode
from api.release import MachineImages, Release
from contracts.errors import StepError
from planning.releases import load_releases

NAMES = ("root", "kernel", "initrd", "disk")


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Path]:
    """What a cache has."""
    made = {name: tmp_path / "cache" / name for name in NAMES}
    (tmp_path / "cache").mkdir()
    for name, path in made.items():
        path.write_text(name)
    return made


@pytest.fixture
def release() -> Release:
    """A release that names the digests of these."""
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in NAMES}
    images = MachineImages.model_validate({"recipe": "0" * 16, **digests})
    return load_releases()["1.37.2-1"].model_copy(update={"machine_images": images})


def test_they_are_copied_once_and_outlive_the_cache(
    found: dict[str, Path], release: Release, tmp_path: Path
) -> None:
    images = ensure_images(tmp_path / "images", release, lambda _: found)
    assert images.disk.read_text() == "disk"
    assert images.disk.stat().st_mode & 0o777 == 0o444
    assert ensure_images(tmp_path / "images", release, lambda _: {}) == images


def test_one_that_is_missing_is_named(found: dict[str, Path], release: Release, tmp_path: Path) -> None:
    del found["initrd"]
    with pytest.raises(StepError, match=r"lacks images of release 1.37.2-1: initrd \(") as raised:
        ensure_images(tmp_path / "images", release, lambda _: found)
    assert raised.value.code is ErrorCode.BINARIES_MISSING
    assert raised.value.retryable


def test_one_with_other_content_is_refused_and_not_kept(
    found: dict[str, Path], release: Release, tmp_path: Path
) -> None:
    found["disk"].write_text("somebody else's")
    with pytest.raises(StepError, match="and the release names"):
        ensure_images(tmp_path / "images", release, lambda _: found)
    assert not [path for path in (tmp_path / "images").iterdir() if "disk" in path.name]
    found["disk"].write_text("disk")
    assert ensure_images(tmp_path / "images", release, lambda _: found).disk.read_text() == "disk"
