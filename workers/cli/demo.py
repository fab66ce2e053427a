"""``just demo``: the main job with one command, from nothing to ``kubectl get nodes``.

Brings the local stack up, applies the cluster of deploy/examples/demo.json, shows its resource's columns until it
is Available, and leaves it running.
"""

import asyncio
import os
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from api.cluster import Cluster
from contracts.certificates import CLUSTER_ADMINS
from contracts.vault import UserCertificate
from contracts.workflows import workflow_id
from deploy.binaries import ensure, release_parts
from deploy.stack import Stack, up
from deploy.stack.files import write_private
from deploy.stack.lifecycle import check_machine
from deploy.stack.services import host_parts
from planning.releases import load_releases
from workers.cli.cluster import ClusterClient
from workers.cli.console import errors, output
from workers.cli.errors import CliError, leave, reporting
from workers.cli.kubeconfig import default_path, document, expanded, login, signing_request
from workers.cli.resource import Resource
from workers.cli.temporal import connected_to

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "deploy" / "examples" / "demo.json"
HOUR_S = 3600
PATIENCE_S = 300
"""How long the cluster may take, a minute being usual on the slowest machine; errors are retried for ever."""

LOOK_S = 0.5
RETRY_S = 2.0
"""Until a cluster that is tried again tells so: its reports are a second apart."""


@dataclass(frozen=True)
class Demo:
    """The cluster to be, in its file, and the stack that makes it; ``kubectl`` is the program."""

    file: Path
    stack: Stack
    kubectl: Path

    @property
    def wanted(self) -> Cluster:
        """What the file says."""
        return Cluster.model_validate_json(self.file.read_text())

    @property
    def resource(self) -> Resource:
        """The resource in the host cluster."""
        meta = self.wanted.metadata
        return Resource(self.kubectl, self.stack.host_kubeconfig, meta.namespace, meta.name)

    @property
    def shown(self) -> str:
        """The file as people at the project's folder write it."""
        return os.path.relpath(self.file, PROJECT) if self.file.is_relative_to(PROJECT) else str(self.file)

    @property
    def kubeconfig(self) -> Path:
        """File of the administrator's kubeconfig for the cluster."""
        return expanded(default_path(self.wanted.metadata.namespace, self.wanted.metadata.name, privileged=True))


def main() -> int:
    """Run the demo; returns the exit status. Whatever goes wrong is raised with what to do."""
    began = time.monotonic()
    with _timed("binaries"):
        kubectl = _binaries(Cluster.model_validate_json(EXAMPLE.read_text()))["kubectl"]
    with _timed("local stack"):
        stack = up(_say)
    demo = Demo(EXAMPLE, stack, kubectl)
    asyncio.run(bring(demo))
    _say(f"$ kubectl --kubeconfig {demo.kubeconfig} get nodes")
    if subprocess.run([kubectl, "--kubeconfig", demo.kubeconfig, "get", "nodes"], check=False).returncode:
        raise CliError("kubectl can't list the nodes", "Read what it says above, and `uv run g8s status demo`.")
    _say(f"== all: {time.monotonic() - began:.1f} s; the cluster goes on running")
    _say(_farewell(demo))
    return 0


async def bring(demo: Demo) -> None:
    """Have the cluster created, or find it, and write its kubeconfig. Raises CliError if it fails."""
    with _timed("cluster"), _farewell_on_interrupt(demo):
        await _create(demo)
    meta = demo.wanted.metadata
    client = await connected_to(demo.stack.temporal_address)
    with _timed("kubeconfig"):
        await _log_in(ClusterClient(client, meta.namespace, meta.name), demo.kubeconfig)


async def _create(demo: Demo) -> None:
    """Apply the file, and show the resource's columns until the cluster is Available; one that failed retries."""
    host = f"$ kubectl --kubeconfig {demo.stack.host_kubeconfig}"
    _say(f"{host} apply --filename {demo.shown}")
    _say(await demo.resource.apply(demo.file))
    try:
        async with asyncio.timeout(PATIENCE_S):
            if (await demo.resource.look()).failed:
                await demo.resource.operate("retry")
                await asyncio.sleep(RETRY_S)
            _say(f"{host} get clusters --watch")
            async with demo.resource.columns(_say):
                await _until_available(demo.resource)
    except TimeoutError as error:
        message = f"the cluster is not complete after {PATIENCE_S // 60} minutes; it is still tried"
        raise CliError(message, "Mend what its step above says. Look at it: uv run g8s status demo") from error


async def _until_available(resource: Resource) -> None:
    """Return when the cluster is Available; tell what is tried again. Raises CliError when it failed."""
    told = ""
    while not (look := await resource.look()).available:
        if look.failed:
            message = f"the cluster does not run: {look.failed}"
            raise CliError(message, "Mend the cause, then run `just demo` again.")
        if look.trouble and look.trouble != told:
            _say(told := look.trouble)
        await asyncio.sleep(LOOK_S)


def _binaries(wanted: Cluster) -> dict[str, Path]:
    """Return the executables of the release; the machine is looked at before anything is fetched or built."""
    parts = release_parts(load_releases()[wanted.spec.release])
    check_machine([*parts, *host_parts()], _say)
    return ensure(parts, _say)


@contextmanager
def _farewell_on_interrupt(demo: Demo) -> Iterator[None]:
    """After Ctrl-C say what goes on, and how to look at it and to stop it."""
    try:
        yield
    except asyncio.CancelledError:
        settings, meta = _assignments(demo.stack.temporal_settings), demo.wanted.metadata
        errors().print(
            f"""
what has been started goes on in the background
Look at it:  {settings} uv run g8s status {meta.name} --watch
Undo it:     {demo.resource.command("delete", "cluster", meta.name)}
             which stays until you have confirmed it, as the resource tells then
Stop all:    just down"""
        )
        raise


async def _log_in(cluster: ClusterClient, path: Path) -> None:
    """Write an administrator's kubeconfig, valid for an hour."""
    user = login()
    _say(f"breaking the glass: {user} becomes an administrator ({CLUSTER_ADMINS}) for an hour, which is recorded")
    request, key = signing_request(user, [CLUSTER_ADMINS], HOUR_S, break_glass=True)
    certificate = await cluster.send("kubeconfig", request, UserCertificate)
    write_private(path, document(cluster.label, user, certificate, key))


def _farewell(demo: Demo) -> str:
    """Return the lines to copy."""
    stack, meta = demo.stack, demo.wanted.metadata
    variables = {
        "KUBECONFIG": str(demo.kubeconfig),
        "PATH": f"{sysconfig.get_path('scripts')}:{demo.kubectl.parent}:$PATH",
        **stack.temporal_settings,
    }
    workflow = workflow_id(meta.namespace, meta.name)
    page = f"{stack.temporal_ui_url}/namespaces/default/workflows/{quote(workflow, safe='')}"
    return "\n".join(
        [
            f"export {_assignments(variables)}",
            "kubectl get pods --all-namespaces",
            f"kubectl --kubeconfig {stack.host_kubeconfig} get clusters",
            f"g8s status {meta.name}",
            f"temporal workflow metadata --workflow-id {workflow}",
            page,
            "just down",
        ]
    )


def _assignments(variables: Mapping[str, str]) -> str:
    """Return variables as a shell takes them."""
    return " ".join(f"{name}={value}" for name, value in variables.items())


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Say how long a phase took, when it has ended well."""
    began = time.monotonic()
    yield
    _say(f"== {what}: {time.monotonic() - began:.1f} s")


def _say(line: str) -> None:
    output().print(line)


if __name__ == "__main__":
    leave(reporting(main, "stopped; `just demo` goes on where this ended"))
