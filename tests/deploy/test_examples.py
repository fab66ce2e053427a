"""The files under deploy/examples: each fits its model, and works as the README's cheat sheet has it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from temporalio.testing import WorkflowEnvironment

from api.changes import unsupported_changes
from contracts import queues
from contracts.workflows import ApplyRequest, ClusterInput, Reason, ReplaceMachineRequest
from planning.releases import load_releases
from tests.support.fakes import Script, fake_activities, fake_queues
from tests.support.temporal import SANDBOX, temporal_cli
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import Queue, make_workers

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"

CLUSTERS = ("demo", "three-control-planes", "platform")
MODELS: dict[str, type[BaseModel]] = {
    **dict.fromkeys(CLUSTERS, ClusterInput),
    "apply": ApplyRequest,
    "replace_machine": ReplaceMachineRequest,
    **dict.fromkeys(("delete", "retry", "cancel", "pause", "resume", "rotate_certificates"), Reason),
}


def example(name: str) -> str:
    return (EXAMPLES / f"{name}.json").read_text()


def test_every_example_is_known_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {f"{name}.json" for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_each_example_fits_its_model(name: str) -> None:
    MODELS[name].model_validate_json(example(name))


@pytest.mark.parametrize("name", CLUSTERS)
def test_clusters_name_releases_and_ingress_versions_that_exist(name: str) -> None:
    spec = ClusterInput.model_validate_json(example(name)).spec
    release = load_releases()[spec.release]
    assert spec.ingress is None or spec.ingress.version in [image.version for image in release.ingress]


def test_the_examples_show_what_they_are_named_after() -> None:
    specs = {name: ClusterInput.model_validate_json(example(name)).spec for name in CLUSTERS}
    assert specs["three-control-planes"].control_plane.replicas == 3
    platform = specs["platform"]
    assert platform.api_server.oidc
    assert platform.api_server.feature_gates
    assert any(pool.labels and pool.taints for pool in platform.node_pools)
    assert len({spec.network.api_port for spec in specs.values()}) > 1


def test_the_applied_spec_is_the_demo_s() -> None:
    wanted = ApplyRequest.model_validate_json(example("apply"))
    demo = ClusterInput.model_validate_json(example("demo"))
    assert unsupported_changes(demo.spec, wanted.spec) == []


@pytest.fixture
async def server(temporal: WorkflowEnvironment) -> AsyncIterator[str]:
    """The address of a server whose workers answer from a script, for the provider local."""
    script = Script()
    fakes = fake_activities(script)
    local = [
        Queue(queues.provider("default", "local"), fakes),
        Queue(queues.kubernetes("default", "local"), fakes),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(temporal.client, [*fake_queues(script), *local], [ActivityBoundary()], SANDBOX):
            await stack.enter_async_context(worker)
        yield temporal.client.service_client.config.target_host


async def temporal(address: str, *arguments: str) -> str:
    """Run the temporal CLI in the project's folder and return what it prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        temporal_cli(),
        *(*arguments, "--address", address),
        cwd=EXAMPLES.parents[1],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def update(address: str, workflow: str, name: str) -> str:
    """Send an update with its example as the cheat sheet has it."""
    wanted = ("--workflow-id", workflow, "--name", name, "--input-file", f"deploy/examples/{name}.json")
    return await temporal(address, "workflow", "update", "execute", *wanted)


async def status(address: str, workflow: str) -> dict[str, object]:
    """Query the status."""
    wanted = ("workflow", "query", "--workflow-id", workflow, "--name", "status", "--output", "json")
    found: dict[str, object] = json.loads(await temporal(address, *wanted))["queryResult"][0]
    return found


@pytest.mark.parametrize("name", CLUSTERS)
async def test_the_cheat_sheet_s_commands_work(server: str, name: str) -> None:
    cluster = ClusterInput.model_validate_json(example(name)).metadata.name
    workflow = f"cluster/default/{cluster}"
    await temporal(
        server,
        *("workflow", "start", "--type", "Cluster", "--task-queue", "clusters", "--workflow-id", workflow),
        *("--input-file", f"deploy/examples/{name}.json", "--id-conflict-policy", "UseExisting"),
    )
    while (await status(server, workflow))["phase"] != "Running":
        await asyncio.sleep(0.1)
    assert "[x] Verify" in await temporal(server, "workflow", "metadata", "--workflow-id", workflow)
    for name_of_update in ("retry", "pause", "resume"):
        await update(server, workflow, name_of_update)
    if name == "demo":
        assert "nothing to change" in await update(server, workflow, "apply")
    assert "will be deleted" in await update(server, workflow, "delete")
    assert "nothing is left" in await temporal(server, "workflow", "result", "--workflow-id", workflow)
