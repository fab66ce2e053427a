"""``g8s list`` against a real server."""

import asyncio
import json
import re

from api.status import Phase
from tests.workers.cli.conftest import Program, Result
from tests.workflows.conftest import Clusters


async def listed(g8s: Program, name: str, *arguments: str) -> Result:
    """Ask again until visibility has the cluster's end state; the test's time limit ends a wait in vain."""
    while True:
        result = await g8s.run("list", *arguments)
        if re.search(rf"\b{name}\b.*Running", result.out, re.DOTALL):
            return result
        await asyncio.sleep(0.1)


async def test_lists_living_clusters_as_lines(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("listed")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    result = await listed(g8s, "listed")
    assert result.status == 0
    head, *lines = result.out.splitlines()
    assert head.split() == ["NAMESPACE", "NAME", "OWNER", "PROVIDER", "RELEASE", "PHASE", "AGE"]
    [line] = [line for line in lines if " listed " in line]
    assert line.split()[:6] == ["default", "listed", "acme", "simulated", "1.37.2-1", "Running"]
    assert "\x1b" not in result.out
    assert not [line for line in result.out.splitlines() if line != line.rstrip()]


async def test_lists_for_programs(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("listed-json")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    result = await listed(g8s, "listed-json", "-o", "json")
    [found] = [row for row in json.loads(result.out) if row["name"] == "listed-json"]
    assert found.pop("started").endswith("+00:00")
    assert found == {
        "namespace": "default",
        "name": "listed-json",
        "owner": "acme",
        "provider": "simulated",
        "release": "1.37.2-1",
        "phase": "Running",
    }


async def test_deleted_clusters_go(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("short-lived")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await listed(g8s, "short-lived")
    await clusters.send(handle, "delete")
    await handle.result()
    while "short-lived" in (await g8s.run("list")).out:
        await asyncio.sleep(0.1)


async def test_says_what_to_do_when_temporal_is_not_there(g8s: Program) -> None:
    result = await g8s.run("list", TEMPORAL_ADDRESS="127.0.0.1:1")
    assert result.status == 1
    assert result.out == ""
    assert "does not answer at 127.0.0.1:1" in result.err
    assert "just up" in result.err
    assert len(result.err.splitlines()) == 2


async def test_says_when_the_namespace_does_not_exist(g8s: Program) -> None:
    result = await g8s.run("list", TEMPORAL_NAMESPACE="nowhere")
    assert result.status == 1
    assert "nowhere" in result.err
    assert "TEMPORAL_NAMESPACE" in result.err


async def test_says_when_the_configuration_is_damaged(g8s: Program) -> None:
    config = g8s.home / "temporal.toml"
    config.write_text("not = [toml")
    result = await g8s.run("list", TEMPORAL_CONFIG_FILE=str(config))
    assert result.status == 1
    assert "configuration" in result.err
