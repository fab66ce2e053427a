"""The demo's way from a stack that runs to a kubeconfig, with scripted activities on a real server."""

import asyncio
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from api.status import Phase
from contracts import activities as names
from contracts.workflows import ClusterInput
from tests.support.fakes import Script
from tests.support.resources import cluster_input
from tests.workers.cli.conftest import PROJECT
from tests.workflows.conftest import Clusters
from workers.cli.demo import EXAMPLE, Demo, bring
from workers.cli.errors import CliError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and a login name of the test's own; settings that name another Temporal are not followed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "jane")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    return tmp_path


@pytest.fixture
def demo(address: str, home: Path) -> Demo:
    """A demo of a simulated cluster."""
    return Demo(cluster_input("demonstrated"), address)


def test_the_example_is_one_control_plane_machine_and_three_nodes() -> None:
    wanted = ClusterInput.model_validate_json(EXAMPLE.read_text())
    assert wanted.spec.provider == "local"
    assert wanted.spec.control_plane.replicas == 1
    assert [pool.replicas for pool in wanted.spec.node_pools] == [3]


async def test_creates_shows_each_step_and_logs_in(
    clusters: Clusters, demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await bring(demo) == 0
    said = capsys.readouterr().out
    assert "CreateCluster: Succeeded" in said
    assert "breaking the glass: jane becomes an administrator" in said
    assert "== cluster: " in said
    assert demo.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(demo.kubeconfig.read_text())["current-context"] == "jane@default/demonstrated"
    created = clusters.script.count(names.BOOT_MACHINE)
    assert await bring(demo) == 0
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
    assert await bring(demo) == 0


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


def test_what_the_machine_lacks_is_told_in_words(tmp_path: Path) -> None:
    environment = {**os.environ, "GIANTNETES_STATE": str(tmp_path / "no spaces please"), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "workers.cli.demo"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The folder ")
    assert "GIANTNETES_STATE" in done.stderr
    assert len(done.stderr.splitlines()) == 2
