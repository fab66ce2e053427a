"""Certificates renewed again and again, while clients of all kinds use the cluster: ``just bench-rotation``.

On a stack of its own with clusters of real components (provider local), one after the other: one control plane
machine with three nodes, and three with three. The last line is one JSON object.
"""

import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from contracts.workflows import Accepted, OperationResult
from deploy.stack import Stack
from tests.bench.clients import Clients, local_endpoints
from tests.bench.credentials import Credentials
from tests.chaos import living
from tests.e2e.people import administrator
from tests.support.clusters import Handle, delete, start, until_created
from tests.support.stack import running_stack, say
from workers.client import connect

NODES = 3
LAST_CLIENT_S = 660.0
"""How long the last credentials are waited for: clients read their files every five minutes."""


@dataclass
class Tally:
    """What was counted over all clusters."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    certificates: int = 0
    failed_requests: int = 0
    failed_handshakes: int = 0
    watch_breaks: int = 0
    restarts: int = 0
    client_seen: list[float] = field(default_factory=list)

    def result(self) -> dict[str, float]:
        """Return the line."""
        took = [second for seconds in self.seconds.values() for second in seconds]
        return {
            "rotations": len(took),
            "failed_requests": self.failed_requests,
            "failed_handshakes": self.failed_handshakes,
            "watch_breaks": self.watch_breaks,
            "restarts": self.restarts,
            **{_figure(slots): round(statistics.median(each), 2) for slots, each in self.seconds.items()},
            "client_seen_max_s": round(max(self.client_seen, default=0.0), 1),
            "certificates_per_s": round(self.certificates / sum(took), 1) if took else 0.0,
        }


def _figure(slots: int) -> str:
    return "rotation_p50_s" if slots == 1 else f"rotation_p50_s_{slots}_control_planes"


def main(
    rotations: Annotated[int, typer.Option(help="How often with one control plane machine.")] = 200,
    balanced: Annotated[int, typer.Option(help="How often with three.")] = 60,
) -> None:
    """Rotate, and print what clients noticed, then the result."""
    tally = Tally()
    with running_stack() as stack, tempfile.TemporaryDirectory() as folder:
        for slots, count in ((1, rotations), (3, balanced)):
            if count:
                asyncio.run(_cluster(stack, Path(folder), slots, count, tally))
    say(json.dumps(tally.result()))


async def _cluster(stack: Stack, folder: Path, slots: int, count: int, tally: Tally) -> None:
    name = f"rotated-{slots}"
    client = await connect()
    pools = [{"name": "workers", "replicas": NODES}]
    handle = await start(client, name, provider="local", controlPlane={"replicas": slots}, nodePools=pools)
    created = await until_created(client, handle)
    cluster_id, config = created.cluster_id or "", folder / f"{name}.yaml"
    await asyncio.to_thread(administrator, name, config)
    machines = stack.state / "machines" / cluster_id
    credentials = Credentials(sorted(machines.glob("control-plane-*/log/audit.log")))
    before = _processes(stack, cluster_id)
    with Clients(config, partial(local_endpoints, machines)) as clients:
        await asyncio.sleep(2)
        seconds = tally.seconds.setdefault(slots, [])
        for number in range(count):
            took, result = await _rotate(client, handle)
            seconds.append(took)
            tally.certificates += sum(map(len, result.issued.values()))
            credentials.issued(result)
            credentials.look()
            if number % 10 == 9:
                say(f"{slots} control plane machines: {number + 1} rotations, {took:.1f} s; {clients}")
        deadline = time.monotonic() + LAST_CLIENT_S
        while credentials.waiting and time.monotonic() < deadline:
            await asyncio.sleep(1)
            credentials.look()
    after = _processes(stack, cluster_id)
    tally.restarts += len(before - after)
    tally.failed_requests += clients.failed_requests
    tally.failed_handshakes += clients.failed_handshakes
    tally.watch_breaks += clients.watch_breaks
    tally.client_seen += credentials.seconds()
    say(f"{slots} control plane machines: {clients}; {credentials}")
    for failure in clients.failures[:20]:
        say(failure)
    await delete(handle)


async def _rotate(client: Client, handle: Handle) -> tuple[float, OperationResult]:
    """Return how long one took, from the wish to the new serial on each endpoint, and what it made."""
    began, wished = time.monotonic(), time.time()
    await handle.execute_update("rotate_certificates", {"reason": "bench"}, result_type=Accepted)
    rotation: WorkflowHandle[Any, OperationResult] = client.get_workflow_handle(
        f"{handle.id}/rotate", result_type=OperationResult
    )
    while not (run_id := await _begun(rotation, wished)):
        await asyncio.sleep(0.02)
    result = await client.get_workflow_handle(rotation.id, run_id=run_id, result_type=OperationResult).result()
    took = time.monotonic() - began
    if result.unrenewed:
        say(f"not renewed: {result.unrenewed}")
    return took, result


async def _begun(rotation: WorkflowHandle[Any, OperationResult], wished: float) -> str:
    """Return the run that began after the wish, empty while there is none."""
    try:
        described = await rotation.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return ""
    return described.run_id if described.start_time.timestamp() >= wished - 0.05 else ""


def _processes(stack: Stack, cluster_id: str) -> set[tuple[str, int]]:
    return {(name, pid) for name, pids in living.pids(stack, cluster_id).items() for pid in pids}


if __name__ == "__main__":
    typer.run(main)
