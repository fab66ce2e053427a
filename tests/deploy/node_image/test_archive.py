"""Container images put together by hand: what is in them, and that they are the same each time."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from deploy.node_image.archive import ContainerImage, write_archive


@pytest.fixture
def image(tmp_path: Path) -> ContainerImage:
    program = tmp_path / "program"
    program.write_bytes(b"program")
    files = {"/usr/bin/program": program, "/etc/settings": program}
    return ContainerImage("example.com/program:v1", "/usr/bin/program", files, {"PATH": "/usr/bin"})


def test_an_archive_says_what_runs_and_holds_it(image: ContainerImage, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    write_archive(archive, image)
    with tarfile.open(archive) as files:
        content = {name: (files.extractfile(name) or pytest.fail(name)).read() for name in files.getnames()}
    [manifest] = json.loads(content["manifest.json"])
    assert manifest["RepoTags"] == ["example.com/program:v1"]
    config, [layer] = json.loads(content[manifest["Config"]]), manifest["Layers"]
    assert config["config"] == {"Entrypoint": ["/usr/bin/program"], "Env": ["PATH=/usr/bin"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(content[layer]).hexdigest()}"]
    (tmp_path / "layer.tar").write_bytes(content[layer])
    with tarfile.open(tmp_path / "layer.tar") as tree:
        assert tree.getnames() == ["etc", "usr", "usr/bin", "etc/settings", "usr/bin/program"]
        assert {(member.uid, member.gid, member.mode) for member in tree} == {(0, 0, 0o755)}


def test_the_same_files_give_the_same_bytes(image: ContainerImage, tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        write_archive(tmp_path / name, image)
        image.files["/usr/bin/program"].touch()
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
