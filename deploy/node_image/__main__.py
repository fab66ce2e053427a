"""``just node-image``: what virtual machines boot, made if it isn't there, with its digests."""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from api.release import Release
from deploy.binaries.errors import BinariesError
from deploy.binaries.progress import to_stderr
from deploy.node_image import machine_images, packages
from deploy.node_image.build import installed
from deploy.node_image.digests import differences, digests, write
from deploy.node_image.packages import LOCK, DiffersError, read_lock, write_lock
from planning.releases import load_releases

DIFFERENT = 3
OTHER_BYTES = (
    "hypervisors take only what a release names. Another gcc or mkfs.erofs than Debian 12's gives other bytes. If "
    "the release was changed, and nobody has it yet, run `just node-image --update-digests {release}`."
)


def main(
    releases: Annotated[
        list[str] | None,
        typer.Argument(help="Releases such as 1.37.2-1 whose disks to make as well; all if none."),
    ] = None,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Take the mirror's newest packages into the lock file first.")
    ] = False,
    update_digests: Annotated[
        bool,
        typer.Option(
            "--update-digests", help="Write what comes out into the files of the releases that are named."
        ),
    ] = False,
) -> None:
    """Make the node image and the disks of releases, and print their files with their SHA-256, as JSON.

    Needs root on Debian, with the packages of `just libvirt-packages`. The same lock files give the same bytes;
    when the mirror has other packages by now, or other bytes come out than a release names, it says which, and
    exits with status 3.
    """
    known = load_releases()
    if unknown := [name for name in releases or () if name not in known]:
        raise typer.BadParameter(f"there is no release {', '.join(unknown)}: there are {', '.join(known)}")
    if update_digests and not releases:
        raise typer.BadParameter("name the releases whose digests to write: those that are published keep theirs")
    try:
        if update_lock:
            _update_lock()
        made = {name: machine_images(known[name], to_stderr) for name in releases or known}
        found = {name: digests(files) for name, files in made.items()}
        typer.echo(json.dumps({name: _described(made[name], found[name]) for name in made}, indent=2))
        for name in made:
            _compare(known[name], found[name], update=update_digests)
    except BinariesError as error:
        to_stderr(f"error: {error}")
        sys.exit(DIFFERENT if isinstance(error, DiffersError) else 1)


def _described(files: Mapping[str, Path], found: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"file": str(path), "sha256": found[name]} for name, path in files.items()}


def _compare(release: Release, found: Mapping[str, str], *, update: bool) -> None:
    """Write digests into the release's file, or raise DiffersError when it has others."""
    if update:
        write(release, found)
    elif told := differences(release, found):
        raise DiffersError("; ".join([*told, OTHER_BYTES.format(release=release.name)]))


def _update_lock() -> None:
    with tempfile.TemporaryDirectory(prefix="node-image-") as scratch:
        found = installed(Path(scratch), to_stderr)
    locked = read_lock(LOCK.read_text()) if LOCK.exists() else []
    for told in packages.differences(locked, found):
        to_stderr(told)
    LOCK.write_text(write_lock(found))


if __name__ == "__main__":
    typer.run(main)
