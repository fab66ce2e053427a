"""Layers of the container image: archives that are the same whenever the files are (OCI: image-spec, layer)."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.node_image.build import run

HOME = "opt/giantnetes"
"""Where the project and its dependencies are in the image."""

PYTHON = "usr/bin/python3.11"
PACKAGES = ("api", "contracts", "planning", "nodes", "workflows", "activities", "workers", "deploy")


def pack(root: Path, archive: Path, epoch: int, scratch: Path, members: Sequence[str] = (".",)) -> None:
    """Pack ``members`` of a tree: all root's, readable by everybody and writable by nobody else, of one time."""
    options = ["--sort=name", f"--mtime=@{epoch}", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]
    options += ["--mode=u=rwX,go=rX", "--use-compress-program=gzip -n"]
    run(["tar", *options, "--create", "--file", str(archive), "--directory", str(root), *members], scratch)
    archive.chmod(0o555)


def compile_all(root: Path, folders: Sequence[str], scratch: Path) -> None:
    """Compile with the image's own Python: on a read-only file system each start would compile it all again."""
    options = ("-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash")
    run(["chroot", str(root), f"/{PYTHON}", *options, *(f"/{folder}" for folder in folders)], scratch)


def add_project(project: Path, root: Path, scratch: Path) -> list[str]:
    """Copy the project's packages into an image's tree and compile them; returns their folders there."""
    folders = [f"{HOME}/{name}" for name in PACKAGES]
    for name, folder in zip(PACKAGES, folders, strict=True):
        shutil.copytree(project / name, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    compile_all(root, folders, scratch)
    return folders
