"""``g8s leftovers``: what exists outside and belongs to no living cluster."""

import asyncio
from datetime import timedelta
from typing import get_args
from uuid import uuid4

from temporalio.client import ActivityFailureError, Client, WorkflowExecutionStatus
from temporalio.common import RetryPolicy
from temporalio.service import RPCError, RPCStatusCode

from api.cluster import Provider
from contracts import activities as names
from contracts import queues
from contracts.hypervisors import HypervisorRecord
from contracts.machines import ClusterReference, Leftover, Leftovers, has_hypervisors
from contracts.workflows import workflow_id
from workers.cli.cluster import ClusterClient
from workers.cli.console import columns, errors, output
from workers.cli.errors import CliError, command
from workers.cli.hypervisors import enrolled
from workers.cli.temporal import connected
from workers.worker.settings import from_environment
from workflows.failures import error_status

REGISTRY = "registry"
"""Kind of the entry that pins the id of a cluster to its namespace and name."""
QUEUE = timedelta(seconds=5)
LOOK = timedelta(minutes=1)


@command
async def leftovers() -> int:
    """List machines, volumes, processes, CAs, keys, claims and records that belong to no living cluster.

    All providers are asked, hypervisors that have a worker, and Vault; a cluster lives while its workflow runs.
    What a silent hypervisor owes the removal of is listed too, and a living cluster whose resource was taken away
    from under it. The exit status is 0 when nothing is left and 1 otherwise, also when somebody gave no answer.
    Leftovers of a cluster whose workflow was terminated are not lost: start the cluster again, it adopts them;
    then delete it.
    """
    client, silent = await connected(), set[str]()
    found = await _orphans(client, silent)
    if found:
        # What was just being made or removed during one look is not found by a second one.
        again = await _orphans(client, silent)
        found = [item for item in found if item in again]
    for why in sorted(silent):
        errors().print(why)
    if not found:
        errors().print("of those that answered nothing is left over" if silent else "nothing is left over")
        return int(bool(silent))
    rows = [(item.kind, item.name, item.cluster_id) for item in found]
    for line in columns([("KIND", "NAME", "CLUSTER ID"), *rows]):
        output().print(line)
    return 1


async def _orphans(client: Client, silent: set[str]) -> list[Leftover]:
    """Return what exists and carries the id of no living cluster. Vault comes last: it knows whose an id is.

    Why somebody gave no answer is added to ``silent``.
    """
    site = from_environment().site
    providers = [
        queues.provider(site, provider) for provider in get_args(Provider) if not has_hypervisors(provider)
    ]
    hypervisors = await enrolled(client, site)
    there = [queues.hypervisor(site, hypervisor.name) for hypervisor in hypervisors]
    looks = await asyncio.gather(
        *(_look(client, names.LIST_MACHINE_LEFTOVERS, queue) for queue in providers),
        *(_look_if_there(client, queue, silent) for queue in there),
    )
    held = await _look(client, names.LIST_VAULT_LEFTOVERS, queues.vault(site))
    found = [item for look in (*looks, held) for item in look]
    pinned = [item for item in found if item.kind == REGISTRY]
    lives = await asyncio.gather(*(_lives(client, item) for item in pinned))
    living = [item for item, alive in zip(pinned, lives, strict=True) if alive]
    unheld = await asyncio.gather(*(_without_resource(client, item, silent) for item in living))
    ids = {item.cluster_id for item in living}
    return [
        *(item for item in found if item.cluster_id not in ids),
        *(item for items in unheld for item in items),
        *_owed(hypervisors),
    ]


async def _without_resource(client: Client, entry: Leftover, silent: set[str]) -> list[Leftover]:
    """Return a cluster that lives although its resource has gone: nobody holds it any more.

    Of one that gives no answer that can't be told.
    """
    namespace, _, name = entry.name.partition("/")
    try:
        look = await ClusterClient(client, namespace, name).look()
    except CliError as error:
        silent.add(str(error))
        return []
    return [entry.model_copy(update={"kind": "cluster"})] if look.status.resource_gone else []


def _owed(hypervisors: list[HypervisorRecord]) -> list[Leftover]:
    """Return what hypervisors owe the removal of, also those that can't be asked."""
    return [
        Leftover(kind="debt", name=f"{hypervisor.name}/{debt.machine or 'everything'}", cluster_id=debt.cluster_id)
        for hypervisor in hypervisors
        for debt in hypervisor.unswept
    ]


async def _look_if_there(client: Client, queue: str, silent: set[str]) -> list[Leftover]:
    """Ask a hypervisor; one that is silent hides nothing of the others."""
    try:
        return await _look(client, names.LIST_MACHINE_LEFTOVERS, queue)
    except CliError as error:
        silent.add(str(error))
        return []


async def _look(client: Client, activity: str, queue: str) -> list[Leftover]:
    """Run one activity by itself, no workflow around it, and return what it found."""
    try:
        found: Leftovers = await client.execute_activity(
            activity,
            ClusterReference(cluster_id=""),
            id=f"leftovers/{queue}/{uuid4()}",
            task_queue=queue,
            result_type=Leftovers,
            schedule_to_start_timeout=QUEUE,
            start_to_close_timeout=LOOK,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary="g8s leftovers",
        )
    except ActivityFailureError as error:
        known = error_status(error.cause)
        raise CliError(
            f"the queue {queue} could not be asked what is left: {known.message}", known.hint
        ) from error
    return found.items


async def _lives(client: Client, entry: Leftover) -> bool:
    """Say whether the workflow runs that an entry of the registry, called NAMESPACE/NAME, belongs to."""
    namespace, _, name = entry.name.partition("/")
    try:
        found = await client.get_workflow_handle(workflow_id(namespace, name)).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return found.status is WorkflowExecutionStatus.RUNNING
