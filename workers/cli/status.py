"""``g8s status``: what a cluster is, does and waits for."""

import json
from typing import Annotated

import typer

from workers.cli.cluster import ClusterClient
from workers.cli.console import output
from workers.cli.errors import CliError, command
from workers.cli.options import Format, Name, Namespace, Output, named
from workers.cli.temporal import connected
from workers.cli.watch import show, watch

Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Go on until the operation ends; Ctrl-C only stops watching.")
]


@command
async def status(
    name: Name, *, namespace: Namespace = "default", follow: Watch = False, form: Output = Format.TEXT
) -> int:
    """Show a cluster: phase, API, the steps of its operation with attempts and errors, recent operations.

    The answer comes from the cluster's workflow, so a worker must run. The exit status is 1 when that workflow has
    ended without deleting the cluster. With --watch it is 0 when the operation succeeded and 1 when it failed.
    Without a terminal, watching prints one line for each change. In JSON "ending" says how the workflow ended, and
    is empty while it runs.
    """
    if follow and form is Format.JSON:
        raise CliError("--watch and -o json exclude each other", "Ask for JSON again and again, or leave it out.")
    cluster = ClusterClient(await connected(), *named(name, namespace))
    if follow:
        return int((await watch(cluster, output())).failed)
    look = await cluster.look()
    if form is Format.JSON:
        typer.echo(
            json.dumps(look.status.model_dump(mode="json", by_alias=True) | {"ending": look.ending}, indent=2)
        )
    else:
        show(look, output())
    return int(look.deserted)
