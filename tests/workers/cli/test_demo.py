"""The demo's way from a stack that runs to a kubeconfig, with scripted activities on a real server."""

import asyncio
import dataclasses
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from temporalio.envconfig import ClientConfigProfile
from temporalio.testing import WorkflowEnvironment

from api.status import Phase
from contracts import activities as names
from contracts.workflows import ClusterInput
from deploy.stack import Ports, Stack
from tests.support.fakes import Script
from tests.support.resources import cluster_input
from tests.workers.cli.conftest import PROJECT
from tests.workflows.conftest import Clusters, served
from workers.cli.demo import EXAMPLE, Demo, _farewell, bring
from workers.cli.errors import CliError

PROFILE = """\
[profile.default]
address = "127.0.0.1:1"
namespace = "somebody-elses"
api_key = "secret"
[profile.default.tls]
disabled = false
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and a login name of the test's own; settings that name another Temporal are not followed."""
    profile = tmp_path / ".config" / "temporalio" / "temporal.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text(PROFILE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "jane")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    return tmp_path


@pytest.fixture
def demo(address: str, home: Path) -> Demo:
    """A demo of a simulated cluster."""
    return Demo(cluster_input("demonstrated"), {"TEMPORAL_ADDRESS": address})


def test_the_example_is_one_control_plane_machine_and_three_nodes() -> None:
    wanted = ClusterInput.model_validate_json(EXAMPLE.read_text())
    assert wanted.spec.provider == "local"
    assert wanted.spec.control_plane.replicas == 1
    assert [pool.replicas for pool in wanted.spec.node_pools] == [3]


async def test_creates_shows_each_step_and_logs_in(
    clusters: Clusters, demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    await bring(demo)
    said = capsys.readouterr().out
    assert "CreateCluster: Succeeded" in said
    assert "breaking the glass: jane becomes an administrator" in said
    assert "== cluster: " in said
    assert demo.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(demo.kubeconfig.read_text())["current-context"] == "jane@default/demonstrated"
    created = clusters.script.count(names.BOOT_MACHINE)
    await bring(demo)
    assert clusters.script.count(names.BOOT_MACHINE) == created
    handle = clusters.client.get_workflow_handle(demo.workflow, result_type=str)
    await clusters.send(handle, "delete")
    await handle.result()


async def test_a_cluster_that_failed_is_tried_again(clusters: Clusters, script: Script, demo: Demo) -> None:
    demo = dataclasses.replace(demo, wanted=cluster_input("demo-again"))
    script.fatal = {names.ENSURE_ADDONS}
    with pytest.raises(CliError, match="QuotaExceeded") as failure:
        await bring(demo)
    assert "just demo" in failure.value.hint
    handle = clusters.client.get_workflow_handle(demo.workflow)
    assert (await clusters.status(handle)).phase == Phase.FAILED
    script.fatal = set()
    await bring(demo)


async def test_a_create_that_is_undone_meanwhile_is_a_failure(
    clusters: Clusters, script: Script, demo: Demo
) -> None:
    demo = dataclasses.replace(demo, wanted=cluster_input("demo-undone"))
    gate = script.gates[names.AWAIT_API] = asyncio.Event()
    running = asyncio.create_task(bring(demo))
    handle = clusters.client.get_workflow_handle(demo.workflow)
    while not script.count(names.AWAIT_API):
        await asyncio.sleep(0.05)
    await clusters.send(handle, "cancel")
    gate.set()
    with pytest.raises(CliError, match="does not run: the create was undone"):
        await running


async def test_a_worker_that_is_late_is_waited_for(
    temporal: WorkflowEnvironment,
    script: Script,
    demo: Demo,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.cli.cluster.ANSWER", timedelta(seconds=1))
    running = asyncio.create_task(bring(dataclasses.replace(demo, wanted=cluster_input("demo-late"))))
    said = ""
    while "no worker answered" not in said:
        said += capsys.readouterr().out
        await asyncio.sleep(0.05)
    async with served(temporal, script):
        await running


async def test_an_interrupt_tells_how_to_look_at_what_goes_on(
    clusters: Clusters, script: Script, demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = script.gates[names.AWAIT_API] = asyncio.Event()
    running = asyncio.create_task(bring(dataclasses.replace(demo, wanted=cluster_input("demo-left"))))
    while not script.count(names.AWAIT_API):
        await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.set()
    settings = f"TEMPORAL_ADDRESS={demo.temporal['TEMPORAL_ADDRESS']}"
    said = capsys.readouterr().err
    assert f"{settings} uv run g8s status demo-left --watch\n" in said
    assert f"{settings} uv run temporal workflow cancel --workflow-id cluster/default/demo-left\n" in said


async def test_an_interrupt_before_the_start_claims_nothing(
    demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        running = asyncio.create_task(bring(Demo(demo.wanted, {"TEMPORAL_ADDRESS": address})))
        connection, _ = await asyncio.to_thread(silent.accept)
        with connection:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    assert capsys.readouterr() == ("", "")


def test_the_last_lines_lead_to_this_stack_whatever_profile_the_user_has(demo: Demo) -> None:
    stack = Stack(state=Path("/s"), ports=Ports(), supervisor_socket=Path("/s/socket"))
    export = _farewell(demo, stack, Path("/cache/kubectl")).splitlines()[0].removeprefix("export ")
    variables = dict(word.split("=", 1) for word in export.split())
    profile = ClientConfigProfile.load(override_env_vars={**os.environ, **variables})
    assert profile == ClientConfigProfile(address="127.0.0.1:7233", namespace="default")


def test_what_the_machine_lacks_is_told_in_words(tmp_path: Path) -> None:
    environment = {**os.environ, "GIANTNETES_STATE": str(tmp_path / "no spaces please"), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "workers.cli.demo"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The folder ")
    assert "GIANTNETES_STATE" in done.stderr
    assert len(done.stderr.splitlines()) == 2
