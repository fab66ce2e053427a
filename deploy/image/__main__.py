"""``just image``: the container image of workers and bridge, made into ``dist/``, with its digest."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from deploy.binaries.errors import BinariesError
from deploy.binaries.progress import to_stderr
from deploy.image.base import LOCK, PROJECT, installed
from deploy.image.packing import image, push
from deploy.node_image.packages import differences, read_lock, write_lock

TARGET = PROJECT / "dist" / "giantnetes"


def main(
    push_to: Annotated[
        str, typer.Option("--push", help="Copy it into a registry, under a name such as HOST/giantnetes:0.1.0.")
    ] = "",
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Take the mirror's newest packages into the lock file first.")
    ] = False,
) -> None:
    """Make the container image as an OCI image layout, and print its digest, for the chart's image.digest.

    Needs root on Debian with mmdebstrap. The same lock files give the same bytes.
    """
    try:
        if update_lock:
            _update_lock()
        typer.echo(image(TARGET, to_stderr))
        if push_to:
            push(TARGET, push_to, to_stderr)
    except BinariesError as error:
        to_stderr(f"error: {error}")
        sys.exit(1)


def _update_lock() -> None:
    with tempfile.TemporaryDirectory(prefix="image-") as scratch:
        found = installed(Path(scratch), to_stderr)
    for told in differences(read_lock(LOCK.read_text()) if LOCK.exists() else [], found):
        to_stderr(told)
    LOCK.write_text(write_lock(found, "image"))


if __name__ == "__main__":
    typer.run(main)
