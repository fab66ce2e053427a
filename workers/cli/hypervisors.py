"""``g8s hypervisors``: the hypervisors of the site, what they have and what is on them."""

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import typer
from temporalio.client import ActivityFailureError, Client
from temporalio.common import RetryPolicy
from temporalio.service import RPCError

from contracts import activities as names
from contracts import queues
from contracts.hypervisors import (
    HypervisorRecord,
    HypervisorRecords,
    HypervisorStatus,
    SiteReference,
    hypervisor_id,
)
from workers.cli.console import columns, errors, output
from workers.cli.errors import CliError, command
from workers.cli.options import Format, Output
from workers.cli.temporal import connected
from workers.worker.settings import from_environment
from workflows.failures import error_status

WAIT = timedelta(seconds=10)
UNWATCHED = "Unwatched"
"""Stands for the phase of a hypervisor whose workflow does not answer."""

HEADINGS = ("NAME", "PHASE", "KIND", "CORES", "MEMORY", "DISK", "MACHINES", "OWES", "WAITS FOR")


@command
async def hypervisors(form: Output = Format.TEXT) -> int:
    """List the hypervisors that are enrolled, with the part of their memory and disk that machines may take.

    OWES counts what is still to be removed there; `g8s leftovers` lists it. Unwatched means that the workflow
    `hypervisor/SITE/NAME` does not answer: start it again, it goes on from what is recorded.
    """
    client, site = await connected(), from_environment().site
    records = await enrolled(client, site)
    statuses = await asyncio.gather(*(_status(client, record) for record in records))
    if form is Format.JSON:
        typer.echo(json.dumps([record.model_dump(mode="json", by_alias=True) for record in records], indent=2))
    elif records:
        rows = [_row(record, status) for record, status in zip(records, statuses, strict=True)]
        for line in columns([HEADINGS, *rows]):
            output().print(line)
    else:
        errors().print("no hypervisor is enrolled; docs/virtual-machines.md tells how that is done")
    return 0


async def enrolled(client: Client, site: str) -> list[HypervisorRecord]:
    """Return what is recorded of each hypervisor of a site; raises CliError when that can't be read."""
    try:
        found: HypervisorRecords = await client.execute_activity(
            names.LIST_HYPERVISORS,
            SiteReference(site=site),
            id=f"hypervisors/{site}/{uuid4()}",
            task_queue=queues.vault(site),
            result_type=HypervisorRecords,
            schedule_to_start_timeout=WAIT,
            start_to_close_timeout=WAIT,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary="g8s hypervisors",
        )
    except ActivityFailureError as error:
        known = error_status(error.cause, queues.vault(site))
        raise CliError(f"the hypervisors of site {site} can't be listed: {known.message}", known.hint) from error
    return found.items


async def _status(client: Client, record: HypervisorRecord) -> HypervisorStatus | None:
    handle = client.get_workflow_handle(hypervisor_id(record.site, record.name))
    try:
        found: HypervisorStatus = await handle.query("status", result_type=HypervisorStatus, rpc_timeout=WAIT)
    except RPCError:
        return None
    return found


def _row(record: HypervisorRecord, status: HypervisorStatus | None) -> tuple[str, ...]:
    has, machines = record.facts.capacity, record.machines
    memory, disk = (sum(getattr(one.takes, kind) for one in machines) for kind in ("memory_mib", "disk_mib"))
    return (
        record.name,
        str(status.phase) if status else UNWATCHED,
        record.facts.kind,
        str(has.cpus),
        f"{memory} of {has.memory_mib} MiB",
        f"{disk} of {has.disk_mib} MiB",
        str(len(machines)),
        str(len(record.unswept)),
        status.waiting_on if status else "",
    )
