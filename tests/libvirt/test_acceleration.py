"""Telling a KVM that runs guests from one that doesn't, with the emulator as the one that does."""

from pathlib import Path

import pytest

from activities.libvirt.acceleration import runs_guests
from planning.releases import load_releases
from tests.contract.clusters import RELEASE
from tests.libvirt.guests import in_a_room

pytestmark = in_a_room


@pytest.fixture
def kernel() -> Path:
    from tests.libvirt.rooms import images  # noqa: PLC0415

    return images(load_releases()[RELEASE])["kernel"]


def test_a_kernel_that_comes_to_its_end(kernel: Path) -> None:
    assert runs_guests("tcg", kernel)


def test_a_guest_that_stands_still(tmp_path: Path) -> None:
    sector = tmp_path / "no-kernel"
    sector.write_bytes(b"\0" * 4096)
    assert not runs_guests("tcg", sector, patience_seconds=5)


def test_an_accelerator_that_is_not_there(kernel: Path) -> None:
    assert not runs_guests("xen", kernel)
