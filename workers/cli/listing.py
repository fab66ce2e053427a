"""``g8s list``: the living clusters, as Temporal's visibility store has them."""

import json
from datetime import UTC, datetime

import typer
from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey

from contracts.workflows import (
    CLUSTER,
    CLUSTER_CREATED,
    CLUSTER_NAME,
    CLUSTER_OWNER,
    CLUSTER_PHASE,
    CLUSTER_PROVIDER,
    CLUSTER_RELEASE,
)
from workers.cli.console import columns, elapsed, errors, output
from workers.cli.errors import command
from workers.cli.options import Format, Output
from workers.cli.temporal import connected

QUERY = f"WorkflowType = '{CLUSTER}' AND ExecutionStatus = 'Running'"

_COLUMNS = {
    "owner": CLUSTER_OWNER,
    "provider": CLUSTER_PROVIDER,
    "release": CLUSTER_RELEASE,
    "phase": CLUSTER_PHASE,
}


@command
async def list_clusters(form: Output = Format.TEXT) -> int:
    """List the clusters whose workflows run.

    They are read from Temporal's visibility store, which is a moment late: a cluster shows up, changes and goes
    there about a second after the fact. AGE counts from the start of the cluster's workflow. `g8s status NAME`
    asks the workflow itself.
    """
    found = await _living(await connected())
    if form is Format.JSON:
        typer.echo(json.dumps(found, indent=2))
    elif found:
        now = datetime.now(UTC)
        rows = [[*list(row.values())[:-1], elapsed(datetime.fromisoformat(row["started"]), now)] for row in found]
        for line in columns([["NAMESPACE", "NAME", *(name.upper() for name in _COLUMNS), "AGE"], *rows]):
            output().print(line)
    else:
        errors().print("no clusters; one that was started just now shows up in a second")
    return 0


async def _living(client: Client) -> list[dict[str, str]]:
    rows = [_row(found) async for found in client.list_workflows(QUERY)]
    return sorted(rows, key=lambda row: (row["namespace"], row["name"]))


def _row(found: WorkflowExecution) -> dict[str, str]:
    namespace, _, name = found.id.removeprefix("cluster/").partition("/")
    return {
        "namespace": namespace,
        "name": _attribute(found, CLUSTER_NAME) or name,
        **{column: _attribute(found, key) for column, key in _COLUMNS.items()},
        "started": (found.typed_search_attributes.get(CLUSTER_CREATED) or found.start_time).isoformat(),
    }


def _attribute(found: WorkflowExecution, key: SearchAttributeKey[str]) -> str:
    return found.typed_search_attributes.get(key) or ""
