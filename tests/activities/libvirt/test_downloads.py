"""Images of operating systems as their projects publish them."""

import bz2
import gzip
import hashlib
import lzma
from pathlib import Path

import pytest

from activities.libvirt.downloads import disk_format, download
from api.errors import ErrorCode
from api.release import SystemImage
from contracts.errors import StepError
from tests.activities.libvirt.published import Published

MIB = 1 << 20
CONTENT = b"loader" + bytes(8 * MIB) + b"root" + bytes(MIB)
PACKED = {
    "/raw": CONTENT,
    "/gz": gzip.compress(CONTENT),
    "/bz2": bz2.compress(CONTENT),
    "/several.bz2": bz2.compress(CONTENT[:MIB]) + bz2.compress(CONTENT[MIB:]),
    "/xz": lzma.compress(CONTENT, preset=0),
}


def named(site: Published, path: str, content: bytes) -> SystemImage:
    return SystemImage(url=site.url(path), sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("path", PACKED)
def test_it_is_unpacked_and_zeros_take_no_room(path: str, tmp_path: Path) -> None:
    target = tmp_path / "image"
    with Published(PACKED) as site:
        download(named(site, path, PACKED[path]), target)
    assert target.read_bytes() == CONTENT
    assert target.stat().st_blocks * 512 < 4 * MIB


def refused(image: SystemImage, folder: Path) -> str:
    """Return what is said of an image that is refused, of which nothing may be left."""
    with pytest.raises(StepError) as raised:
        download(image, folder / "image")
    assert raised.value.code is ErrorCode.BINARIES_MISSING
    assert list(folder.iterdir()) == []
    return raised.value.message


@pytest.mark.parametrize("path", PACKED)
def test_another_one_is_refused_with_both_digests(path: str, tmp_path: Path) -> None:
    with Published(PACKED) as site:
        message = refused(named(site, path, b"what was meant"), tmp_path)
    for content in (PACKED[path], b"what was meant"):
        assert hashlib.sha256(content).hexdigest() in message


@pytest.mark.parametrize("path", PACKED)
def test_one_that_breaks_off_is_refused(path: str, tmp_path: Path) -> None:
    with Published(PACKED, cut=(path,)) as site:
        assert "can't be had" in refused(named(site, path, PACKED[path]), tmp_path)


def test_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    with Published({}) as site:
        message = refused(named(site, "/raw", CONTENT), tmp_path)
    assert site.url("/raw") in message
    assert "404" in message


def test_one_whose_site_is_away_is_named(tmp_path: Path) -> None:
    with Published(PACKED) as site:
        image = named(site, "/raw", CONTENT)
    assert "can't be had" in refused(image, tmp_path)


def test_a_damaged_one_is_refused(tmp_path: Path) -> None:
    damaged = PACKED["/bz2"][:60] + bytes(60)
    with Published({"/bz2": damaged}) as site:
        assert "can't be had" in refused(named(site, "/bz2", damaged), tmp_path)


@pytest.mark.parametrize(
    ("start", "found"), [(b"QFI\xfb\0\0\0\3", "qcow2"), (b"\xeb\x63\x90", "raw"), (b"", "raw")]
)
def test_formats_are_told_by_their_first_bytes(start: bytes, found: str, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(start)
    assert disk_format(tmp_path / "image") == found
