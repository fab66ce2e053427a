"""``just bench-libvirt``: how long virtual machines take, beside the same image that is booted by hand.

Alternates bare-boot.sh, run unchanged, with a boot by the provider; then makes a cluster, takes the power of its
last machine and has it repaired, deletes the cluster, and tells where the seconds of the create went. The cluster
has one control plane machine and one node, unless G8S_NODES says otherwise. The last line is one JSON
object. Meant to be run in the room that tests/libvirt/room.sh makes.
"""

import asyncio
import hashlib
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import typer

from activities.libvirt.agent import Agent, AgentSilentError
from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.places import Places
from api.status import ClusterStatus, Phase
from contracts.workflows import Accepted
from planning.releases import load_releases
from tests.contract.clusters import TestCluster
from tests.contract.rooms import new_cluster
from tests.libvirt.guests import enrol, hypervisor_folder, hypervisor_worker
from tests.libvirt.machines import MACHINES, NODES, SPEC
from tests.libvirt.rooms import URI, LibvirtRoom, images, libvirt_room
from tests.support.clusters import Handle, delete, start, status, until_created
from tests.support.stack import RELEASE, running_stack, say
from workers.client import connect

SCRIPT = Path(__file__).with_name("bare-boot.sh")
BOOT_SECONDS = 180
TIMED_OUT = 124
"""What timeout(1) ends with."""
MEMORY = {"machine": {"cpus": 2, "memoryMiB": 2048}}


def main(
    pairs: int = typer.Option(8, help="How many pairs of boots.", min=1),
    cluster: bool = typer.Option(True, help="Make and delete a cluster as well."),
) -> None:
    """Run the pairs and the cluster, and print what each took, then the result."""
    say(f"baseline: {SCRIPT.name}, sha256 {hashlib.sha256(SCRIPT.read_bytes()).hexdigest()}")
    with libvirt_room() as room:
        result = _boots(room, pairs)
    if cluster:
        with running_stack() as stack, hypervisor_worker(stack):
            result |= asyncio.run(_cluster(Places(hypervisor_folder(stack))))
    say(json.dumps(result))


def _boots(room: LibvirtRoom, pairs: int) -> dict[str, float]:
    bare: list[float] = []
    provided: list[float] = []
    while len(bare) < pairs:
        pools = [{"name": "workers", "replicas": 1, **MEMORY}]
        with new_cluster(room, node_pools=pools) as cluster, tempfile.TemporaryDirectory() as folder:
            by_provider = _boot(room, cluster)
            ignition = Path(folder, "config.ign")
            kept = room.places.machine(cluster.id, cluster.nodes[0].name) / "ignition.json"
            ignition.write_bytes(kept.read_bytes())
            room.provider().delete_all(cluster.id)
            by_hand = _boot_by_hand(ignition)
        if by_provider and by_hand:
            provided.append(by_provider)
            bare.append(by_hand)
            say(f"{len(bare):3}: by hand {by_hand:.1f} s, by the provider {by_provider:.1f} s")
        else:
            say("   : a machine stood still while it booted (docs/virtual-machines.md); the pair is not counted")
    ratios = [one / other for one, other in zip(provided, bare, strict=True)]
    return {
        "bare_boot_to_agent_s": round(statistics.median(bare), 1),
        "vm_boot_to_agent_s": round(statistics.median(provided), 1),
        "ratio_boot": round(statistics.median(ratios), 2),
    }


def _boot(room: LibvirtRoom, cluster: TestCluster) -> float | None:
    """Return the seconds from asking for a machine until its guest agent answers; None after three minutes."""
    began = time.monotonic()
    cluster.ensure(room.provider(), cluster.nodes[0])
    domain = room.hypervisor.domain(room.places.domain(cluster.id, cluster.nodes[0].name))
    while time.monotonic() < began + BOOT_SECONDS:
        try:
            Agent(domain).ping()
        except AgentSilentError:
            time.sleep(0.1)
        else:
            return time.monotonic() - began
    return None


def _boot_by_hand(ignition: Path) -> float | None:
    files = images(load_releases()[RELEASE])
    paths = [str(files[name]) for name in ("kernel", "initrd", "root", "disk")]
    done = subprocess.run([SCRIPT, *paths, str(ignition)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == TIMED_OUT:
        return None
    done.check_returncode()
    return float(done.stdout)


async def _cluster(places: Places) -> dict[str, float]:
    client = await connect()
    await enrol(client)
    began = time.monotonic()
    handle = await start(client, "bench", **{**SPEC, "ingress": None})
    found = await until_created(client, handle)
    created = time.monotonic() - began
    if found.phase is not Phase.RUNNING:
        raise RuntimeError(f"the create failed: {found.waiting_on}")
    say(f"budget: {_budget(found)}")
    repaired = await _repair(handle, places, found.cluster_id or "")
    began = time.monotonic()
    await delete(handle)
    deleted = time.monotonic() - began
    return {
        f"create_1p{NODES}_s": round(created, 1),
        "repair_s": round(repaired, 1),
        "delete_s": round(deleted, 1),
    }


async def _repair(handle: Handle, places: Places, cluster_id: str) -> float:
    """Take a machine's power, and return the seconds from the wish to look until it does its work again."""
    domain = Hypervisor(URI, places.volumes).domain(places.domain(cluster_id, MACHINES[-1]))
    if domain is None:
        raise RuntimeError(f"there is no domain of {MACHINES[-1]}")
    domain.destroy()
    began = time.monotonic()
    await handle.execute_update("retry", {}, result_type=Accepted)
    while len((found := await status(handle)).recent_operations) < 2:
        await asyncio.sleep(0.5)
    if found.phase is not Phase.RUNNING:
        raise RuntimeError(f"the repair failed: {found.waiting_on}")
    return time.monotonic() - began


def _budget(found: ClusterStatus) -> str:
    steps = found.operation.steps if found.operation else []
    took = (
        (step.name, step.finished_at - step.started_at) for step in steps if step.finished_at and step.started_at
    )
    return ", ".join(f"{name} {duration.total_seconds():.1f} s" for name, duration in took)


if __name__ == "__main__":
    typer.run(main)
