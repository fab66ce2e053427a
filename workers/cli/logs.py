"""``g8s logs``: what the programs of local machines have written."""

import asyncio
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from deploy.paths import state_dir
from workers.cli.cluster import AGAIN, ClusterClient
from workers.cli.errors import CliError, NoAnswerError, leave, reporting
from workers.cli.options import Name, Namespace, named
from workers.cli.temporal import connected

SUFFIX = ".log"
SEVERAL_TAIL = 20
"""Lines of each component when all of a machine's are shown and no number is given."""

Machine = Annotated[str, typer.Argument(help="A machine; without it, machines and components are listed.")]
Component = Annotated[str, typer.Argument(help="A component, such as kube-apiserver; without it, all of them.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")]
Tail = Annotated[int | None, typer.Option(min=0, help="Only that many lines at the end.")]


def logs(
    name: Name,
    machine: Machine = "",
    component: Component = "",
    *,
    namespace: Namespace = "default",
    follow: Follow = False,
    tail: Tail = None,
) -> None:
    """Show logs of a cluster's machines on this computer (provider local).

    The cluster's workflow is asked for the id that its machines carry; when no worker answers, give the id in
    place of NAME.
    """

    def show() -> int:
        files = _files(asyncio.run(_folder(*named(name, namespace))))
        if machine:
            return _show(_chosen(files, machine, component), tail, follow=follow)
        for found, components in files.items():
            typer.echo(f"{found}: {', '.join(components)}")
        return 0

    leave(reporting(show, "stopped"))


def _show(paths: list[Path], lines: int | None, *, follow: bool) -> int:
    """Let tail(1) print files, each below its name if there are several, and follow them by name."""
    wanted = SEVERAL_TAIL if lines is None and len(paths) > 1 else lines
    start = "+1" if wanted is None else str(wanted)
    return int(
        subprocess.run(["tail", "-n", start, *(["-F"] if follow else []), *paths], check=False).returncode != 0
    )


async def _folder(namespace: str, name: str) -> Path:
    """Return the folder of a cluster's machines, by the cluster's name or id."""
    machines = state_dir() / "machines"
    if (machines / name).is_dir():
        return machines / name
    try:
        look = await ClusterClient(await connected(), namespace, name).look()
    except NoAnswerError as error:
        ids = ", ".join(sorted(path.name for path in machines.glob("*"))) or "none"
        raise CliError(error.message, f"{error.hint} Or give the cluster's id; there are: {ids}") from error
    status = look.status
    if look.ending and not look.deserted:
        raise CliError(f"{namespace}/{name} was deleted, and its logs with it", AGAIN)
    if status.provider != "local":
        raise CliError(
            f"machines of the provider {status.provider} keep no logs here", "Look at its steps: g8s status"
        )
    if status.cluster_id is None:
        raise CliError(f"{namespace}/{name} has no id yet, so it has no machines", "Look at its steps: g8s status")
    return machines / status.cluster_id


def _files(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the log files below a cluster's folder by machine and component."""
    found = {
        machine.name: {path.stem: path for path in sorted((machine / "log").glob(f"*{SUFFIX}"))}
        for machine in sorted(folder.glob("*"))
    }
    if not found:
        raise CliError(
            f"there are no machines in {folder}", "They are made and deleted by operations: g8s status NAME"
        )
    return found


def _chosen(files: dict[str, dict[str, Path]], machine: str, component: str) -> list[Path]:
    if machine not in files:
        raise CliError(f"there is no machine {machine}", f"Machines: {', '.join(files)}")
    components = files[machine]
    if not components or (component and component not in components):
        known = ", ".join(components) or "none yet"
        raise CliError(f"{machine} has no log of {component or 'anything'}", f"Components: {known}")
    return [components[component]] if component else list(components.values())
