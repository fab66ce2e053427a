"""``g8s logs``: files of local machines, found by a cluster's name or id."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.status import ClusterStatus, Phase
from contracts import queues
from tests.support.fakes import Script, fake_activities
from tests.workers.cli.conftest import Program
from tests.workflows.conftest import Clusters
from workers.cli.cluster import ClusterClient, Look
from workers.cli.errors import CliError
from workers.cli.logs import _folder
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import Queue, make_workers

CLUSTER_ID = "c0123456789a"


def write_logs(g8s: Program, cluster_id: str) -> Path:
    """Make a cluster's log files; return the folder of one machine's."""
    for machine, components in {"control-plane-1": ("etcd", "kube-apiserver"), "workers-1": ("kubelet",)}.items():
        folder = g8s.state / "machines" / cluster_id / machine / "log"
        folder.mkdir(parents=True)
        for component in components:
            (folder / f"{component}.log").write_text("".join(f"{component} says {n}\n" for n in range(30)))
    (folder.parents[1] / "control-plane-1" / "log" / "etcd.log.1").write_text("rotated away\n")
    return folder.parents[1] / "control-plane-1" / "log"


@pytest.fixture
async def local_clusters(clusters: Clusters, script: Script) -> AsyncIterator[Clusters]:
    """Clusters whose provider is called local, and scripted."""
    fakes = fake_activities(script)
    wanted = [
        Queue(queues.provider("default", "local"), fakes),
        Queue(queues.kubernetes("default", "local"), fakes),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(clusters.client, wanted, [ActivityBoundary()]):
            await stack.enter_async_context(worker)
        yield clusters


async def test_finds_machines_by_the_name_of_their_cluster(local_clusters: Clusters, g8s: Program) -> None:
    handle = await local_clusters.start("logged", provider="local")
    status = await local_clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    assert status.cluster_id
    result = await g8s.run("logs", "logged")
    assert result.status == 1
    assert "no machines" in result.err
    write_logs(g8s, status.cluster_id)
    result = await g8s.run("logs", "default/logged")
    assert result.out.splitlines() == ["control-plane-1: etcd, kube-apiserver", "workers-1: kubelet"]


async def test_a_cluster_without_an_id_shows_no_machines_of_others(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(_cluster: ClusterClient) -> Look:
        return Look(ClusterStatus(namespace="default", name="unclaimed", phase=Phase.PENDING, provider="local"))

    monkeypatch.setenv("GIANTNETES_STATE", str(tmp_path))
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    monkeypatch.setattr(ClusterClient, "look", look)
    with pytest.raises(CliError, match="no id yet"):
        await _folder("default", "unclaimed")


async def test_simulated_machines_have_no_logs(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("unlogged")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    result = await g8s.run("logs", "unlogged")
    assert result.status == 1
    assert "simulated" in result.err


async def test_the_id_needs_nobody_to_ask(g8s: Program) -> None:
    write_logs(g8s, CLUSTER_ID)
    down = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
    result = await g8s.run("logs", "demo", **down)
    assert result.status == 1
    assert CLUSTER_ID in result.err
    result = await g8s.run("logs", CLUSTER_ID, "workers-1", "kubelet", "--tail", "2", **down)
    assert result.out.splitlines() == ["kubelet says 28", "kubelet says 29"]
    assert len((await g8s.run("logs", CLUSTER_ID, "workers-1", **down)).out.splitlines()) == 30


async def test_all_of_a_machine_has_the_names_of_files_above_their_ends(g8s: Program) -> None:
    write_logs(g8s, CLUSTER_ID)
    lines = (await g8s.run("logs", CLUSTER_ID, "control-plane-1")).out.splitlines()
    assert lines[0].endswith("control-plane-1/log/etcd.log <==")
    assert lines[1] == "etcd says 10"
    assert lines[-1] == "kube-apiserver says 29"
    assert len(lines) == 43


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("control-plane-9",), ["no machine control-plane-9", "workers-1"]),
        (("..",), ["no machine .."]),
        (("workers-1", "etcd"), ["no log of etcd", "kubelet"]),
    ],
)
async def test_wrong_names_are_answered_with_the_right_ones(
    g8s: Program, arguments: tuple[str, ...], words: list[str]
) -> None:
    write_logs(g8s, CLUSTER_ID)
    result = await g8s.run("logs", CLUSTER_ID, *arguments)
    assert result.status == 1
    assert [word for word in words if word not in result.err] == []


async def test_follows_a_log_that_grows_and_starts_anew(g8s: Program) -> None:
    log = write_logs(g8s, CLUSTER_ID) / "etcd.log"
    async with g8s.started("logs", CLUSTER_ID, "control-plane-1", "etcd", "--follow", "--tail", "1") as process:
        assert process.stdout
        assert await process.stdout.readline() == b"etcd says 29\n"
        with log.open("a") as file:
            file.write("more\nhalf a li")
            file.flush()
            assert await process.stdout.readline() == b"more\n"
            file.write("ne\n")
            file.flush()
            assert await process.stdout.readline() == b"half a line\n"
        log.rename(log.with_suffix(".log.2"))
        log.write_text("new\n")
        assert await process.stdout.readline() == b"new\n"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130


async def test_nobody_reading_any_more_is_no_error_to_tell(g8s: Program) -> None:
    folder = write_logs(g8s, CLUSTER_ID)
    (folder / "etcd.log").write_text("x" * 99 + "\n" + "".join(f"{n}\n" for n in range(200_000)))
    ours, theirs = os.pipe()
    async with g8s.started("logs", CLUSTER_ID, "control-plane-1", "etcd", stdout=theirs) as process:
        os.close(theirs)
        assert os.read(ours, 3) == b"xxx"
        os.close(ours)
        _, err = await process.communicate()
    assert err == b""
    assert process.returncode == 1
