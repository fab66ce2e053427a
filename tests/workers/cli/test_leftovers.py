"""``g8s leftovers``: activities by themselves on a real server, and clusters that live or do not."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from api.errors import ErrorCode
from contracts import activities as names
from contracts import queues
from contracts.hypervisors import (
    Debt,
    HypervisorFacts,
    HypervisorRecord,
    HypervisorRecords,
    Resources,
    SiteReference,
)
from contracts.machines import ClusterReference, Leftover, Leftovers
from contracts.workflows import CLUSTER, workflow_id
from tests.workers.cli.conftest import Program
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import Queue, make_workers

SITE = "default"


def found(activity_name: str, *looks: list[Leftover]) -> Any:
    """Return an activity that finds something at each look; the last of ``looks`` from then on."""
    queued = list(looks)

    async def look(_: ClusterReference) -> Leftovers:
        return Leftovers(items=queued.pop(0) if len(queued) > 1 else queued[0])

    return activity.defn(name=activity_name)(look)


@contextlib.asynccontextmanager
async def outside(
    client: Client,
    held: list[Leftover],
    local: list[list[Leftover]],
    simulated: list[Leftover],
    enrolled: Callable[..., Any] | None = None,
) -> AsyncIterator[None]:
    """Serve the queues of Vault and of both providers."""
    served = [
        Queue(queues.vault(SITE), [found(names.LIST_VAULT_LEFTOVERS, held), enrolled or none_enrolled]),
        Queue(queues.provider(SITE, "local"), [found(names.LIST_MACHINE_LEFTOVERS, *local)]),
        Queue(queues.provider(SITE, "simulated"), [found(names.LIST_MACHINE_LEFTOVERS, simulated)]),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(client, served, [ActivityBoundary()]):
            await stack.enter_async_context(worker)
        yield


@activity.defn(name=names.LIST_HYPERVISORS)
async def none_enrolled(_: SiteReference) -> HypervisorRecords:
    return HypervisorRecords()


@activity.defn(name=names.LIST_HYPERVISORS)
async def silent_one(_: SiteReference) -> HypervisorRecords:
    """One without a worker, which owes the removal of a cluster."""
    facts = HypervisorFacts(host_id="h", kind="kvm", capacity=Resources())
    owed = [Debt(cluster_id="c9")]
    record = HypervisorRecord(site=SITE, name="gone", facts=facts, enrolled_at=datetime.now(UTC), unswept=owed)
    return HypervisorRecords(items=[record])


def machine(cluster_id: str) -> Leftover:
    return Leftover(kind="machine", name="workers-1", cluster_id=cluster_id)


def entry(name: str, cluster_id: str) -> Leftover:
    return Leftover(kind="registry", name=f"default/{name}", cluster_id=cluster_id)


async def test_lists_what_belongs_to_no_living_cluster(temporal: WorkflowEnvironment, g8s: Program) -> None:
    living, dead = [
        await temporal.client.start_workflow(
            CLUSTER, id=workflow_id("default", name), task_queue="nobody-polls-this"
        )
        for name in ("alive", "dead")
    ]
    await dead.terminate()
    held = [entry("alive", "c1"), entry("dead", "c2"), entry("never-was", "c3")]
    async with outside(temporal.client, held, [[machine("c1"), machine("c4")]], [machine("c2")], silent_one):
        result = await g8s.run("leftovers")
    await living.terminate()
    assert result.status == 1
    head, *rows = [line.split() for line in result.out.splitlines()]
    assert head == ["KIND", "NAME", "CLUSTER", "ID"]
    assert sorted(rows) == [
        ["debt", "gone/everything", "c9"],
        ["machine", "workers-1", "c2"],
        ["machine", "workers-1", "c4"],
        ["registry", "default/dead", "c2"],
        ["registry", "default/never-was", "c3"],
    ]
    assert "the queue default.libvirt.gone could not be asked" in result.err
    assert "nothing is left over" not in result.err


async def test_of_a_cluster_that_gives_no_answer_nothing_is_claimed(
    temporal: WorkflowEnvironment, g8s: Program
) -> None:
    silent = await temporal.client.start_workflow(
        CLUSTER, id=workflow_id("default", "silent"), task_queue="nobody-polls-this"
    )
    async with outside(temporal.client, [entry("silent", "c1")], [[machine("c1")]], []):
        result = await g8s.run("leftovers")
    await silent.terminate()
    assert (result.status, result.out) == (1, "")
    why, end = result.err.splitlines()
    assert "default/silent" in why
    assert end == "of those that answered nothing is left over"


async def test_what_is_gone_at_the_second_look_is_none(temporal: WorkflowEnvironment, g8s: Program) -> None:
    async with outside(temporal.client, [], [[machine("c5")], []], []):
        result = await g8s.run("leftovers")
    assert result.status == 0
    assert result.out == ""
    assert result.err == "nothing is left over\n"


async def test_says_which_queue_could_not_be_asked(temporal: WorkflowEnvironment, g8s: Program) -> None:
    async def sealed(_: ClusterReference) -> Leftovers:
        raise ApplicationError("Vault is sealed", type=ErrorCode.VAULT_SEALED)

    async with outside(temporal.client, [], [[]], []):
        result = await g8s.run("leftovers", GIANTNETES_SITE="elsewhere")
    assert result.status == 1
    assert "elsewhere." in result.err
    assert "no worker" in result.err
    vault = [Queue(queues.vault(SITE), [activity.defn(name=names.LIST_VAULT_LEFTOVERS)(sealed), none_enrolled])]
    providers = [
        Queue(queues.provider(SITE, name), [found(names.LIST_MACHINE_LEFTOVERS, [])])
        for name in ("local", "simulated")
    ]
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(temporal.client, [*vault, *providers], [ActivityBoundary()]):
            await stack.enter_async_context(worker)
        result = await g8s.run("leftovers")
    assert result.status == 1
    assert "default.vault" in result.err
    assert "Vault is sealed" in result.err
    assert "unseal Vault" in result.err
