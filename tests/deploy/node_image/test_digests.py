"""The digests that releases have of what machines boot."""

from pathlib import Path

import pytest

from api.release import MachineImages, Release
from deploy.binaries import BinariesError
from deploy.binaries.part import architecture
from deploy.node_image import digests
from planning.files import read_model
from planning.releases import RELEASES, load_releases

UNPUBLISHED = ("1.36.3-1", "1.37.2-1")
"""Releases that nobody has yet. Those that somebody has keep the images that they came with, whatever changes."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Small images."""
    made = {name: tmp_path / name for name in ("root", "kernel", "initrd", "disk")}
    for name, path in made.items():
        path.write_text(name)
    return made


@pytest.mark.skipif(architecture() != "amd64", reason="machines' images are made for x86-64")
@pytest.mark.parametrize("name", UNPUBLISHED)
def test_digests_are_of_the_images_as_they_are_made_now(name: str) -> None:
    release = load_releases()[name]
    advice = f"run `just node-image --update-digests {name}`, or take it out of UNPUBLISHED if somebody has it"
    assert digests.recipe(release) == release.machine_images.recipe, advice


def test_written_digests_are_read_again_with_all_else_as_it_was(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = load_releases()["1.37.2-1"]
    before = (RELEASES / "1.37.2-1.yaml").read_text()
    (tmp_path / "1.37.2-1.yaml").write_text(before)
    monkeypatch.setattr(digests, "RELEASES", tmp_path)
    found = digests.digests(files)
    assert len(digests.differences(release, found)) == 4
    for _ in range(2):
        digests.write(release, found)
        written = read_model(tmp_path / "1.37.2-1.yaml", Release)
        assert digests.differences(written, found) == []
    assert written.model_dump(exclude={"machine_images"}) == release.model_dump(exclude={"machine_images"})
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in (tmp_path / "1.37.2-1.yaml").read_text().splitlines() if "#" in line] == comments
    (told,) = digests.differences(written, {**found, "disk": "0" * 64})
    assert told.startswith("disk of release 1.37.2-1 has the SHA-256 0000")


def test_another_operating_system_is_not_lost(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = {"url": "https://example.com/system.img", "sha256": "0" * 64}
    images = {"recipe": "0" * 16, "disk": "0" * 64, "system": system}
    release = load_releases()["1.37.2-1"].model_copy(
        update={"machine_images": MachineImages.model_validate(images)}
    )
    (tmp_path / "1.37.2-1.yaml").write_text((RELEASES / "1.37.2-1.yaml").read_text())
    monkeypatch.setattr(digests, "RELEASES", tmp_path)
    found = digests.digests({"disk": files["disk"]})
    digests.write(release, found)
    written = read_model(tmp_path / "1.37.2-1.yaml", Release).machine_images
    assert (written.system, written.made) == (release.machine_images.system, found)


def test_what_follows_them_is_not_lost(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (RELEASES / "1.37.2-1.yaml").read_text() + "nodeTemplates: v1\n"
    (tmp_path / "1.37.2-1.yaml").write_text(before)
    monkeypatch.setattr(digests, "RELEASES", tmp_path)
    with pytest.raises(BinariesError, match="move what follows"):
        digests.write(load_releases()["1.37.2-1"], digests.digests(files))
    assert (tmp_path / "1.37.2-1.yaml").read_text() == before
