"""Record histories of the workflows as they are now: ``python -m tests.replay.record``.

They come from the real dev server with scripted activities, and are never edited by hand. Old ones stay, as
long as a run of that code may be alive.
"""

import asyncio
import json
import sys
from pathlib import Path

from temporalio.client import Client

from api.status import Phase
from contracts import activities as names
from contracts import queues
from contracts.issuing import ISSUE_CERTIFICATE, REMOVE_CERTIFICATE
from contracts.machines import MachineState
from contracts.reporting import ApiHealth
from contracts.workflows import Accepted, Reason
from tests.support.fakes import Script
from tests.support.hypervisors import Site
from tests.support.resources import cluster
from tests.support.temporal import start_server
from tests.workflows.conftest import Clusters, served
from tests.workflows.test_issue import START, Issuer, served_issuer
from tests.workflows.test_reporting import apply as apply_resource
from tests.workflows.test_reporting import reported
from tests.workflows.test_reporting import start as start_resource

CONTINUE_SOON = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=50")
HISTORIES = Path(__file__).with_name("histories")
VERSION = "9"


def recorded(folder: Path, version: str) -> list[Path]:
    """Return the histories in a folder that bear a version."""
    return sorted(folder.glob(f"*.{version}.json"))


def main() -> None:
    """Record a new version; nothing at all when there is anything of it already."""
    if recorded(HISTORIES, VERSION):
        sys.exit(
            f"Version {VERSION} has been recorded already, and a recorded history is never written anew: "
            f"runs of that code may be alive. Raise VERSION in {__file__}."
        )
    asyncio.run(record())


async def record() -> None:
    """Record creates that succeed, fail, are undone or become long, replacements, repairs, rotations."""
    async with await start_server() as environment:
        async with served(environment, Script()) as clusters:
            await _create_delete(clusters)
        async with served(environment, Script()) as clusters:
            await _retried(clusters)
        async with served(environment, Script()) as clusters:
            await _undone(clusters)
        async with served(environment, Script()) as clusters:
            await _mended(clusters)
        async with served(environment, Script()) as clusters:
            await _told(clusters)
        async with served(environment, Script()) as clusters:
            await _rotated(clusters)
        async with served_issuer(environment, Issuer()) as client:
            await _issued(client)
        async with Site(environment, Script(), ["one", "two"]).served() as site:
            await _placed(site, Clusters(environment.client, Script()))
    async with await start_server(*CONTINUE_SOON) as environment, served(environment, Script()) as clusters:
        await _renewed(clusters)


async def _create_delete(clusters: Clusters) -> None:
    handle = await clusters.start("create-delete")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "delete")
    await handle.result()
    await _save(clusters.client, "create-delete", ("", "/create", "/delete"))


async def _retried(clusters: Clusters) -> None:
    clusters.script.failures.update({names.AWAIT_API: 2, names.SIGN_CERTIFICATES: 1})
    handle = await clusters.start("retried", controlPlane={"replicas": 3})
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await _save(clusters.client, "retried", ("", "/create"))
    await clusters.send(handle, "delete")
    await handle.result()


async def _undone(clusters: Clusters) -> None:
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    handle = await clusters.start("undo")
    await clusters.until(handle, lambda _: clusters.script.count(names.AWAIT_API) > 0)
    await clusters.send(handle, "cancel")
    await handle.result()
    await _save(clusters.client, "undo", ("", "/create", "/delete"))


async def _mended(clusters: Clusters) -> None:
    handle = await clusters.start("mended")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "replace_machine", machine="workers-1")
    await clusters.until(handle, lambda status: len(status.recent_operations) == 2)
    await _save(clusters.client, "mended", ("/replace",))
    clusters.script.states["workers-2"] = MachineState.STOPPED
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: len(status.recent_operations) == 3)
    await _save(clusters.client, "mended", ("", "/repair"))
    await clusters.send(handle, "delete")
    await handle.result()


async def _rotated(clusters: Clusters) -> None:
    """Renewed as asked, with a machine that doesn't answer and clients that are late, then for a changed spec."""
    clusters.script.audited = {"kubelet-client", "kube-scheduler"}
    clusters.script.unseen = {f"workers-1/kubelet-client/{count:02x}" for count in range(20)}
    clusters.script.silent.add("workers-2")
    clusters.script.failures[names.SIGN_CERTIFICATES] = 1
    handle = await clusters.start("rotated")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "rotate_certificates")
    await clusters.until(handle, lambda status: bool(status.unrenewed))
    await _save(clusters.client, "rotated", ("/rotate",))
    clusters.script.silent.clear()
    spec = cluster("rotated", certificates={"leafTTLHours": 48}).spec
    await clusters.send(handle, "apply", spec=spec.model_dump(by_alias=True, exclude_unset=True))
    await clusters.until(handle, lambda status: len(status.recent_operations) == 3)
    await clusters.send(handle, "retry")  # a look, which asks for the late clients
    while not clusters.script.count(names.FIND_CREDENTIALS):
        await asyncio.sleep(0.1)
    await clusters.send(handle, "delete")
    await handle.result()
    await _save(clusters.client, "rotated", ("",))


async def _issued(client: Client) -> None:
    """A certificate whose key was lost before it was stored, and its removal."""
    issuer = Issuer()
    issuer.lost = 1
    for kind, start in ((ISSUE_CERTIFICATE, START), (REMOVE_CERTIFICATE, START.resource)):
        await client.execute_workflow(kind, start, id=kind, task_queue=queues.CLUSTERS)
        await _save(client, "issued", (kind,))


async def _told(clusters: Clusters) -> None:
    clusters.script.failures[names.REPORT_STATUS] = 1
    handle = await start_resource(clusters, "told")
    await reported(clusters, lambda report: report.health is not None)
    clusters.script.health = ApiHealth(available=False, message="silent")
    await reported(clusters, lambda report: report.health == clusters.script.health)
    await clusters.send(handle, "abandon")
    await apply_resource(handle)
    await reported(clusters, lambda report: report.health is not None)
    await clusters.send(handle, "delete")
    await handle.result()
    await _save(clusters.client, "told", ("", "/create", "/delete"))


async def _placed(site: Site, clusters: Clusters) -> None:
    for name in site.hypervisors:
        await site.wake(name)
    one, _ = [await site.enrol(name) for name in site.hypervisors]
    handle = await clusters.start("placed", provider="libvirt")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await one.execute_update("evacuate", Reason(), result_type=Accepted)
    await clusters.until(handle, lambda status: len(status.recent_operations) == 2)
    await clusters.send(handle, "delete")
    await handle.result()
    await one.execute_update("forget", Reason(), result_type=Accepted)
    await one.result()
    await _save(clusters.client, "placed", ("", "/create", "/replace", "/delete"))
    await _save(clusters.client, "placed", ("hypervisor/default/one",))


async def _renewed(clusters: Clusters) -> None:
    clusters.script.failures.update({names.VERIFY_CLUSTER: 2})
    handle = await clusters.start("renewed")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await _save(clusters.client, "renewed", ("/create",))
    await clusters.send(handle, "pause")
    await clusters.send(handle, "delete")
    await clusters.until(handle, lambda status: status.phase == Phase.DELETING)
    await clusters.send(handle, "resume")
    await handle.result()
    await _save(clusters.client, "renewed", ("", "/delete"))


async def _save(client: Client, name: str, parts: tuple[str, ...]) -> None:
    HISTORIES.mkdir(exist_ok=True)
    for part in parts:
        own = part if part and not part.startswith("/") else f"cluster/default/{name}{part}"
        handle = client.get_workflow_handle(own)
        kind = (await handle.describe()).workflow_type
        history = await handle.fetch_history()
        document = {"workflow_id": handle.id, "history": json.loads(history.to_json())}
        with (HISTORIES / f"{name}.{kind}.{VERSION}.json").open("x") as file:
            file.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
