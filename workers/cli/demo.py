"""``just demo``: the main job with one command, from nothing to ``kubectl get nodes``.

Brings the local stack up, starts the cluster of deploy/examples/demo.json or finds it alive, shows each step, and
leaves it running.
"""

import asyncio
import subprocess
import sysconfig
import time
from collections.abc import Iterator
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
from deploy.binaries import ensure
from deploy.paths import cache_dir, state_dir
from deploy.stack import Stack, preflight, supervisord, up
from planning.releases import load_releases
from workers.cli.cluster import ClusterClient, Look
from workers.cli.console import output
from workers.cli.errors import CliError, leave, reporting
from workers.cli.files import expanded, write_private
from workers.cli.kubeconfig import default_path, document, login, signing_request
from workers.cli.temporal import connected_to
from workers.cli.watch import watch
from workers.worker.wiring import release_parts

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "demo.json"
USUAL_TEMPORAL = "127.0.0.1:7233"
HOUR_S = 3600
PATIENCE_S = 300
"""How long the cluster may take, a minute being usual on the slowest machine; errors are retried for ever."""

INTERRUPTED = """\
stopped watching; the cluster's operation goes on in the background
Look at it:  uv run g8s status demo --watch
Undo it:     uv run temporal workflow cancel --workflow-id cluster/default/demo
Stop all:    just down"""


@dataclass(frozen=True)
class Demo:
    """The cluster to be, and the Temporal that makes it."""

    wanted: ClusterInput
    temporal_address: str

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
    demo = Demo(wanted, stack.temporal_address)
    if status := reporting(lambda: asyncio.run(bring(demo)), INTERRUPTED):
        return status
    _say(f"$ kubectl --kubeconfig {demo.kubeconfig} get nodes")
    if subprocess.run([kubectl, "--kubeconfig", demo.kubeconfig, "get", "nodes"], check=False).returncode:
        raise CliError("kubectl can't list the nodes", "Read what it says above, and `uv run g8s status demo`.")
    _say(f"== all: {time.monotonic() - began:.1f} s; the cluster goes on running")
    _say(_farewell(demo, stack, kubectl))
    return 0


async def bring(demo: Demo) -> int:
    """Have the cluster created, or find it, and write its kubeconfig; returns 0, raises CliError if it fails."""
    client = await connected_to(demo.temporal_address)
    meta = demo.wanted.metadata
    cluster = ClusterClient(client, meta.namespace, meta.name)
    with _timed("cluster"):
        await _start(client, demo, cluster)
        look = await _watch(cluster)
    if look.status.phase is not Phase.RUNNING:
        why = look.ending or look.status.waiting_on or f"it is {look.status.phase}"
        hint = "Mend the cause, then run `just demo` again."
        raise CliError(f"the cluster {cluster.label} does not run: {why}", hint)
    with _timed("kubeconfig"):
        await _log_in(cluster, demo.kubeconfig)
    return 0


async def _watch(cluster: ClusterClient) -> Look:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await watch(cluster, output())
    except TimeoutError as error:
        message = (
            f"the cluster {cluster.label} is not complete after {PATIENCE_S // 60} minutes; it is still tried"
        )
        raise CliError(message, "Mend what its step above says. Look at it: uv run g8s status demo") from error


def _binaries(wanted: ClusterInput) -> dict[str, Path]:
    """Return the executables of the release; the machine is looked at before anything is fetched or built."""
    stack = Stack.read(state_dir())
    if stack is None or supervisord.pid(stack) is None:
        preflight.check(state_dir(), cache_dir(), _say)
    return ensure(release_parts(load_releases()[wanted.spec.release]), _say)


async def _start(client: Client, demo: Demo, cluster: ClusterClient) -> None:
    """Start the workflow, or find it running; one that had failed tries again."""
    await client.start_workflow(
        CLUSTER,
        demo.wanted,
        id=demo.workflow,
        task_queue=queues.CLUSTERS,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"cluster {cluster.label} of {demo.wanted.spec.owner}",
    )
    if (await cluster.look()).status.phase is Phase.FAILED:
        await cluster.send("retry", Reason(reason="just demo"), Accepted)


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
    }
    if stack.temporal_address != USUAL_TEMPORAL:
        variables["TEMPORAL_ADDRESS"] = stack.temporal_address
    page = f"{stack.temporal_ui_url}/namespaces/default/workflows/{quote(demo.workflow, safe='')}"
    return "\n".join(
        [
            f"export {' '.join(f'{name}={value}' for name, value in variables.items())}",
            "kubectl get pods --all-namespaces",
            f"g8s status {demo.wanted.metadata.name}",
            f"temporal workflow metadata --workflow-id {demo.workflow}",
            page,
            "just down",
        ]
    )


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
