"""``just node-image``: what virtual machines boot, made if it isn't there, with its digests."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from deploy.binaries.errors import BinariesError
from deploy.binaries.progress import to_stderr
from deploy.node_image.build import digests, installed, node_image
from deploy.node_image.packages import LOCK, PackagesDifferError, differences, read_lock, write_lock
from deploy.node_image.release_disk import release_disk
from planning.releases import load_releases

DIFFERENT = 3


def main(
    releases: Annotated[
        list[str] | None,
        typer.Argument(help="Releases such as 1.37.2-1 whose disks to make as well; all if none."),
    ] = None,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Take the mirror's newest packages into the lock file first.")
    ] = False,
) -> None:
    """Make the node image and the disks of releases, and print their files with their SHA-256, as JSON.

    Needs root on Debian, with the packages of `just libvirt-packages`. The same lock files give the same bytes;
    when the mirror has other packages by now, it says which, makes nothing, and exits with status 3.
    """
    known = load_releases()
    wanted = releases or list(known)
    if unknown := [name for name in wanted if name not in known]:
        to_stderr(f"error: there is no release {', '.join(unknown)}: there are {', '.join(known)}")
        sys.exit(2)
    try:
        if update_lock:
            _update_lock()
        files = node_image(to_stderr)
        files |= {f"release {name}": release_disk(known[name], to_stderr) for name in wanted}
    except BinariesError as error:
        to_stderr(f"error: {error}")
        sys.exit(DIFFERENT if isinstance(error, PackagesDifferError) else 1)
    typer.echo(
        json.dumps(
            {name: {"file": str(files[name]), "sha256": sha} for name, sha in digests(files).items()}, indent=2
        )
    )


def _update_lock() -> None:
    with tempfile.TemporaryDirectory(prefix="node-image-") as scratch:
        found = installed(Path(scratch), to_stderr)
    locked = read_lock(LOCK.read_text()) if LOCK.exists() else []
    for told in differences(locked, found):
        to_stderr(told)
    LOCK.write_text(write_lock(found))


if __name__ == "__main__":
    typer.run(main)
