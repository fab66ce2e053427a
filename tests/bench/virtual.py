"""``just bench-libvirt``: how long virtual machines take, beside the same image that is booted by hand.

Alternates bare-boot.sh, run unchanged, with a boot by the provider; then makes and deletes a cluster of one
control plane machine and one node, and tells where the seconds of the create went. The last line is one JSON
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
from api.status import ClusterStatus, Phase
from planning.releases import load_releases
from tests.contract.clusters import TestCluster
from tests.contract.rooms import new_cluster
from tests.libvirt.guests import hypervisor_worker
from tests.libvirt.machines import SPEC
from tests.libvirt.rooms import LibvirtRoom, images, libvirt_room
from tests.support.clusters import delete, start, until_created
from tests.support.stack import RELEASE, running_stack, say
from workers.client import connect

SCRIPT = Path(__file__).with_name("bare-boot.sh")
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
            result |= asyncio.run(_cluster())
    say(json.dumps(result))


def _boots(room: LibvirtRoom, pairs: int) -> dict[str, float]:
    bare, provided = [], []
    for number in range(1, pairs + 1):
        pools = [{"name": "workers", "replicas": 1, **MEMORY}]
        with new_cluster(room, node_pools=pools) as cluster, tempfile.TemporaryDirectory() as folder:
            provided.append(_boot(room, cluster))
            ignition = Path(folder, "config.ign")
            kept = room.places.machine(cluster.id, cluster.nodes[0].name) / "ignition.json"
            ignition.write_bytes(kept.read_bytes())
            room.provider().delete_all(cluster.id)
            bare.append(_boot_by_hand(ignition))
        say(f"{number:3}: by hand {bare[-1]:.1f} s, by the provider {provided[-1]:.1f} s")
    ratios = [one / other for one, other in zip(provided, bare, strict=True)]
    return {
        "bare_boot_to_agent_s": round(statistics.median(bare), 1),
        "vm_boot_to_agent_s": round(statistics.median(provided), 1),
        "ratio_boot": round(statistics.median(ratios), 2),
    }


def _boot(room: LibvirtRoom, cluster: TestCluster) -> float:
    """Return the seconds from asking for a machine until its guest agent answers."""
    began = time.monotonic()
    cluster.ensure(room.provider(), cluster.nodes[0])
    domain = room.hypervisor.domain(room.places.domain(cluster.id, cluster.nodes[0].name))
    while True:
        try:
            Agent(domain).ping()
            return time.monotonic() - began
        except AgentSilentError:
            time.sleep(0.1)


def _boot_by_hand(ignition: Path) -> float:
    files = images(load_releases()[RELEASE])
    paths = [str(files[name]) for name in ("kernel", "initrd", "root", "release")]
    return float(subprocess.check_output([SCRIPT, *paths, str(ignition)], text=True))


async def _cluster() -> dict[str, float]:
    client = await connect()
    began = time.monotonic()
    handle = await start(client, "bench", **SPEC)
    found = await until_created(client, handle)
    created = time.monotonic() - began
    if found.phase is not Phase.RUNNING:
        raise RuntimeError(f"the create failed: {found.waiting_on}")
    say(f"budget: {_budget(found)}")
    began = time.monotonic()
    await delete(handle)
    return {"create_1p1_s": round(created, 1), "delete_s": round(time.monotonic() - began, 1)}


def _budget(status: ClusterStatus) -> str:
    steps = status.operation.steps if status.operation else []
    took = (
        (step.name, step.finished_at - step.started_at) for step in steps if step.finished_at and step.started_at
    )
    return ", ".join(f"{name} {duration.total_seconds():.1f} s" for name, duration in took)


if __name__ == "__main__":
    typer.run(main)
