"""``python -m deploy.stack``: the local stack from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from deploy.stack import ServiceStatus, StackError, lifecycle, load
from deploy.stack.services import ALL

app = typer.Typer(
    help="The local stack: Temporal, OpenBao, a host cluster's API and the worker, under one supervisor.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up(
    without_worker: Annotated[bool, typer.Option("--without-worker", hidden=True)] = False,
) -> None:
    """Start what does not run yet, and wait until all of it works; guest clusters come back too."""
    with _errors():
        stack = lifecycle.up(typer.echo, [name for name in ALL if not (without_worker and name == "worker")])
        typer.echo(f"the local stack is up; Temporal's Web UI: {stack.temporal_ui_url}")
        typer.echo(f"export KUBECONFIG={stack.host_kubeconfig}")


@app.command()
def status() -> None:
    """Show whether each service works, its process and where it listens; exit status 1 unless all work."""
    with _errors():
        found = lifecycle.status()
    for service in found:
        typer.echo(_line(service))
    if not all(service.healthy for service in found):
        raise typer.Exit(1)


@app.command()
def down() -> None:
    """Stop everything, guest machines included, and wait until it is gone; all of it comes back with `up`."""
    with _errors():
        lifecycle.down(typer.echo)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False) -> None:
    """Stop everything and delete all state: every guest cluster, every key and all history are gone for good."""
    with _errors():
        if lifecycle.nothing_there():
            typer.echo("nothing to reset")
            return
        state = load().state
        if not yes:
            typer.confirm(f"Delete all guest clusters, keys and histories in {state}?", abort=True)
        lifecycle.reset(typer.echo)


def _line(service: ServiceStatus) -> str:
    health = "works" if service.healthy else "does not answer" if service.pid else "is not running"
    process = (
        f"{service.state.value.lower()}, process {service.pid}, for {_age(service.since)}" if service.pid else ""
    )
    return f"{service.name:<14} {health:<16} {process:<44} {service.address}".rstrip()


def _age(since: datetime | None) -> str:
    seconds = int((datetime.now(UTC) - since).total_seconds()) if since else 0
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"


@contextmanager
def _errors() -> Iterator[None]:
    """Print a StackError as the sentences that it holds, and end with status 1."""
    try:
        yield
    except StackError as error:
        typer.echo(f"error: {error.message}\n{error.hint}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app(prog_name="python -m deploy.stack")
