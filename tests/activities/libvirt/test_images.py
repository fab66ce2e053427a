"""Images on a hypervisor: those that the release names, and no others."""

import hashlib
from pathlib import Path

import pytest

from activities.libvirt.images import ensure_images, remove_overlays
from activities.libvirt.xml import Images, SelfBooting
from api.errors import ErrorCode
from api.release import MachineImages, Release
from contracts.errors import StepError
from planning.releases import load_releases
from tests.activities.libvirt.published import Published
from tests.libvirt.reboot import start_firewall

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
    assert isinstance(images, Images)
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


def self_booting(release: Release, url: str, content: bytes) -> Release:
    """Return a release with another operating system."""
    system = {"url": url, "sha256": hashlib.sha256(content).hexdigest()}
    images = {"recipe": "0" * 16, "disk": release.machine_images.disk, "system": system}
    return release.model_copy(update={"machine_images": MachineImages.model_validate(images)})


def test_another_operating_system_is_downloaded_once(
    found: dict[str, Path], release: Release, tmp_path: Path
) -> None:
    with Published({"/system.img": b"QFI\xfb and so on"}) as site:
        release = self_booting(release, site.url("/system.img"), b"QFI\xfb and so on")
        images = ensure_images(tmp_path / "images", release, lambda _: found)
    assert isinstance(images, SelfBooting)
    assert (images.format, images.system.read_bytes()) == ("qcow2", b"QFI\xfb and so on")
    assert images.system.stat().st_mode & 0o777 == 0o444
    assert images.disk.read_text() == "disk"
    assert ensure_images(tmp_path / "images", release, lambda _: {}) == images


def test_what_a_lost_power_left_above_an_image_is_removed_for_one_domain(tmp_path: Path) -> None:
    left = [tmp_path / f"0-system.TRANSIENT-c0ffee.{name}" for name in ("workers-1", "workers-11")]
    for overlay in left:
        overlay.touch()
    remove_overlays(tmp_path, "c0ffee.workers-1")
    assert [overlay.exists() for overlay in left] == [False, True]


def test_a_hypervisor_that_starts_removes_them_all(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    image, overlay = folder / "0-system", folder / "0-system.TRANSIENT-c0ffee.workers-1"
    for _ in range(2):
        image.touch()
        start_firewall(tmp_path)
        assert (image.exists(), overlay.exists()) == (True, False)
        overlay.touch()
    start_firewall(tmp_path)
    assert not overlay.exists()
