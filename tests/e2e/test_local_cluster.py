"""A guest cluster as people make it: by the temporal CLI, kubectl and g8s, from the files in deploy/examples."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
from temporalio.client import Client

from activities.simulated.faults import Faults
from api.errors import ErrorCode
from api.status import ClusterStatus, Phase
from contracts.workflows import CREATE_CLUSTER
from deploy.stack import Stack, supervisord
from deploy.stack import status as stack_status
from tests.chaos import living, outside
from tests.chaos.lanes import namespace
from tests.e2e.people import (
    G8S,
    administrator,
    attempt,
    example,
    kubectl,
    ready_nodes,
    run,
    start_example,
    temporal,
    update_example,
)
from tests.support.clusters import Handle, delete, start, until_created
from tests.support.clusters import status as cluster_status
from tests.support.leaks import LeakSearch, Needles
from tests.support.secrets import Kind, Secret
from tests.support.temporal import temporal_cli

IDLE_SECONDS = 10

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Demo:
    """The cluster of deploy/examples/demo.json, with a kubeconfig that g8s made."""

    handle: Handle
    status: ClusterStatus
    kubeconfig: Path


@pytest.fixture(scope="module")
async def demo(
    stack: Stack, client: Client, leak_search: LeakSearch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Demo]:
    """The demo cluster, started by the temporal CLI."""
    handle: Handle = client.get_workflow_handle(start_example(stack, "demo"), result_type=str)
    status = await until_created(client, handle)
    assert status.phase == Phase.RUNNING, status.waiting_on
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    await asyncio.to_thread(administrator, "demo", kubeconfig)
    leak_search.collect(status.cluster_id or "", kubeconfig)
    yield Demo(handle, status, kubeconfig)
    await leak_search.check(client)


def test_nodes_are_ready(demo: Demo) -> None:
    nodes = ready_nodes(demo.kubeconfig)
    assert len(nodes) == 3
    for node in nodes.values():
        assert node["status"]["addresses"][0]["address"].startswith("127.")
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.37.2"


def test_add_ons_are_there(demo: Demo) -> None:
    names = kubectl(demo.kubeconfig, "get", "deployments,daemonsets", "-n", "kube-system", "-o", "name").split()
    assert {"deployment.apps/coredns", "daemonset.apps/kube-proxy"} <= set(names)


def test_a_plain_user_may_do_nothing_until_bound(demo: Demo, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    run(G8S, "kubeconfig", "demo", "--user", "jane", "--group", "testers", "--output", plain)
    assert kubectl(plain, "auth", "can-i", "list", "pods", ok=False).strip() == "no"
    kubectl(demo.kubeconfig, "create", "clusterrolebinding", "testers", "--clusterrole=view", "--group=testers")
    assert kubectl(plain, "auth", "can-i", "list", "pods").strip() == "yes"
    assert plain.stat().st_mode & 0o077 == 0


def test_privileged_groups_need_a_word(demo: Demo, tmp_path: Path) -> None:
    del demo
    done = attempt(G8S, "kubeconfig", "demo", "--group", "system:masters", "--output", tmp_path / "x")
    assert done.returncode == 1
    assert "break-glass" in done.stderr or "breakGlass" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_is_told_by_every_door(demo: Demo, stack: Stack) -> None:
    query = temporal(stack, "workflow", "query", "--workflow-id", "cluster/default/demo", "--type", "status")
    assert "Running" in query
    details = temporal(stack, "workflow", "metadata", "--workflow-id", "cluster/default/demo")
    assert "Verify by using the cluster" in details
    assert "Running" in run(G8S, "status", "demo")
    assert "demo" in run(G8S, "list")
    found = temporal(stack, "workflow", "list", "--query", 'ClusterPhase="Running" AND ClusterOwner="acme"')
    assert "cluster/default/demo" in found


def test_an_unsupported_change_is_refused_by_field(demo: Demo, stack: Stack, tmp_path: Path) -> None:
    del demo
    spec = example("demo")["spec"]
    change = tmp_path / "change.json"
    change.write_text(json.dumps({"spec": {**spec, "release": "1.36.3-1"}}))
    done = attempt(
        *(temporal_cli(), "workflow", "update", "execute", "--workflow-id", "cluster/default/demo"),
        *("--name", "apply", "--input-file", change, "--address", stack.temporal_address),
    )
    assert done.returncode != 0
    assert "spec.release" in done.stdout + done.stderr


def test_nothing_is_left_over_and_logs_are_there(demo: Demo) -> None:
    del demo
    assert "kube-apiserver" in run(G8S, "logs", "demo")
    assert run(G8S, "logs", "demo", "control-plane-1", "etcd").strip()
    run(G8S, "leftovers")


def test_the_other_examples_work_as_written(demo: Demo, stack: Stack) -> None:
    assert "nothing to change" in update_example(stack, demo.handle.id, "apply")
    for name in ("pause", "resume", "retry"):
        update_example(stack, demo.handle.id, name)
    assert "Running" in run(G8S, "status", "demo")


async def test_no_secret_leaks(demo: Demo, client: Client, leak_search: LeakSearch) -> None:
    del demo
    await leak_search.check(client)


def one_of_each(search: LeakSearch) -> dict[Kind, Secret]:
    """Return one secret of each kind."""
    return {secret.kind: secret for secret in search.secrets}


async def test_a_leak_into_a_log_is_found_whatever_it_is(
    demo: Demo, stack: Stack, client: Client, leak_search: LeakSearch
) -> None:
    del demo
    planted = stack.logs / "planted.log"
    secrets = one_of_each(leak_search)
    assert secrets.keys() == set(Kind)
    for written in (bytes, bytes.hex, base64.b64encode):
        planted.write_bytes(b"\n".join(_text(written(secret.values[-1])) for secret in secrets.values()))
        try:
            found = await leak_search.leaks(client)
        finally:
            planted.unlink()
        assert {f"{secret} in file logs/planted.log" for secret in secrets.values()} <= set(found)
        assert all(line.endswith(" in file logs/planted.log") for line in found)


def _text(written: bytes | str) -> bytes:
    return written if isinstance(written, bytes) else written.encode()


@pytest.mark.parametrize("mode", [0o600, 0o644], ids=["private", "world-readable"])
async def test_a_leak_into_a_file_is_found_if_others_may_read_it(
    demo: Demo, stack: Stack, client: Client, leak_search: LeakSearch, mode: int
) -> None:
    del demo
    secret = one_of_each(leak_search)[Kind.LOGIN]
    planted = stack.state / "planted"
    planted.write_bytes(secret.values[0])
    planted.chmod(mode)
    try:
        found = await leak_search.leaks(client)
    finally:
        planted.unlink()
    assert found == ([f"{secret} in file planted"] if mode & 0o004 else [])


@contextmanager
def running_with(argument: str, stack: Stack) -> Iterator[int]:
    """Run a process with an argument, as if the stack's supervisord had started it."""
    command = [sys.executable, "-c", "input()", argument]
    environment = {supervisord.MARKER: str(stack.state)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
        yield process.pid


async def test_a_leak_into_arguments_is_found(
    demo: Demo, stack: Stack, client: Client, leak_search: LeakSearch
) -> None:
    del demo
    secret = one_of_each(leak_search)[Kind.LOGIN]
    with running_with(secret.values[0].decode(), stack) as pid:
        assert await leak_search.leaks(client) == [f"{secret} in arguments of process {pid}"]


async def test_a_leak_into_a_history_is_found(demo: Demo, stack: Stack, leak_search: LeakSearch) -> None:
    """In a namespace of its own, because a history stays."""
    del demo
    planted = await namespace(stack, "planted")
    secret = one_of_each(leak_search)[Kind.RECOVERY_KEY]
    raw, encoded = secret.values[0].decode(), base64.b64encode(secret.values[1]).decode()
    for name, value in (("raw", raw), ("json", json.dumps({"key": raw})), ("base64", encoded)):
        await planted.start_workflow("Nobody", {"note": f"x{value}"}, id=name, task_queue="nobody")
    # Runs are listed a moment after they have started.
    while (await planted.count_workflows()).count < 3:
        await asyncio.sleep(0.05)
    expected = {f"{secret} in history {name}" for name in ("raw", "json", "base64")}
    assert set(await leak_search.leaks(planted)) == expected


def test_a_token_that_nobody_collected_is_found(leak_search: LeakSearch) -> None:
    tokens = [secret for secret in leak_search.secrets if secret.kind is Kind.VAULT_TOKEN]
    assert Needles([]).search("log", b'{"token": "' + tokens[0].values[0] + b'"}') == [
        f"{Kind.VAULT_TOKEN} in log"
    ]


@pytest.fixture(scope="module")
async def faulty(stack: Stack, client: Client) -> AsyncIterator[Handle]:
    """A simulated cluster, one of whose steps had failed once before it succeeded."""
    Faults(outside.simulated(stack).world.path).fail("ensure_machine")
    handle = await start(client, "faulty")
    created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    yield handle
    await delete(handle)


def test_metrics_count_temporal_s_and_failed_steps(faulty: Handle, stack: Stack) -> None:
    del faulty
    found = requests.get(f"http://{stack.metrics_address}/metrics", timeout=5).text.splitlines()
    assert [line for line in found if line.startswith("temporal_activity_task_received_total{")]
    failures = [line for line in found if line.startswith("giantnetes_step_failures_total{")]
    [failure] = [line for line in failures if f'code="{ErrorCode.PROVIDER_UNAVAILABLE}"' in line]
    assert float(failure.rpartition(" ")[2]) >= 1


def test_the_worker_s_log_says_what_each_line_is_about(faulty: Handle, stack: Stack) -> None:
    lines = [json.loads(line) for line in (stack.logs / "worker.log").read_text().splitlines()]
    about = [line for line in lines if line.get("workflow_id") == f"{faulty.id}/create"]
    assert about
    for line in about:
        assert {"cluster", "cluster_id", "operation", "step", "attempt"} <= line.keys()
        assert (line["cluster"], line["operation"]) == ("faulty", CREATE_CLUSTER)
    failed = [line for line in about if line["event"] == "step failed"]
    assert [(line["attempt"], line["code"], line["level"]) for line in failed] == [
        (1, ErrorCode.PROVIDER_UNAVAILABLE, "warning")
    ]
    again = {"step": failed[0]["step"], "attempt": 2, "event": "step done"}
    assert [line for line in about if again.items() <= line.items()]


async def test_the_worker_idles_beside_five_clusters(
    demo: Demo, faulty: Handle, stack: Stack, client: Client
) -> None:
    """At most 1 % of a core; measured over ten seconds, in which nobody asks for anything."""
    more = [await start(client, f"idle-{number}") for number in range(3)]
    for handle in more:
        await until_created(client, handle)
    alive = [await cluster_status(handle) for handle in (demo.handle, faulty, *more)]
    assert [found.phase for found in alive] == [Phase.RUNNING] * 5
    worker = psutil.Process(next(found.pid for found in stack_status() if found.name == "worker"))
    before = worker.cpu_times()
    psutil.cpu_percent(interval=IDLE_SECONDS)
    after = worker.cpu_times()
    assert (after.user + after.system - before.user - before.system) / IDLE_SECONDS < 0.01
    for handle in more:
        await delete(handle)


async def test_deletes_by_the_cli_and_leaves_nothing(demo: Demo, stack: Stack) -> None:
    assert "will be deleted" in update_example(stack, demo.handle.id, "delete")
    assert "nothing is left" in await demo.handle.result()
    assert living.traces(stack, demo.status.cluster_id or "") == []
    run(G8S, "leftovers")
