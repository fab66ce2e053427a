"""``just demo``: the main job with one command, from nothing to ``kubectl get nodes``.

Brings the local stack up, starts the cluster of deploy/examples/demo.json or finds it alive, shows each step, and
leaves it running.
"""

import asyncio
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from api.status import Phase
from contracts import queues
from contracts.certificates import CLUSTER_ADMINS
from contracts.vault import UserCertificate
from contracts.workflows import CLUSTER, Accepted, ClusterInput, Reason, workflow_id
from deploy.binaries import ensure, release_parts
from deploy.stack import Stack, up
from deploy.stack.files import write_private
from deploy.stack.lifecycle import check_machine
from deploy.stack.services import host_parts
from planning.releases import load_releases
from workers.cli.cluster import ClusterClient, Look
from workers.cli.console import errors, output
from workers.cli.errors import CliError, leave, reporting
from workers.cli.kubeconfig import default_path, document, expanded, login, signing_request
from workers.cli.temporal import ADDRESS, connected_to
from workers.cli.watch import patiently, watch

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "demo.json"
HOUR_S = 3600
PATIENCE_S = 300
"""How long the cluster may take, a minute being usual on the slowest machine; errors are retried for ever."""


@dataclass(frozen=True)
class Demo:
    """The cluster to be, and the Temporal that makes it: as its clients' variables name it."""

    wanted: ClusterInput
    temporal: Mapping[str, str]

    @property
    def workflow(self) -> str:
        """Id of the cluster's workflow."""
        return workflow_id(self.wanted.metadata.namespace, self.wanted.metadata.name)

    @property
    def kubeconfig(self) -> Path:
        """File of the administrator's kubeconfig."""
        return expanded(default_path(self.wanted.metadata.namespace, self.wanted.metadata.name, privileged=True))


def main() -> int:
    """Run the demo; returns the exit status. Whatever goes wrong is raised with what to do."""
    began = time.monotonic()
    wanted = ClusterInput.model_validate_json(EXAMPLE.read_text())
    with _timed("binaries"):
        kubectl = _binaries(wanted)["kubectl"]
    with _timed("local stack"):
        stack = up(_say)
    demo = Demo(wanted, stack.temporal_settings)
    asyncio.run(bring(demo))
    _say(f"$ kubectl --kubeconfig {demo.kubeconfig} get nodes")
    if subprocess.run([kubectl, "--kubeconfig", demo.kubeconfig, "get", "nodes"], check=False).returncode:
        raise CliError("kubectl can't list the nodes", "Read what it says above, and `uv run g8s status demo`.")
    _say(f"== all: {time.monotonic() - began:.1f} s; the cluster goes on running")
    _say(_farewell(demo, stack, kubectl))
    return 0


async def bring(demo: Demo) -> None:
    """Have the cluster created, or find it, and write its kubeconfig. Raises CliError if it fails."""
    client = await connected_to(demo.temporal[ADDRESS])
    meta = demo.wanted.metadata
    cluster = ClusterClient(client, meta.namespace, meta.name)
    with _timed("cluster"):
        await _start(client, demo, cluster)
        with _farewell_on_interrupt(demo):
            look = await _watch(cluster)
    if look.status.phase is not Phase.RUNNING:
        why = look.ending or look.status.waiting_on or f"it is {look.status.phase}"
        hint = "Mend the cause, then run `just demo` again."
        raise CliError(f"the cluster {cluster.label} does not run: {why}", hint)
    with _timed("kubeconfig"):
        await _log_in(cluster, demo.kubeconfig)


async def _watch(cluster: ClusterClient) -> Look:
    """Show the cluster until nothing more happens; one that had failed tries again.

    A worker that was started just now, on cores that are busy, may be long in giving its first answer.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            if (await patiently(cluster, _say)).status.phase is Phase.FAILED:
                await cluster.send("retry", Reason(reason="just demo"), Accepted)
            return await watch(cluster, output())
    except TimeoutError as error:
        message = (
            f"the cluster {cluster.label} is not complete after {PATIENCE_S // 60} minutes; it is still tried"
        )
        raise CliError(message, "Mend what its step above says. Look at it: uv run g8s status demo") from error


def _binaries(wanted: ClusterInput) -> dict[str, Path]:
    """Return the executables of the release; the machine is looked at before anything is fetched or built."""
    parts = release_parts(load_releases()[wanted.spec.release])
    check_machine([*parts, *host_parts()], _say)
    return ensure(parts, _say)


async def _start(client: Client, demo: Demo, cluster: ClusterClient) -> None:
    """Start the workflow, or find it running."""
    await client.start_workflow(
        CLUSTER,
        demo.wanted,
        id=demo.workflow,
        task_queue=queues.CLUSTERS,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"cluster {cluster.label} of {demo.wanted.spec.owner}",
    )


@contextmanager
def _farewell_on_interrupt(demo: Demo) -> Iterator[None]:
    """After Ctrl-C say what goes on, and how to look at it and to stop it."""
    try:
        yield
    except asyncio.CancelledError:
        settings = _assignments(demo.temporal)
        errors().print(
            f"""
what has been started goes on in the background
Look at it:  {settings} uv run g8s status {demo.wanted.metadata.name} --watch
Undo it:     {settings} uv run temporal workflow cancel --workflow-id {demo.workflow}
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


def _farewell(demo: Demo, stack: Stack, kubectl: Path) -> str:
    """Return the lines to copy."""
    variables = {
        "KUBECONFIG": str(demo.kubeconfig),
        "PATH": f"{sysconfig.get_path('scripts')}:{kubectl.parent}:$PATH",
        **stack.temporal_settings,
    }
    page = f"{stack.temporal_ui_url}/namespaces/default/workflows/{quote(demo.workflow, safe='')}"
    return "\n".join(
        [
            f"export {_assignments(variables)}",
            "kubectl get pods --all-namespaces",
            f"g8s status {demo.wanted.metadata.name}",
            f"temporal workflow metadata --workflow-id {demo.workflow}",
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
