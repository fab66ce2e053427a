"""``just demo``, as those who clone the repository run it first; here without a terminal."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml
from temporalio.client import Client

from api.status import Phase
from deploy.paths import cache_dir
from deploy.stack import Stack
from tests.chaos import living
from tests.e2e.people import PROJECT, administrator, kubectl_path
from tests.support.clusters import Handle, status
from tests.support.leaks import LeakSearch
from tests.support.resourced import Resourced
from tests.support.resources import cluster_document
from workers.cli.demo import Demo as BaseDemo
from workers.cli.demo import bring
from workers.cli.errors import CliError

WORKFLOW = "cluster/default/demo"
ALL = re.compile(r"^== all: ([0-9.]+) s; the cluster goes on running$", re.MULTILINE)
QUICK_SECONDS = 10.0

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Demo:
    """What a first run printed, in a home folder of its own."""

    printed: str
    environment: dict[str, str]
    handle: Handle
    cluster_id: str

    @property
    def lines_to_copy(self) -> list[str]:
        """What stands below the summary."""
        return self.printed[ALL.search(self.printed).end() :].strip().splitlines()  # type: ignore[union-attr]


def run_demo(environment: dict[str, str]) -> str:
    """Run the demo; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli.demo"],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
async def demo(
    stack: Stack, client: Client, leak_search: LeakSearch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Demo]:
    """A first run beside the tests' stack, which it finds by its state folder alone."""
    home = tmp_path_factory.mktemp("home")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    environment = {**inherited, "HOME": str(home), "GIANTNETES_CACHE": str(cache_dir())}
    assert environment["GIANTNETES_STATE"] == str(stack.state)
    printed = await asyncio.to_thread(run_demo, environment)
    handle: Handle = client.get_workflow_handle(WORKFLOW, result_type=str)
    found = await status(handle)
    assert found.phase == Phase.RUNNING, printed
    await asyncio.to_thread(administrator, "demo", home / "settled")
    leak_search.collect(found.cluster_id or "", *(home / ".kube").glob("*.yaml"))
    yield Demo(printed, environment, handle, found.cluster_id or "")
    await leak_search.check(client)


def test_tells_of_steps_in_the_resource_s_own_columns(demo: Demo) -> None:
    assert re.search(
        r"^demo +False +1\.37\.2-1 +Creating +CreateCluster +[0-9]+/13 +0/1 +0/3 ", demo.printed, re.MULTILINE
    )
    assert re.search(r"^demo +True +1\.37\.2-1 +Running +1/1 +3/3 ", demo.printed, re.MULTILINE)
    assert not re.search(r"\x1b|\r", demo.printed)
    assert len(re.findall(r"^workers-[123] +Ready ", demo.printed, re.MULTILINE)) == 3


def test_the_printed_commands_work_as_written(demo: Demo) -> None:
    *commands, page, last = demo.lines_to_copy
    assert [command.partition(" ")[0] for command in commands] == [
        "export",
        "kubectl",
        "kubectl",
        "g8s",
        "temporal",
    ]
    assert last == "just down"
    assert requests.get(page, timeout=10).ok
    done = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        # Without the project's own folders in PATH: those must come from what was printed.
        env={**demo.environment, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("coredns-", "kube-proxy-", "Running", "[x] Verify by using the cluster"):
        assert expected in done.stdout


async def test_a_second_run_finds_the_cluster(demo: Demo) -> None:
    printed = await asyncio.to_thread(run_demo, demo.environment)
    [took] = ALL.findall(printed)
    assert float(took) < QUICK_SECONDS
    assert (await status(demo.handle)).cluster_id == demo.cluster_id


async def test_deletes_and_leaves_nothing(demo: Demo, stack: Stack, tmp_path: Path) -> None:
    await asyncio.to_thread(Resourced(stack.host_kubeconfig, tmp_path).delete, "demo")
    assert "nothing is left" in await demo.handle.result()
    assert living.traces(stack, demo.cluster_id) == []


@pytest.fixture
def simulated(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseDemo:
    """A demo of a simulated cluster, which ends with another file than the real one."""
    monkeypatch.setenv("GIANTNETES_CACHE", str(cache_dir()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "jane")
    file = tmp_path / "simulated.json"
    file.write_text(json.dumps(cluster_document("simulated")))
    return BaseDemo(file, stack, kubectl_path())


async def test_a_cluster_that_can_not_be_made_says_why_and_is_made_once_that_is_mended(
    simulated: BaseDemo, capsys: pytest.CaptureFixture[str]
) -> None:
    file = simulated.file
    file.write_text(json.dumps(cluster_document("simulated", ingress={"version": "9.9.9"})))
    with pytest.raises(CliError, match=r"release 1\.37\.2-1 has .*, not 9\.9\.9") as failure:
        await bring(simulated)
    assert "just demo" in failure.value.hint
    file.write_text(json.dumps(cluster_document("simulated")))
    await bring(simulated)
    said = capsys.readouterr().out
    assert "breaking the glass: jane becomes an administrator" in said
    assert simulated.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(simulated.kubeconfig.read_text())["current-context"] == "jane@default/simulated"
    await asyncio.to_thread(Resourced(simulated.stack.host_kubeconfig, file.parent).delete, "simulated")


async def test_an_interrupt_tells_how_to_look_at_what_goes_on(
    simulated: BaseDemo, capsys: pytest.CaptureFixture[str]
) -> None:
    running, said = asyncio.create_task(bring(simulated)), ""
    while "created" not in said:
        await asyncio.sleep(0.02)
        said += capsys.readouterr().out
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    told = capsys.readouterr().err
    assert f"TEMPORAL_ADDRESS={simulated.stack.temporal_address} " in told
    assert "uv run g8s status simulated --watch\n" in told
    assert f"kubectl --kubeconfig {simulated.stack.host_kubeconfig} --namespace default delete" in told
    await asyncio.to_thread(Resourced(simulated.stack.host_kubeconfig, simulated.file.parent).delete, "simulated")


async def test_what_the_host_cluster_refuses_is_told_in_its_own_words(simulated: BaseDemo) -> None:
    simulated.file.write_text(json.dumps(cluster_document("simulated", owner="umbrella")))
    with pytest.raises(CliError, match="the namespace default belongs to acme"):
        await bring(simulated)
