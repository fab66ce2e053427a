"""``just binaries``: have the programs of releases ready before anything asks for them."""

import time
from typing import Annotated

import typer

from deploy.binaries import ensure
from deploy.binaries.progress import duration
from planning.releases import load_releases
from workers.cli.errors import CliError, leave, reporting
from workers.worker.wiring import release_parts

Releases = Annotated[list[str] | None, typer.Argument(help="Releases such as 1.37.2-1; all if none is named.")]


def main(releases: Releases = None) -> None:
    """Fetch or build etcd, Kubernetes and the nodes of releases into the cache, unless they are there."""
    leave(reporting(lambda: _ensure(releases or list(load_releases())), "stopped; what was complete is kept"))


def _ensure(wanted: list[str]) -> int:
    known = load_releases()
    if unknown := [name for name in wanted if name not in known]:
        raise CliError(f"there is no release {', '.join(unknown)}", f"There are: {', '.join(known)}")
    for name in wanted:
        began = time.monotonic()
        ensure(release_parts(known[name]), typer.echo)
        typer.echo(f"release {name} is ready ({duration(time.monotonic() - began)})")
    return 0


if __name__ == "__main__":
    typer.run(main)
