"""What a release says that machines boot."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.release import MachineImages

DISK = {"recipe": "0" * 16, "disk": "d" * 64}
NODE_IMAGE = {"root": "a" * 64, "kernel": "b" * 64, "initrd": "c" * 64}
SYSTEM = {"system": {"url": "https://example.com/system.qcow2.xz", "sha256": "e" * 64}}


def test_what_is_made_for_a_release_is_its_disk_and_the_node_image_if_it_has_that() -> None:
    own, other = (MachineImages.model_validate({**DISK, **images}) for images in (NODE_IMAGE, SYSTEM))
    assert own.made == {**NODE_IMAGE, "disk": DISK["disk"]}
    assert other.made == {"disk": DISK["disk"]}


@pytest.mark.parametrize(
    "images", [{}, {**NODE_IMAGE, **SYSTEM}, {"root": "a" * 64}, {"root": "a" * 64, **SYSTEM}]
)
def test_machines_boot_one_operating_system(images: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="root, kernel and initrd, or a system instead of them"):
        MachineImages.model_validate({**DISK, **images})


@pytest.mark.parametrize("url", ["", "system.img", "file:///system.img", "https://a b", "https://"])
def test_an_operating_system_is_somewhere(url: str) -> None:
    system = {"system": {**SYSTEM["system"], "url": url}}
    with pytest.raises(ValidationError, match=r"system\.url"):
        MachineImages.model_validate({**DISK, **system})
