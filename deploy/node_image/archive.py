"""A container image as an archive, in the form of ``docker save``, which containerd imports.

The form is the Docker Image Specification v1.2; the image's configuration is that of OCI as well. The same files
give the same bytes.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.node_image.packages import wanted


@dataclass(frozen=True)
class ContainerImage:
    """An image of one layer that runs ``program``. ``files`` maps paths in it to files here; all get mode 0755."""

    reference: str
    program: str
    files: Mapping[str, Path]
    environment: Mapping[str, str] = field(default_factory=dict)


def write_archive(archive: Path, image: ContainerImage) -> None:
    """Write an image into ``archive``."""
    layer = _layer(image.files)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(_config(image, digest), sort_keys=True).encode()
    named = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": named, "RepoTags": [image.reference], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(archive, "w") as target:
        _add(target, named, config)
        _add(target, f"{digest}/layer.tar", layer)
        _add(target, "manifest.json", json.dumps(manifest).encode())


def _config(image: ContainerImage, layer: str) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [image.program],
            "Env": [f"{name}={value}" for name, value in image.environment.items()],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }


def _layer(files: Mapping[str, Path]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as layer:
        folders = {str(parent) for path in files for parent in PurePosixPath(path).parents if parent.name}
        for folder in sorted(folders):
            member = _member(folder.lstrip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(member)
        for path, source in sorted(files.items()):
            _add(layer, path.lstrip("/"), source.read_bytes(), mode=0o755)
    return stream.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = _member(name)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def _member(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime = wanted().epoch
    return member
