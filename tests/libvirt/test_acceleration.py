"""Telling a KVM that runs guests from one that doesn't, with the emulator as the one that does."""

import os
from pathlib import Path

import pytest

from activities.libvirt.acceleration import runs_guests
from tests.contract.clusters import RELEASE

pytestmark = [
    pytest.mark.skipif("G8S_ROOM" not in os.environ, reason="virtual machines are made by `just test-libvirt`")
]


@pytest.fixture
def kernel() -> Path:
    from planning.releases import load_releases  # noqa: PLC0415
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
