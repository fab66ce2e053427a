"""``g8s status`` against a real server: one look, watching, and who does not answer."""

import asyncio
import json
import os
import pty
import re
import signal

from temporalio.testing import WorkflowEnvironment

from api.status import Phase
from contracts import activities as names
from contracts import queues
from contracts.workflows import CLUSTER, workflow_id
from tests.support.fakes import Script
from tests.support.resources import cluster_input
from tests.workers.cli.conftest import Program
from tests.workflows.conftest import Clusters


async def test_shows_all_of_a_cluster_in_plain_lines(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("shown")
    status = await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    result = await g8s.run("status", "shown")
    assert result.status == 0
    assert result.out.startswith("default/shown Running\n")
    assert status.endpoint
    assert status.endpoint in result.out
    assert "CreateCluster: Succeeded" in result.out
    steps = [line for line in result.out.splitlines() if line.startswith("  done")]
    assert status.operation
    assert len(steps) == len(status.operation.steps)
    assert result.out.isascii()


async def test_shows_it_to_programs(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("shown-json")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    result = await g8s.run("status", "shown-json", "-o", "json")
    found = json.loads(result.out)
    assert found["phase"] == "Running"
    assert found["observedGeneration"] == 1
    assert found["ending"] == ""
    assert {step["state"] for step in found["operation"]["steps"]} == {"Done"}


async def test_watches_until_the_operation_succeeds(clusters: Clusters, script: Script, g8s: Program) -> None:
    gate = script.gates[names.AWAIT_API] = asyncio.Event()
    script.failures[names.VERIFY_CLUSTER] = 3
    await clusters.start("watched")
    async with g8s.started("status", "watched", "--watch") as process:
        assert process.stdout
        lines = []
        async for line in process.stdout:
            lines.append(line.decode())
            if "Wait for the API" in lines[-1]:
                gate.set()
        assert await process.wait() == 0
    text = "".join(lines)
    assert "running  Wait for the API\n" in text
    assert re.search(r"running  Verify by using the cluster, attempt \d, next try at", text)
    assert "VerifyCluster failed" in text
    assert "done     Verify by using the cluster (" in text
    assert "default/watched Running\n" in text
    assert text.count("CreateCluster: Succeeded") == 1
    assert "\x1b" not in text


async def test_watching_ends_with_status_1_when_the_operation_fails(
    clusters: Clusters, script: Script, g8s: Program
) -> None:
    script.fatal = {names.ENSURE_ADDONS}
    await clusters.start("failing")
    result = await g8s.run("status", "failing", "--watch")
    assert result.status == 1
    assert "CreateCluster: Failed" in result.out
    assert "QuotaExceeded: EnsureAddons is impossible" in result.out


async def test_interrupting_only_stops_watching(clusters: Clusters, script: Script, g8s: Program) -> None:
    gate = script.gates[names.CLAIM] = asyncio.Event()
    handle = await clusters.start("interrupted")
    async with g8s.started("status", "interrupted", "--watch") as process:
        assert process.stdout
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode() == "\nstopped\n"
    assert (await clusters.status(handle)).phase == Phase.CREATING
    gate.set()


async def test_live_on_a_terminal_with_or_without_colours(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("live")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    plain = await on_terminal(g8s, "status", "live", "--watch", NO_COLOR="1")
    assert "✔ done" in plain
    assert "\x1b[32m" not in plain
    assert "\x1b[32m" in await on_terminal(g8s, "status", "live", "--watch")


async def on_terminal(g8s: Program, *arguments: str, **environment: str) -> str:
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    async with g8s.started(*arguments, TERM="xterm", **environment, stdout=theirs) as process:
        os.close(theirs)
        text = await asyncio.to_thread(read_all, ours)
        assert await process.wait() == 0
    return text


def read_all(terminal: int) -> str:
    """Read a terminal until nobody has it open any more, which Linux reports as an error (EIO)."""
    with os.fdopen(terminal, "rb", buffering=0) as file:
        parts = []
        try:
            while part := file.read(4096):
                parts.append(part)
        except OSError:
            pass
    return b"".join(parts).decode()


async def test_no_such_cluster(g8s: Program) -> None:
    result = await g8s.run("status", "nobody", "-n", "somewhere")
    assert result.status == 1
    assert result.err.splitlines() == [
        "error: there is no cluster somewhere/nobody",
        "See which ones there are: g8s list",
    ]


async def test_no_worker(temporal: WorkflowEnvironment, g8s: Program) -> None:
    cluster = {"metadata": {"name": "unserved"}, "spec": {}}
    handle = await temporal.client.start_workflow(
        CLUSTER, cluster, id=workflow_id("default", "unserved"), task_queue=queues.CLUSTERS
    )
    result = await g8s.run("status", "unserved")
    await handle.terminate()
    assert result.status == 1
    assert "no worker answered for default/unserved within 5 s" in result.err
    assert "just status" in result.err


async def test_an_input_that_was_refused(clusters: Clusters, g8s: Program) -> None:
    cluster = {"metadata": {"name": "refused"}, "spec": {"provider": "paper"}}
    handle = await clusters.client.start_workflow(
        CLUSTER, cluster, id=workflow_id("default", "refused"), task_queue=queues.CLUSTERS
    )
    while (await handle.describe()).close_time is None:
        await asyncio.sleep(0.05)
    result = await g8s.run("status", "refused")
    assert result.status == 1
    assert "spec.provider" in result.err
    assert "spec.owner: Field required" in result.err


async def test_the_id_of_another_cluster(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.client.start_workflow(
        CLUSTER, cluster_input("right"), id=workflow_id("default", "wrong"), task_queue=queues.CLUSTERS
    )
    while (await handle.describe()).close_time is None:
        await asyncio.sleep(0.05)
    result = await g8s.run("status", "wrong")
    assert (result.status, result.out) == (1, "")
    assert "is of the cluster default/right" in result.err
    assert "workflow id must be cluster/default/right" in result.err


async def test_a_run_that_failed_and_one_that_was_terminated(
    clusters: Clusters, script: Script, g8s: Program
) -> None:
    gate = script.gates[names.CLAIM] = asyncio.Event()
    unknown = await clusters.start("unknown-release", release="9.9.9-9")
    while (await unknown.describe()).close_time is None:
        await asyncio.sleep(0.05)
    result = await g8s.run("status", "unknown-release", "-w")
    assert result.status == 1
    assert "ended: the workflow failed: spec.release: there is no release 9.9.9-9" in result.out
    handle = await clusters.start("ended")
    await clusters.until(handle, lambda status: status.phase == Phase.CREATING)
    await handle.terminate()
    gate.set()
    result = await g8s.run("status", "ended", "-w")
    assert result.status == 1
    assert "started again it adopts" in result.out
    result = await g8s.run("status", "ended")
    assert result.status == 1
    assert result.out.startswith("default/ended has ended (was Creating)\nended: the workflow was terminated")
    found = json.loads((await g8s.run("status", "ended", "-o", "json")).out)
    assert found["phase"] == "Creating"
    assert "started again it adopts" in found["ending"]


async def test_json_is_not_watched(g8s: Program) -> None:
    result = await g8s.run("status", "x", "-w", "-o", "json")
    assert result.status == 1
    assert "exclude each other" in result.err
