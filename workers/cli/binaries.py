"""``just binaries``: have the programs of releases ready before anything asks for them."""

import time
from typing import Annotated

import typer

from deploy.binaries import ensure, release_parts
from deploy.binaries.progress import duration
from deploy.paths import cache_dir
from deploy.stack import preflight
from planning.releases import load_releases
from workers.cli.errors import CliError, leave, reporting

Releases = Annotated[list[str] | None, typer.Argument(help="Releases such as 1.37.2-1; all if none is named.")]


def main(releases: Releases = None) -> None:
    """Fetch or build etcd, Kubernetes and the nodes of releases into the cache, unless they are there."""
    leave(reporting(lambda: _ensure(releases or list(load_releases())), "stopped; what was complete is kept"))


def _ensure(wanted: list[str]) -> int:
    known = load_releases()
    if unknown := [name for name in wanted if name not in known]:
        raise CliError(f"there is no release {', '.join(unknown)}", f"There are: {', '.join(known)}")
    parts = {name: release_parts(known[name]) for name in wanted}
    preflight.check_binaries(cache_dir(), [part for needed in parts.values() for part in needed])
    for name, needed in parts.items():
        began = time.monotonic()
        ensure(needed, typer.echo)
        typer.echo(f"release {name} is ready ({duration(time.monotonic() - began)})")
    return 0


if __name__ == "__main__":
    typer.run(main)
