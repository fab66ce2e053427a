"""Container images put together by hand: what is in them, and that they are the same each time."""

import hashlib
import json
from pathlib import Path

import pytest

from deploy.node_image.unpacked import ContainerImage, lay_out


@pytest.fixture
def image(tmp_path: Path) -> ContainerImage:
    program = tmp_path / "program"
    program.write_bytes(b"program")
    files = {"/usr/bin/program": program, "/etc/settings": program}
    return ContainerImage("example.com/program:v1", "/usr/bin/program", files, {"PATH": "/usr/bin"})


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of what is in a folder; a folder has no content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode & 0o7777, b"" if path.is_dir() else path.read_bytes())
        for path in folder.rglob("*")
    }


def test_an_image_lies_unpacked_beside_what_says_how_it_runs(image: ContainerImage, tmp_path: Path) -> None:
    lay_out(tmp_path / "image", image)
    manifest = json.loads((tmp_path / "image" / "manifest.json").read_text())
    assert manifest["annotations"] == {"io.containerd.image.name": "example.com/program:v1"}
    written = (tmp_path / "image" / "config.json").read_bytes()
    assert manifest["config"]["digest"] == f"sha256:{hashlib.sha256(written).hexdigest()}"
    assert manifest["config"]["size"] == len(written)
    config, [layer] = json.loads(written), manifest["layers"]
    assert config["config"] == {"Entrypoint": ["/usr/bin/program"], "Env": ["PATH=/usr/bin"]}
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert tree(tmp_path / "image" / "rootfs") == {
        "etc": (0o755, b""),
        "etc/settings": (0o755, b"program"),
        "usr": (0o755, b""),
        "usr/bin": (0o755, b""),
        "usr/bin/program": (0o755, b"program"),
    }


def test_the_same_files_give_the_same_bytes(image: ContainerImage, tmp_path: Path) -> None:
    for name in ("one", "two"):
        lay_out(tmp_path / name, image)
        image.files["/usr/bin/program"].touch()
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
