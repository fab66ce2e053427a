"""``just bench-create``: how long a create takes beside the shortest way that is known.

Alternates hand-cluster.sh, run unchanged, and a ``Cluster`` workflow of 1 control plane machine and 3 nodes
from start to verified, then deleted; on a stack of its own. The last line is one JSON object.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import typer
from temporalio.client import Client, WorkflowHandle

from api.status import Phase
from contracts import queues
from contracts.workflows import CLUSTER, Accepted, workflow_id
from deploy.binaries import Part
from deploy.binaries.build import bundle
from deploy.binaries.cache import ensure as ensure_bundle
from planning.releases import load_releases
from tests.support.clusters import until_created
from tests.support.resources import cluster_input
from tests.support.stack import RELEASE, running_stack, say
from workers.client import connect
from workers.worker.wiring import installed

SCRIPT = Path(__file__).with_name("hand-cluster.sh")
NODES = 3
BASE_PORT = 16400


def main(pairs: int = typer.Option(20, help="How many pairs to run.", min=1)) -> None:
    """Run the pairs and print one line for each, then the result."""
    checksum = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    say(f"baseline: {SCRIPT.name}, sha256 {checksum}")
    with running_stack():
        result = asyncio.run(_bench(pairs))
    say(json.dumps(result))


async def _bench(pairs: int) -> dict[str, float]:
    client = await connect()
    baseline, creates, deletes = [], [], []
    await _cluster(client, "warm-up")
    for number in range(1, pairs + 1):
        baseline.append(_by_hand())
        create, delete = await _cluster(client, f"bench-{number}")
        creates.append(create)
        deletes.append(delete)
        say(f"{number:3}: by hand {baseline[-1]:.2f} s, create {create:.2f} s, delete {delete:.2f} s")
    ratios = [create / base for create, base in zip(creates, baseline, strict=True)]
    return {
        "create_p50_s": round(statistics.median(creates), 2),
        "create_max_s": round(max(creates), 2),
        "delete_p50_s": round(statistics.median(deletes), 2),
        "baseline_p50_s": round(statistics.median(baseline), 2),
        "ratio_p50": round(statistics.median(ratios), 2),
    }


def _by_hand() -> float:
    """Run the script from start to its last line; returns seconds, and ends what it started."""
    release = load_releases()[RELEASE]
    kubernetes = Path(tempfile.mkdtemp(prefix="g8s-bench-bin-"))
    work = Path(tempfile.mkdtemp(prefix="g8s-bench-"))
    part = Part(name="kubernetes", version=release.kubernetes.version)
    found = {**installed(release), **ensure_bundle(bundle(part, ("kubemark",)), say)}
    for name, path in found.items():
        (kubernetes / name).symlink_to(path)
    command = ["bash", str(SCRIPT), str(kubernetes), str(found["etcd"]), str(work), str(NODES), str(BASE_PORT)]
    try:
        began = time.monotonic()
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return time.monotonic() - began
    finally:
        _end(work)
        for folder in (kubernetes, work):
            shutil.rmtree(folder, ignore_errors=True)


def _end(work: Path) -> None:
    pids = [int(path.read_text()) for path in work.glob("*.pid")]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)


async def _cluster(client: Client, name: str) -> tuple[float, float]:
    """Create and delete one cluster; returns seconds for each."""
    spec = {"provider": "local", "nodePools": [{"name": "workers", "replicas": NODES}]}
    began = time.monotonic()
    handle: WorkflowHandle[Any, str] = await client.start_workflow(
        CLUSTER,
        cluster_input(name, **spec),
        id=workflow_id("default", name),
        task_queue=queues.CLUSTERS,
        result_type=str,
    )
    status = await until_created(client, handle)
    created = time.monotonic()
    if status.phase is not Phase.RUNNING:
        raise RuntimeError(f"{name}: {status.waiting_on}")
    await handle.execute_update("delete", {"reason": "bench"}, result_type=Accepted)
    await handle.result()
    return created - began, time.monotonic() - created


if __name__ == "__main__":
    typer.run(main)
