"""``just demo``, as those who clone the repository run it first; here without a terminal."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import requests
from temporalio.client import Client

from api.status import Phase
from deploy.paths import cache_dir
from deploy.stack import Stack
from tests.chaos import living
from tests.e2e.people import PROJECT, administrator, update_example
from tests.support.clusters import Handle, status
from tests.support.leaks import LeakSearch

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


def test_tells_of_each_step_in_plain_lines(demo: Demo) -> None:
    assert re.search(r"^[0-9:]{8}  done     Verify by using the cluster \(", demo.printed, re.MULTILINE)
    assert not re.search(r"\x1b|\r", demo.printed)
    assert len(re.findall(r"^workers-[123] +Ready ", demo.printed, re.MULTILINE)) == 3


def test_the_printed_commands_work_as_written(demo: Demo) -> None:
    *commands, page, last = demo.lines_to_copy
    assert [command.partition(" ")[0] for command in commands] == ["export", "kubectl", "g8s", "temporal"]
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


async def test_deletes_and_leaves_nothing(demo: Demo, stack: Stack) -> None:
    assert "will be deleted" in update_example(stack, WORKFLOW, "delete")
    assert "nothing is left" in await demo.handle.result()
    assert living.traces(stack, demo.cluster_id) == []
