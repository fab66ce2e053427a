"""Bad input by the temporal CLI: refused at once, every faulty field named, nothing stuck, nothing created."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue

from activities.simulated.faults import Faults
from api.status import Phase
from contracts import queues
from contracts.workflows import CLUSTER, CREATE_CLUSTER, DELETE_CLUSTER
from deploy.stack import Stack
from tests.chaos import outside
from tests.chaos.cli import TemporalCli
from tests.chaos.lanes import lane
from tests.support.clusters import Handle, delete, start, until_created
from tests.support.leaks import LeakSearch
from tests.support.resources import cluster_document

SECONDS = 5.0
"""How long a run that is to be refused may take, once a worker has taken it."""

BAD = "cluster/default/bad"
PYTHON = re.compile(r"Traceback|\.py\b|StackTrace")
TAKEN = "EVENT_TYPE_WORKFLOW_TASK_STARTED"
WEDGED = "EVENT_TYPE_WORKFLOW_TASK_FAILED"


def document(name: str = "bad", meta: dict[str, Any] | None = None, **spec: Any) -> str:
    """Return the JSON of a small cluster with some fields changed."""
    made = cluster_document(name, **spec)
    made["metadata"] |= meta or {}
    return json.dumps(made)


BAD_INPUTS: dict[str, tuple[str, list[str]]] = {
    "unknown fields": (document(meta={"nam": "x"}, relase="1"), ["metadata.nam", "spec.relase"]),
    "overlapping CIDRs": (
        document(network={"podCIDR": "10.0.0.0/8"}),
        ["spec.network", "podCIDR 10.0.0.0/8", "serviceCIDR 10.96.0.0/16"],
    ),
    "two control plane replicas": (
        document(controlPlane={"replicas": 2}),
        ["spec.controlPlane.replicas", "1 or 3"],
    ),
    "negative replicas": (
        document(nodePools=[{"name": "a", "replicas": -1}, {"name": "b", "replicas": -2}]),
        ["spec.nodePools.0.replicas", "spec.nodePools.1.replicas"],
    ),
    "long name": (document("x" * 41), ["metadata.name", "40"]),
    "no DNS label": (document("Bad_Name"), ["metadata.name"]),
    "wrong types": (
        document(release=1, owner=["acme"], controlPlane="3", nodePools=[{"name": "a", "replicas": "2"}]),
        ["spec.release", "spec.owner", "spec.controlPlane", "spec.nodePools.0.replicas"],
    ),
    "missing fields": ('{"metadata": {}, "spec": {}}', ["metadata.name", "spec.provider", "spec.owner"]),
    "the same pool twice": (document(nodePools=[{"name": "a"}, {"name": "a"}]), ["nodePools", "more than once"]),
    "another kind": (json.dumps({**json.loads(document()), "kind": "Pod"}), ["kind"]),
    "null": ("null", ["input", "none was given"]),
    "a list": ("[]", ["input", "object"]),
    "a string": ('"bad"', ["input", "object"]),
    "unknown release": (document(release="9.9.9-9"), ["spec.release", "9.9.9-9", "1.37.2-1"]),
    "unknown ingress": (document(ingress={"version": "9.9.9"}), ["spec.ingress.version"]),
    "another id than the name": (document("other"), ["metadata", "cluster/default/other"]),
}


@pytest.fixture(scope="module")
def cli(stack: Stack) -> TemporalCli:
    """The program, aimed at the stack's default namespace."""
    return TemporalCli(stack)


@pytest.fixture
def nothing_is_created(stack: Stack, root: Any) -> Iterator[None]:
    """See that a test left the registry and the world as they were."""
    before = _world(stack, root)
    yield
    assert _world(stack, root) == before


def _world(stack: Stack, root: Any) -> tuple[object, ...]:
    registered = root.list("giantnetes/metadata/clusters/default")
    return registered and registered["data"], len(outside.simulated(stack).world.journal())


def failure(cli: TemporalCli, workflow_id: str) -> str:
    """Return why a run failed, which it must have, at once and without ever having been stuck."""
    assert cli.until_closed(workflow_id, SECONDS) == "FAILED"
    events = cli.history(workflow_id)
    assert WEDGED not in {event["eventType"] for event in events}
    taken = next(event for event in events if event["eventType"] == TAKEN)
    first, last = (datetime.fromisoformat(event["eventTime"]) for event in (taken, events[-1]))
    assert (last - first).total_seconds() < SECONDS
    return str(events[-1]["workflowExecutionFailedEventAttributes"]["failure"]["message"])


@pytest.mark.usefixtures("nothing_is_created")
@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_refused_by_field(cli: TemporalCli, case: str) -> None:
    text, fields = BAD_INPUTS[case]
    cli.start(BAD, text)
    message = failure(cli, BAD)
    assert [field for field in fields if field not in message] == [], message
    for answer in (
        cli.run("workflow", "result", "--workflow-id", BAD),
        cli.run("workflow", "describe", "-w", BAD),
    ):
        assert message in answer.stdout
        assert re.search(PYTHON, answer.stdout + answer.stderr) is None


@pytest.mark.usefixtures("nothing_is_created")
@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_inputs_is_refused(cli: TemporalCli, count: int) -> None:
    cli.start(BAD, *[document()] * count)
    assert "input: " in failure(cli, BAD)


@pytest.mark.usefixtures("nothing_is_created")
@pytest.mark.parametrize("operation", [CREATE_CLUSTER, DELETE_CLUSTER])
def test_an_operation_started_by_hand_fails(cli: TemporalCli, operation: str) -> None:
    cli.tell("workflow", "start", "--type", operation, "--task-queue", "clusters", "--workflow-id", BAD)
    assert "input: " in failure(cli, BAD)


@pytest.mark.usefixtures("nothing_is_created")
async def test_invalid_json_is_refused(cli: TemporalCli, client: Client) -> None:
    """The CLI doesn't even send it; what another client sends is refused by the workflow."""
    done = cli.start(BAD, '{"metadata":')
    assert done.returncode != 0
    assert "not valid JSON" in done.stderr
    for encoding in ("json/plain", "json/protobuf", "binary/plain", "binary/null", "none/such"):
        payload = Payload(metadata={"encoding": encoding.encode()}, data=b'{"metadata":')
        await client.start_workflow(CLUSTER, RawValue(payload), id=BAD, task_queue=queues.CLUSTERS)
        assert "input: " in await asyncio.to_thread(failure, cli, BAD)


@pytest.mark.usefixtures("nothing_is_created")
async def test_a_quota_fails_the_run(stack: Stack, tmp_path: Path) -> None:
    quotas = tmp_path / "quotas.yaml"
    quotas.write_text("owners: {poor: {clusters: 0}}")
    async with lane(stack, "quotas", tmp_path, GIANTNETES_QUOTAS=str(quotas)):
        cli = TemporalCli(stack, "quotas")
        cli.start(BAD, document(owner="poor"))
        await asyncio.to_thread(cli.until_closed, BAD, 30)
        message = failure(cli, BAD)
    assert "owner poor has 0 of 0 clusters" in message


BAD_UPDATES: dict[str, tuple[str, list[str], list[str]]] = {
    "no spec": ("apply", ['{"spec": {}}'], ["spec.provider", "spec.owner", "spec.release"]),
    "bad fields": (
        "apply",
        [json.dumps({"spec": json.loads(document(controlPlane={"replicas": 2}, x=1))["spec"]})],
        ["spec.controlPlane.replicas", "spec.x"],
    ),
    "unsupported changes": (
        "apply",
        [json.dumps({"spec": json.loads(document(owner="other", release="1.36.3-1"))["spec"]})],
        ["spec.owner", "spec.release"],
    ),
    "generation below 1": (
        "apply",
        [json.dumps({"generation": 0, "spec": json.loads(document())["spec"]})],
        ["generation"],
    ),
    "no input": ("apply", [], ["apply", "1 JSON value"]),
    "no input without a validator": ("delete", [], ["delete", "1 JSON value"]),
    "two inputs": ("delete", ["{}", "{}"], ["input", "2"]),
    "null": ("pause", ["null"], ["input", "object"]),
    "wrong type": ("delete", ['{"reason": 1}'], ["reason"]),
    "unknown field": ("delete", ['{"because": "x"}'], ["because"]),
    "long reason": ("delete", [json.dumps({"reason": "x" * 201})], ["reason"]),
    "unknown update": ("destroy", ["{}"], ["destroy", "delete"]),
    "no certificate request": (
        "kubeconfig",
        ['{"user": "-", "ttlSeconds": 99999}'],
        ["request", "user", "ttlSeconds"],
    ),
}


@pytest.fixture(scope="module")
async def target(client: Client, leak_search: LeakSearch) -> Handle:
    """A living cluster that bad messages are sent to."""
    handle = await start(client, "target")
    status = await until_created(client, handle)
    assert status.phase == Phase.RUNNING, status.waiting_on
    leak_search.collect(status.cluster_id or "")
    return handle


@pytest.mark.parametrize("case", BAD_UPDATES)
async def test_a_bad_update_is_rejected_by_field(cli: TemporalCli, target: Handle, case: str) -> None:
    name, inputs, fields = BAD_UPDATES[case]
    done = cli.update(target.id, name, *inputs)
    assert done.returncode != 0
    assert [field for field in fields if field not in done.stderr] == [], done.stderr
    assert re.search(PYTHON, done.stdout + done.stderr) is None


async def test_bad_signals_and_queries_stop_nothing(cli: TemporalCli, target: Handle) -> None:
    misfits(cli, target.id, "progress")
    misfits(cli, target.id, "nosuch")
    assert cli.run("workflow", "query", "--workflow-id", target.id, "--type", "nosuch").returncode != 0
    assert "nothing is left" in await delete(target)
    assert WEDGED not in {event["eventType"] for event in cli.history(target.id)}


async def test_bad_signals_stop_no_operation(cli: TemporalCli, stack: Stack, client: Client) -> None:
    world = outside.simulated(stack).world
    faults, before = Faults(world.path), len(world.journal())
    faults.boot_seconds(2)
    handle = await start(client, "busy")
    while len(world.journal()) == before:
        await asyncio.sleep(0.02)
    faults.boot_seconds(0)
    misfits(cli, f"{handle.id}/create", "resume")
    assert (await until_created(client, handle)).phase == Phase.RUNNING
    assert WEDGED not in {event["eventType"] for event in cli.history(f"{handle.id}/create")}
    await delete(handle)


def misfits(cli: TemporalCli, workflow_id: str, signal: str) -> None:
    """Send a signal with no, one and two values that nobody wants."""
    for count in range(3):
        values = ["--input", "1"] * count
        cli.tell("workflow", "signal", "--workflow-id", workflow_id, "--name", signal, *values)


def test_nothing_is_stuck(cli: TemporalCli) -> None:
    running = f'WorkflowId="{BAD}" AND ExecutionStatus="Running"'
    assert cli.ask("workflow", "list", "--query", running) == []
    assert cli.ask("workflow", "list", "--query", "TemporalReportedProblems IS NOT NULL") == []
