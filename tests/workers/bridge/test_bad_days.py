"""Bad days of the bridge, on real API server, etcd, Temporal and worker; simulated machines."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from activities.local.supervisor import Supervisor
from api.resource import CONFIRM_DELETION, FINALIZER
from deploy.stack import Stack, up
from deploy.stack.ports import is_free
from tests.e2e.people import G8S, attempt, run, temporal
from tests.support.resourced import Json, Resourced, condition
from tests.support.resources import NO_CERTIFICATE
from tests.support.stack import say
from tests.workers.bridge.conftest import DEFAULT, kube_client
from workers.bridge.kit.kube import Kube

pytestmark = pytest.mark.timeout(400)
SECONDS = 90.0
OUTAGE_S = 60.0
REQUESTS_PER_S = 2


@contextmanager
def without(supervisor: Supervisor, *services: str) -> Iterator[None]:
    """Kill services, and have them run again afterwards."""
    for service in services:
        supervisor.stop_group(service, kill=True)
    try:
        yield
    finally:
        up(say)


def environment(stack: Stack, **more: str) -> dict[str, str]:
    """Return what a bridge by hand is told."""
    return {**os.environ, **stack.temporal_settings, "KUBECONFIG": str(stack.process_kubeconfig("bridge")), **more}


def update(stack: Stack, name: str, update: str) -> str:
    """Send an update with Temporal's own CLI."""
    arguments = ("workflow", "update", "execute", "--workflow-id", f"cluster/default/{name}", "--name", update)
    return temporal(stack, *arguments, "--input", json.dumps({"reason": "test"}))


def metric(stack: Stack, name: str) -> float | None:
    """Return a metric of the bridge; None while it is being started."""
    try:
        text = requests.get(f"http://{stack.bridge_address}/metrics", timeout=10).text
    except requests.ConnectionError:
        return None
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == name)


def increase(stack: Stack, name: str, seconds: float) -> float:
    """Return by how much a counter of the bridge grows within ``seconds``, over restarts, which reset it."""
    total, last, deadline = 0.0, metric(stack, name), time.monotonic() + seconds
    assert last is not None
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if (value := metric(stack, name)) is not None:
            total += value - last if value >= last else value
            last = value
    return total


@retry(
    stop=stop_after_delay(60),
    wait=wait_fixed(0.2),
    retry=retry_if_exception_type(requests.RequestException),
    reraise=True,
)
def until_ok(url: str) -> None:
    """Return when ``url`` answers with success; a bridge listens only seconds after its process was started."""
    requests.get(url, timeout=10).raise_for_status()


def reached(journal: Path, moment: str) -> None:
    """Return when a bridge has died of a moment."""
    deadline = time.monotonic() + SECONDS
    while moment not in journal.read_text().splitlines():
        assert time.monotonic() < deadline, journal.read_text()
        time.sleep(0.2)


def unheld(clusters: Resourced, name: str) -> None:
    """Take the finalizer away by hand."""
    patch = '{"metadata": {"finalizers": []}}'
    clusters.kubectl("patch", "cluster", name, "--type=merge", "--patch", patch)


EXPECTED = {
    f"{when} {what}"
    for when in ("before", "after")
    for what in (
        "finalizers",
        "apply",
        "update replace_machine",
        "update abandon",
        "sign",
        "delete",
        "status Accepted",
        "operation taken up",
    )
}


def test_a_bridge_that_dies_everywhere_does_nothing_twice(
    stack: Stack, clusters: Resourced, supervisor: Supervisor, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    address = f"127.0.0.1:{next(port for port in range(20100, 20200) if is_free(port))}"
    told = environment(stack, GIANTNETES_IDENTITY="local", GIANTNETES_METRICS_ADDRESS=address)
    with without(supervisor, "bridge"), (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "tests.workers.bridge.crashing_bridge", str(journal)]
        stop = threading.Event()

        def keep_running() -> None:
            while not stop.is_set():
                process = subprocess.Popen(command, env=told, stdout=log, stderr=log)
                while process.poll() is None and not stop.is_set():
                    time.sleep(0.05)
                process.kill()
                process.wait()

        keeper = threading.Thread(target=keep_running)
        keeper.start()
        try:
            clusters.apply("killed")
            clusters.kubectl("wait", "--for=condition=Available", "cluster/killed", "--timeout=50s")
            # Only a bridge that has nothing else to do looks at a cluster.
            reached(journal, "after sign")
            assert "replaced" in clusters.operate("killed", "replace-machine=workers-1")
            found = clusters.until("killed", lambda found: len(found["status"]["recentOperations"]) > 1)
            assert [ended["type"] for ended in found["status"]["recentOperations"]] == [
                "CreateCluster",
                "ReplaceMachine",
            ]
            clusters.abandon("killed")
            clusters.apply("killed")
            clusters.kubectl("wait", "--for=condition=Available", "cluster/killed", "--timeout=50s")
            assert (clusters.read("killed") or {})["status"]["clusterId"] == found["status"]["clusterId"]
            clusters.delete("killed")
        finally:
            stop.set()
            keeper.join()
    assert EXPECTED - set(journal.read_text().splitlines()) == set()
    run(G8S, "leftovers")


def test_a_host_cluster_that_is_away_is_not_pestered(
    stack: Stack, clusters: Resourced, supervisor: Supervisor
) -> None:
    clusters.apply("before")
    with without(supervisor, "host-apiserver", "host-etcd"):
        asked = increase(stack, "giantnetes_bridge_api_requests_total", OUTAGE_S)
    say(f"{asked:.0f} requests of the bridge in {OUTAGE_S:.0f} s without an API server")
    assert 0 < asked < OUTAGE_S * REQUESTS_PER_S
    clusters.until_available("before")
    clusters.apply("after")
    clusters.until_available("after")
    for name in ("before", "after"):
        clusters.delete(name)


def test_without_temporal_resources_tell_so_and_go_on_by_themselves(
    stack: Stack, clusters: Resourced, supervisor: Supervisor
) -> None:
    clusters.apply("known")
    clusters.until_available("known")
    with without(supervisor, "temporal"):
        clusters.apply("patient")
        found = clusters.until("patient", lambda found: condition(found, "Accepted").get("status") == "Unknown")
        assert condition(found, "Accepted")["reason"] == "CannotStart"
        assert "Temporal does not answer" in condition(found, "Accepted")["message"]
        clusters.apply("unlucky")
        clusters.until("unlucky", lambda found: found["metadata"].get("finalizers") == [FINALIZER])
        clusters.confirm("unlucky", CONFIRM_DELETION)
        asked = increase(stack, "giantnetes_bridge_api_requests_total", OUTAGE_S)
        say(f"{asked:.0f} requests of the bridge in {OUTAGE_S:.0f} s without Temporal")
        assert asked < OUTAGE_S * REQUESTS_PER_S
        doubted = clusters.until("known", lambda found: condition(found, "Available")["status"] == "Unknown", 180)
        assert "Temporal does not answer" in condition(doubted, "Available")["message"]
    clusters.until("known", lambda found: condition(found, "Available")["status"] == "True", SECONDS)
    clusters.until("patient", lambda found: condition(found, "Available").get("status") == "True", SECONDS)
    clusters.until_gone("unlucky", SECONDS)
    for name in ("known", "patient"):
        clusters.delete(name)
    run(G8S, "leftovers")


def test_without_a_worker_resources_tell_so_and_go_on_by_themselves(
    stack: Stack, clusters: Resourced, supervisor: Supervisor
) -> None:
    with without(supervisor, "worker"):
        clusters.apply("unserved")
        found = clusters.until("unserved", lambda found: condition(found, "Accepted").get("status") == "Unknown")
        assert "no worker answered" in condition(found, "Accepted")["message"]
        asked = increase(stack, "giantnetes_bridge_api_requests_total", OUTAGE_S / 3)
        say(f"{asked:.0f} requests of the bridge in {OUTAGE_S / 3:.0f} s without a worker")
        assert asked < OUTAGE_S / 3 * REQUESTS_PER_S
    clusters.until("unserved", lambda found: condition(found, "Available").get("status") == "True", SECONDS)
    clusters.delete("unserved")


def test_a_second_bridge_takes_over(stack: Stack, clusters: Resourced, supervisor: Supervisor) -> None:
    address = f"127.0.0.1:{next(port for port in range(20100, 20200) if is_free(port))}"
    told = environment(stack, GIANTNETES_IDENTITY="second", GIANTNETES_METRICS_ADDRESS=address)
    second = subprocess.Popen([sys.executable, "-m", "workers.bridge"], env=told)
    try:
        clusters.apply("shared")
        clusters.until_available("shared")
        until_ok(f"http://{address}/readyz")
        assert not requests.get(f"http://{address}/leading", timeout=10).ok
        with without(supervisor, "bridge"):
            until_ok(f"http://{address}/leading")
            clusters.delete("shared")
            second.send_signal(signal.SIGTERM)
            assert second.wait(20) == 0
    finally:
        second.kill()
        second.wait()


async def test_five_hundred_resources_at_the_start(
    stack: Stack, clusters: Resourced, supervisor: Supervisor
) -> None:
    oidc = {"issuerURL": "https://a", "clientID": "b", "certificateAuthority": NO_CERTIFICATE}
    made = [f"made-{number}" for number in range(3)]
    names = [f"many-{number}" for number in range(500 - len(made))]
    async with await kube_client(stack.host_kubeconfig) as client:
        kube = Kube(client, 10_000)
        with without(supervisor, "bridge"):
            for name in names:
                document = json.loads(clusters.written(name, apiServer={"oidc": oidc}).read_text())
                await kube.send("POST", DEFAULT, document)
            for name in made:
                clusters.apply(name)
        deadline = time.monotonic() + SECONDS
        while True:
            found, _ = await kube.listed(DEFAULT)
            refused = [item for item in found if condition(item, "Accepted").get("reason") == "InvalidSpec"]
            if len(refused) == len(names):
                break
            assert time.monotonic() < deadline, len(refused)
            await asyncio.sleep(0.5)
        assert "holds what is no certificate" in condition(refused[0], "Accepted")["message"]
        say(f"{SECONDS - (deadline - time.monotonic()):.0f} s until all were told")
        for name in made:
            clusters.until_available(name)
            clusters.delete(name)
        for name in names:
            patch: Json = {"metadata": {"finalizers": []}}
            await kube.send("PATCH", f"{DEFAULT}/{name}", patch, "application/merge-patch+json")
            await kube.send("DELETE", f"{DEFAULT}/{name}")


def test_a_name_is_free_again_when_its_predecessor_is_deleted(stack: Stack, clusters: Resourced) -> None:
    clusters.apply("again")
    first = clusters.until_available("again")
    clusters.operate("again", "pause")
    clusters.confirm("again", CONFIRM_DELETION)
    clusters.until("again", lambda found: condition(found, "Deleting")["status"] == "True")
    unheld(clusters, "again")
    clusters.until_gone("again")
    clusters.apply("again")
    found = clusters.until("again", lambda found: condition(found, "Accepted").get("status") == "False")
    assert "predecessor of this name is still being deleted" in condition(found, "Accepted")["message"]
    update(stack, "again", "resume")
    second = clusters.until("again", lambda found: condition(found, "Available").get("status") == "True")
    assert second["status"]["clusterId"] != first["status"]["clusterId"]
    clusters.delete("again")
    run(G8S, "leftovers")


def test_a_cluster_whose_finalizer_was_taken_away_is_seen_and_adopted(clusters: Resourced) -> None:
    clusters.apply("slipped")
    clusters.until_available("slipped")
    clusters.kubectl("delete", "cluster", "slipped", "--wait=false")
    unheld(clusters, "slipped")
    clusters.until_gone("slipped")
    deadline = time.monotonic() + 30
    while "default/slipped" not in (shown := attempt(G8S, "leftovers")).stdout:
        assert time.monotonic() < deadline, shown.stdout + shown.stderr
        time.sleep(0.5)
    clusters.apply("slipped")
    clusters.until_available("slipped")
    run(G8S, "leftovers")
    clusters.delete("slipped")
