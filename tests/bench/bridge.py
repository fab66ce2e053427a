"""Clusters as resources, many at a time: how soon one is taken up and told of, and what it costs.

On a stack of its own with the simulated provider, real API server, Temporal, OpenBao, worker and bridge. Run with
``just bench-bridge``. The last line is one JSON object.
"""

import asyncio
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import psutil
import typer
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from prometheus_client.parser import text_string_to_metric_families
from requests import get

from api.status import ClusterStatus
from contracts.workflows import workflow_id
from deploy.stack import Stack, supervisord
from tests.support.resources import NO_QUOTAS, cluster_document
from tests.support.stack import running_stack, say
from workers.bridge import certificate_resources
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.writer import path_of
from workers.bridge.resources import PATH
from workers.client import connect

SERVICES = ("temporal", "host-etcd", "host-apiserver", "openbao", "worker", "bridge")
COUNTED = ("temporal", "host-apiserver", "worker", "bridge")
"""Whose processor time is a cluster's cost."""

FAST = 10_000.0
"""Requests a second of the bench's own."""

SETTLE_S = 30.0
IDLE_S = 120.0


@dataclass
class Seen:
    """What a watch saw of one resource, by time.monotonic()."""

    applied_at: float = 0.0
    accepted_at: float = 0.0
    available_at: float = 0.0
    steps: list[tuple[float, float]] = field(default_factory=list)
    """Wall time, and how many steps were told to be done by then."""

    def lags(self, finished: Sequence[datetime]) -> list[float]:
        """Return how long after its end each step was seen (seconds)."""
        return [
            next(at for at, index in self.steps if index > number) - end.timestamp()
            for number, end in enumerate(sorted(finished))
        ]


def main(
    clusters: Annotated[int, typer.Option(help="How many clusters there are in the end.")] = 200,
    busy: Annotated[int, typer.Option(help="How many are being created at a time.")] = 100,
    pace: Annotated[float, typer.Option(help="How many are applied a second, at most.")] = 5,
    idle_seconds: Annotated[float, typer.Option(help="How long nothing is done at the end.")] = IDLE_S,
) -> None:
    """Apply clusters, wait until all are Available, then look on while nothing happens."""
    os.environ["GIANTNETES_QUOTAS"] = str(NO_QUOTAS)
    with running_stack() as stack:
        print(json.dumps(asyncio.run(_measure(stack, clusters, busy, pace, idle_seconds))))  # noqa: T201


async def _measure(stack: Stack, clusters: int, busy: int, pace: float, idle_seconds: float) -> dict[str, float]:
    configuration = Configuration()
    await load_kube_config(  # type: ignore[no-untyped-call]
        str(stack.host_kubeconfig), client_configuration=configuration
    )
    processes = _processes(stack)
    async with ApiClient(configuration) as watching, ApiClient(configuration) as applying:
        seen = {f"c{number}": Seen() for number in range(clusters)}
        before = _cpu(processes)
        _, version = await Kube(watching).listed(PATH)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch(Kube(watching), version, seen))
            tasks.create_task(_apply(Kube(applying, FAST), seen, busy, pace))
        costs = {name: (end - before[name]) / clusters for name, end in _cpu(processes).items()}
        told = ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items())
        say(f"all {clusters} are Available; seconds of processors each: {told}")
        memory = ", ".join(f"{name} {processes[name].memory_info().rss / 1e6:.0f}" for name in COUNTED)
        say(f"MB of memory: {memory}")
        times = await _times(seen)
        say(json.dumps(times))
        await _settle(Kube(applying, FAST))
        idle = await _idle(stack, Kube(applying, FAST), idle_seconds, clusters)
    return {
        **times,
        **idle,
        "bridge_rss_mb": round(processes["bridge"].memory_info().rss / 1e6, 1),
        "cpu_s_per_cluster": round(sum(costs.values()), 3),
    }


async def _times(seen: dict[str, Seen]) -> dict[str, float]:
    accepted = [entry.accepted_at - entry.applied_at for entry in seen.values()]
    lags = [lag for name, entry in seen.items() for lag in entry.lags(await _finished(name))]
    return {
        "accept_p50_ms": _percentile(accepted, 50),
        "accept_p99_ms": _percentile(accepted, 99),
        "status_lag_p99_ms": _percentile(lags, 99),
    }


async def _apply(kube: Kube, seen: dict[str, Seen], busy: int, pace: float) -> None:
    """Apply all, with so many under way at a time."""
    for name, entry in seen.items():
        await asyncio.sleep(1 / pace)
        while sum(bool(other.applied_at) and not other.available_at for other in seen.values()) >= busy:
            await asyncio.sleep(0.01)
        document = cluster_document(name)
        path = f"{path_of(PATH, ('default', name))}?fieldManager=bench"
        await kube.send("PATCH", path, document, "application/apply-patch+yaml")
        entry.applied_at = time.monotonic()


async def _watch(kube: Kube, version: str, seen: dict[str, Seen]) -> None:
    """Note when the watch tells what of each resource, until all are Available."""
    async for event in kube.watch(PATH, version, 3600, 600):
        if event["type"] == "BOOKMARK":
            continue
        now, resource = time.monotonic(), event["object"]
        entry, status = seen[resource["metadata"]["name"]], resource.get("status", {})
        operation = status.get("operation") or {}
        ended = status.get("recentOperations") or []
        if not entry.accepted_at and (operation.get("id") or ended):
            entry.accepted_at = now
        entry.steps.append((time.time(), math.inf if ended else operation.get("stepIndex", 0)))
        if _is_available(status) and not entry.available_at:
            entry.available_at = now
        if all(other.available_at for other in seen.values()):
            return
    raise RuntimeError("the watch ended before all clusters were Available")


async def _finished(name: str) -> list[datetime]:
    """Return when each step of a create ended, as its workflow knows."""
    handle = (await connect()).get_workflow_handle(workflow_id("default", name))
    status: ClusterStatus = await handle.query("status", result_type=ClusterStatus)
    return [step.finished_at for step in status.operation.steps if step.finished_at] if status.operation else []


def _is_available(status: Json) -> bool:
    return any(item["type"] == "Available" and item["status"] == "True" for item in status.get("conditions", []))


async def _settle(kube: Kube) -> None:
    """Wait until nothing is written any more: the certificates of all machines are shown by then."""
    before: Json | None = None
    while before != (now := await _versions(kube)):
        say(f"{len(now)} resources, and more is written")
        before = now
        await asyncio.sleep(SETTLE_S)


async def _versions(kube: Kube) -> Json:
    """Return the version of each resource by its uid."""
    items = [item for path in (PATH, certificate_resources.PATH) for item in (await kube.listed(path))[0]]
    return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}


async def _idle(stack: Stack, kube: Kube, seconds: float, clusters: int) -> dict[str, float]:
    """Return how many requests the API server gets, and how many resources change, while nothing happens."""
    before, answered = await _versions(kube), _requests(stack)
    await asyncio.sleep(seconds)
    requests, after = _requests(stack) - answered, await _versions(kube)
    moved = sum(before.get(uid) != after.get(uid) for uid in before.keys() | after.keys())
    return {
        "idle_api_requests_per_cluster_minute": round(requests / clusters / (seconds / 60), 3),
        "idle_resources_changed": moved,
    }


def _requests(stack: Stack) -> float:
    """Return how many requests the host API has answered."""
    pki = stack.state / "host" / "pki"
    text = get(
        f"{stack.host_api_url}/metrics",
        cert=str(pki / "admin.pem"),
        verify=str(pki / "kubernetes-ca.crt"),
        timeout=30,
    ).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "apiserver_request_total"
    )


def _processes(stack: Stack) -> dict[str, psutil.Process]:
    """Return the main process of each service."""
    states = {state.program: state.pid for state in supervisord.connect(stack).all_states()}
    return {name: psutil.Process(states[name]) for name in SERVICES}


def _cpu(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """Return the processor time of each service that counts, children included, in seconds."""
    return {
        name: sum(
            sum(each.cpu_times()[:2])  # user and system
            for each in (processes[name], *processes[name].children(recursive=True))
        )
        for name in COUNTED
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile in milliseconds (nearest rank)."""
    ordered = sorted(values)
    return round(1000 * ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)], 1)


if __name__ == "__main__":
    typer.run(main)
