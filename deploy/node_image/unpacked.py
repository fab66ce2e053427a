"""A container image that lies unpacked in a folder; ``preload-images`` makes it known to containerd on a machine.

Manifest and configuration are OCI's (image-spec, version 1.1). The same files give the same bytes.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.node_image.packages import wanted

_OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class ContainerImage:
    """An image of one layer that runs ``program``. ``files`` maps paths in it to files here; all get mode 0755."""

    reference: str
    program: str
    files: Mapping[str, Path]
    environment: Mapping[str, str] = field(default_factory=dict)


def lay_out(folder: Path, image: ContainerImage) -> None:
    """Make ``folder`` with an image: ``manifest.json``, ``config.json`` and the files of its layer, ``rootfs``."""
    _lay_out_files(folder / "rootfs", image.files)
    layer = _layer(image.files)
    config = _encoded(_config(image, _digest(layer)))
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _descriptor("config.v1+json", config),
        "layers": [_descriptor("layer.v1.tar", layer)],
        "annotations": {"io.containerd.image.name": image.reference},
    }
    for name, content in (("config.json", config), ("manifest.json", _encoded(manifest))):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644)


def _lay_out_files(tree: Path, files: Mapping[str, Path]) -> None:
    tree.mkdir(parents=True)
    for folder in _folders(files):
        (tree / folder).mkdir()
    for path, source in files.items():
        target = tree / path.lstrip("/")
        shutil.copyfile(source, target)
        target.chmod(0o755)


def _config(image: ContainerImage, layer: str) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [image.program],
            "Env": [f"{name}={value}" for name, value in image.environment.items()],
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    }


def _layer(files: Mapping[str, Path]) -> bytes:
    """Return the layer that has its digest in the image, and is laid out instead of packed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as layer:
        for folder in _folders(files):
            member = _member(folder)
            member.type = tarfile.DIRTYPE
            layer.addfile(member)
        for path, source in sorted(files.items()):
            content, member = source.read_bytes(), _member(path.lstrip("/"))
            member.size = len(content)
            layer.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _folders(files: Mapping[str, Path]) -> list[str]:
    """Return the folders of ``files``, each after the one that it is in."""
    parents = {parent for path in files for parent in PurePosixPath(path).parents if parent.name}
    return sorted(str(parent).lstrip("/") for parent in parents)


def _member(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime, member.mode = wanted().epoch, 0o755
    return member


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": _digest(content), "size": len(content)}


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
